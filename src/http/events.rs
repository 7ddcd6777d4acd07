//! What happened, newest first: `/mini_buildd/events/`.
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::{Map, Value};
use tracing::error;

use crate::instance::Instance;
use crate::model::Event;
use crate::store;
use crate::store::event_log::{self, Logged};

use super::path::{RelativePath, escape};
use super::{page, redirect};

const LIMIT: u32 = 100;
const COLUMNS: [&str; 7] = [
    "Time",
    "Type",
    "Distribution",
    "Source",
    "Version",
    "Reason",
    "",
];

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new()
        .route("/mini_buildd/events/", get(recent))
        .route("/mini_buildd/events/{*path}", get(below))
        .with_state(instance)
}

async fn recent(
    State(instance): State<Arc<Instance>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let given = query.iter().rfind(|(key, _)| key == "limit");
    let Ok(limit) = given.map_or(Ok(LIMIT), |(_, value)| value.parse()) else {
        return page::error(StatusCode::BAD_REQUEST);
    };
    let store = instance.store.clone();
    let reading = tokio::task::spawn_blocking(move || {
        store.read::<_, store::Error>(|tx| event_log::recent(tx, limit.min(10 * LIMIT)))
    });
    match reading.await {
        Ok(Ok(events)) => page::page(StatusCode::OK, "Events", &table(&events)),
        Ok(Err(error)) => {
            error!(
                error = &error as &dyn std::error::Error,
                "can't list events"
            );
            page::error(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(stopped) => {
            error!(%stopped, "can't list events");
            page::error(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Events of one package, version or upload are in its directory.
async fn below(Path(path): Path<String>) -> Response {
    let names: Vec<_> = path.split('/').map(|name| escape(name.as_ref())).collect();
    let to = names.join("/");
    match RelativePath::parse(&to) {
        Some(_) => redirect(StatusCode::FOUND, &format!("/mini_buildd/events-dir/{to}")),
        None => page::error(StatusCode::NOT_FOUND),
    }
}

fn table(events: &[Logged]) -> Markup {
    html! {
        table {
            tr { @for name in COLUMNS { th { (name) } } }
            @for Logged { event, directory, .. } in events {
                @let directory = link(directory);
                tr {
                    td { (event.timestamp) }
                    td { a href={ (directory) (escape(event.file_name().as_ref())) } { (event.kind) } }
                    td { (event.distribution) }
                    td { (event.source) }
                    td { (event.version) }
                    td { (reason(event)) }
                    td {
                        a href=(directory) { "files" }
                        @for (name, log) in logs(event) { " " a href=(log) { (name) } }
                    }
                }
            }
        }
    }
}

/// Why something was rejected or failed.
fn reason(event: &Event) -> &str {
    let error = event.extra.get("error");
    let detail = error.and_then(|error| error.get("detail")?.as_str());
    detail.unwrap_or_default()
}

/// Build logs that an event is about: those of a packager in its events, that of a builder in its builds.
fn logs(event: &Event) -> Vec<(String, String)> {
    let below = |root: &str, about: &Map<String, Value>| {
        let path = about.get("buildlog")?.as_str()?;
        let names: Vec<_> = path.split('/').map(|name| escape(name.as_ref())).collect();
        Some(format!("/mini_buildd/{root}/{}", names.join("/")))
    };
    let results = event.extra.get("buildresults").and_then(Value::as_object);
    let installed = results.into_iter().flatten().filter_map(|(name, about)| {
        let log = below("events-dir", about.as_object()?)?;
        Some((format!("log {name}"), log))
    });
    let own = below("builds-dir", &event.extra).map(|log| ("log".to_owned(), log));
    installed.chain(own).collect()
}

fn link(directory: &str) -> String {
    let names = directory.split('/').map(|name| escape(name.as_ref()) + "/");
    format!("/static/events/{}", names.collect::<String>())
}
