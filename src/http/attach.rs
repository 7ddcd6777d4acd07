//! Events as they happen: stock's long poll `/static/events.attach`, and Server-Sent Events `/static/events.stream`.
//!
//! Stock's clients ask again and again on one connection, and its events wait for them in between; what belongs to a
//! connection is its [`Place`], which `server` makes.
use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use hyper::ext::ReasonPhrase;
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast, watch};
use tracing::error;

use crate::events::{self, Events, Told};
use crate::instance::Instance;

use super::beside;
use super::query::{Pairs, last};

/// Between two signs of life of a stream: whoever is gone is noticed, and proxies keep the connection.
const ALIVE: Duration = Duration::from_secs(15);

/// What a connection waits with.
pub(super) type Place = Arc<Mutex<Option<Waiting>>>;

pub(super) struct Waiting {
    told: broadcast::Receiver<Arc<Told>>,
    /// Those to be sent first.
    before: VecDeque<Arc<Told>>,
    /// Rows of those, which `told` may bring again.
    known: HashSet<i64>,
    last: i64,
}

#[derive(Clone)]
struct Parts {
    events: Arc<Events>,
    /// Events that are kept for those who ask `after` a time.
    most: u32,
    shutdown: watch::Receiver<bool>,
}

pub(super) fn router(instance: &Instance, shutdown: watch::Receiver<bool>) -> Router {
    let parts = Parts {
        events: Arc::clone(&instance.events),
        most: instance.daemon.event_queue_size,
        shutdown,
    };
    Router::new()
        .route("/static/events.attach", get(attach).head(unanswerable))
        .route("/static/events.stream", get(stream_all).head(unanswerable))
        .with_state(parts)
}

/// Without a body there would be no event, and one would be lost.
async fn unanswerable() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

/// One event, as soon as there is one; the next request on this connection gets the next.
async fn attach(
    State(mut parts): State<Parts>,
    Extension(place): Extension<Place>,
    Query(query): Query<Pairs>,
) -> Response {
    let mut place = place.lock().await;
    let waiting = match &mut *place {
        Some(waiting) => waiting,
        // Only the first request of a connection says where to begin.
        none => match begin(&parts, &query, None).await {
            Ok(waiting) => none.insert(waiting),
            Err(refused) => return refused,
        },
    };
    let next = tokio::select! {
        _ = parts.shutdown.wait_for(|&is_over| is_over) => Err(shutdown()),
        next = waiting.next(&parts.events, parts.most) => next.map_err(|failed| failure(&failed)),
    };
    match next {
        Ok(told) => {
            let kind = [(header::CONTENT_TYPE, "application/json; charset=UTF-8")];
            // Without a length, as stock's: clients read to the end of the chunks.
            let body = Body::from_stream(stream::iter([Ok::<_, Infallible>(told.text.clone())]));
            (kind, body).into_response()
        }
        Err(refused) => refused,
    }
}

/// All events, for browsers and programs that know Server-Sent Events (WHATWG HTML, section 9.2).
async fn stream_all(
    State(parts): State<Parts>,
    headers: HeaderMap,
    Query(query): Query<Pairs>,
) -> Response {
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let waiting = match begin(&parts, &query, seen.and_then(|id| id.parse().ok())).await {
        Ok(waiting) => waiting,
        Err(refused) => return refused,
    };
    let frames = stream::unfold((parts, waiting), async |(mut parts, mut waiting)| {
        let frame = tokio::select! {
            _ = parts.shutdown.wait_for(|&is_over| is_over) => return None,
            () = tokio::time::sleep(ALIVE) => Bytes::from_static(b": alive\n\n"),
            next = waiting.next(&parts.events, parts.most) => match next {
                Ok(told) => frame(&told),
                Err(failed) => {
                    error!(error = &failed as &dyn std::error::Error, "can't read events");
                    return None;
                }
            },
        };
        Some((Ok::<_, Infallible>(frame), (parts, waiting)))
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::from_stream(frames)).into_response()
}

fn frame(told: &Told) -> Bytes {
    let text = String::from_utf8_lossy(&told.text);
    format!(
        "id: {}\nevent: {}\ndata: {text}\n\n",
        told.id, told.event.kind
    )
    .into()
}

/// From a time that the client names, or behind the last event that it has seen; else from now on.
async fn begin(parts: &Parts, query: &Pairs, seen: Option<i64>) -> Result<Waiting, Response> {
    let after = last(query, "after").filter(|time| !time.is_empty());
    let after = after
        .map(str::parse::<Timestamp>)
        .transpose()
        .map_err(|_| {
            reason(
                StatusCode::BAD_REQUEST,
                b"after: no ISO 8601 time with an offset",
            )
        })?;
    // Before the log is read, so that nothing falls between the two.
    let told = parts.events.subscribe();
    let (events, most) = (Arc::clone(&parts.events), parts.most);
    let before = beside(move || match (seen, after) {
        (Some(id), _) => events.after_row(id, most),
        (None, Some(after)) => events.since(after, most),
        (None, None) => Ok(Vec::new()),
    });
    let before = match before.await {
        Some(Ok(before)) => before,
        Some(Err(failed)) => return Err(failure(&failed)),
        None => return Err(shutdown()),
    };
    Ok(Waiting {
        told,
        known: before.iter().map(|told| told.id).collect(),
        last: 0,
        before: before.into(),
    })
}

impl Waiting {
    async fn next(&mut self, events: &Arc<Events>, most: u32) -> Result<Arc<Told>, events::Error> {
        loop {
            if let Some(told) = self.before.pop_front() {
                self.last = self.last.max(told.id);
                return Ok(told);
            }
            match self.told.recv().await {
                Ok(told) if self.known.remove(&told.id) => {}
                Ok(told) => {
                    self.last = self.last.max(told.id);
                    return Ok(told);
                }
                Err(RecvError::Lagged(_)) => {
                    let (reader, last) = (Arc::clone(events), self.last);
                    self.told = events.subscribe();
                    let read = beside(move || reader.after_row(last, most));
                    self.before = match read.await {
                        Some(read) => read?.into(),
                        None => return std::future::pending().await,
                    };
                    self.known = self.before.iter().map(|told| told.id).collect();
                }
                // The sender is in `events`.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

fn shutdown() -> Response {
    reason(StatusCode::SERVICE_UNAVAILABLE, b"Server Shutdown")
}

/// An error as stock's clients read it: in the reason phrase, without a body.
fn reason(status: StatusCode, text: &'static [u8]) -> Response {
    let mut response = status.into_response();
    response
        .extensions_mut()
        .insert(ReasonPhrase::from_static(text));
    response
}

fn failure(failed: &events::Error) -> Response {
    error!(
        error = failed as &dyn std::error::Error,
        "can't read events"
    );
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
