//! The HTTP server: API, repository, builds and events.
//!
//! Reading order: [`Server`] accepts connections (`listener` has the sockets, `timely` bounds how long a request may take
//! to come) and [`AccessLog`] writes down what they ask for; [`router`] says who answers: `calls` the API, [`files`] the trees on disk (`path` what is asked for, `tree` finds it below its root,
//! `times` are dists as they were, `conditions` decides what is sent of it, `media_type` says what it is, `listing` shows
//! directories), `events` the list of events and `attach` those that happen, `accounts` logs in (`auth` says who asks, by `cookies` or a token), `metrics` are numbers for Prometheus. `problem` and `page` are how errors look.
mod access_log;
mod accounts;
mod attach;
mod auth;
mod body;
mod calls;
mod conditions;
mod cookies;
mod events;
pub mod files;
mod form;
mod listener;
mod listing;
mod media_type;
mod metrics;
mod page;
mod path;
mod problem;
mod profile;
mod query;
mod registration;
mod server;
mod timely;
mod times;
mod tree;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use tokio::sync::watch;
use tracing::error;

use crate::instance::Instance;

pub use access_log::{AccessLog, Written};
pub use listener::Error;
pub use server::Server;

/// All routes of an instance; who waits for events is answered when `shutdown` is true.
pub fn router(instance: &Arc<Instance>, shutdown: watch::Receiver<bool>) -> Router {
    finish(
        Router::new()
            .route("/", get(home))
            .route("/mini_buildd/", get(home))
            .merge(files::router(&instance.home, Some(instance.past.clone())))
            .merge(accounts::router(Arc::clone(&instance.accounts)))
            .merge(registration::router(
                Arc::clone(&instance.accounts),
                instance.postman.clone(),
            ))
            .merge(profile::router(instance.clone()))
            .merge(calls::router(instance.clone()))
            .merge(events::router(instance.clone()))
            .merge(attach::router(instance, shutdown))
            .merge(metrics::router(instance.clone())),
    )
}

/// What holds for every answer.
pub fn finish(routes: Router) -> Router {
    routes
        .fallback(elsewhere)
        .layer(map_response(async |mut response: Response| {
            let headers = response.headers_mut();
            let nosniff = HeaderValue::from_static("nosniff");
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
            headers
                .entry(header::CONTENT_SECURITY_POLICY)
                .or_insert(HeaderValue::from_static(page::POLICY));
            response
        }))
}

/// Runs what waits for disks beside the async threads; `None`: the server ends meanwhile, or it panicked.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => Some(value),
        Err(stopped) => {
            error!(%stopped, "an answer ended early");
            None
        }
    }
}

async fn home() -> Response {
    redirect(StatusCode::FOUND, "/mini_buildd/events/")
}

/// Adds the slash that a page's URL lacks; nothing else is known.
async fn elsewhere(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    let is_page = ["/mini_buildd", "/accounts"]
        .iter()
        .any(|place| path.starts_with(place));
    if is_page && !path.ends_with('/') && matches!(method, Method::GET | Method::HEAD) {
        return redirect(StatusCode::MOVED_PERMANENTLY, &with_slash(&uri));
    }
    page::error(StatusCode::NOT_FOUND)
}

fn with_slash(uri: &Uri) -> String {
    match uri.query() {
        Some(query) => format!("{}/?{query}", uri.path()),
        None => format!("{}/", uri.path()),
    }
}

fn redirect(status: StatusCode, to: &str) -> Response {
    match HeaderValue::try_from(to) {
        Ok(location) => {
            let mut response = page::error(status);
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        Err(_) => page::error(StatusCode::NOT_FOUND),
    }
}
