//! Body of a request that comes in time, or not at all.
use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// For all of a body: the largest is one mebibyte.
pub(super) const TIME: Duration = Duration::from_secs(60);

pub(super) struct Timely<B> {
    body: B,
    /// `None`: there is no body.
    left: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
struct Late;

impl<B: Body> Timely<B> {
    pub(super) fn new(body: B, time: Duration) -> Timely<B> {
        let left = (!body.is_end_stream()).then(|| Box::pin(sleep(time)));
        Timely { body, left }
    }
}

impl<B: Body + Unpin> Body for Timely<B>
where
    B::Error: StdError + Send + Sync + 'static,
{
    type Data = B::Data;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match &mut self.left {
            Some(left) => left.as_mut().poll(context).map(|()| Some(Err(Late.into()))),
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

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Empty, StreamBody};
    use hyper::body::Bytes;

    use super::*;

    #[tokio::test]
    async fn a_body_that_stalls_ends_and_one_that_is_there_does_not() {
        type Sent = Result<Frame<Bytes>, std::io::Error>;
        let first = Ok(Frame::data(Bytes::from_static(b"x")));
        let stalled = futures_util::stream::iter([first]);
        let stalled =
            futures_util::StreamExt::chain(stalled, futures_util::stream::pending::<Sent>());
        let body = Timely::new(StreamBody::new(stalled), Duration::from_millis(20));
        let late = body.collect().await.unwrap_err();
        assert_eq!(late.to_string(), "the body did not come in time");

        let body = Timely::new(Empty::<Bytes>::new(), Duration::ZERO);
        assert!(body.collect().await.is_ok());
    }
}
