//! Body of a request that comes in time, or not at all.
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

/// For all of a body: the largest is one mebibyte.
const TIME: Duration = Duration::from_secs(60);

pub(super) struct Timely {
    body: Incoming,
    /// `None`: there is no body.
    left: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the body did not come within {} s", TIME.as_secs())]
    Late,
    #[error(transparent)]
    Cut(#[from] hyper::Error),
}

impl Timely {
    pub(super) fn new(body: Incoming) -> Timely {
        let left = (!body.is_end_stream()).then(|| Box::pin(sleep(TIME)));
        Timely { body, left }
    }
}

impl Body for Timely {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::Cut)));
        }
        match &mut self.left {
            Some(left) => left.as_mut().poll(context).map(|()| Some(Err(Error::Late))),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
