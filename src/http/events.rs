//! What happened, newest first: `/mini_buildd/events/`.
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use tracing::error;

use crate::instance::Instance;
use crate::model::Event;
use crate::model::event::Build;
use crate::store;
use crate::store::event_log::{self, Logged};

use super::path::{RelativePath, escape};
use super::{page, redirect};

const LIMIT: u32 = 100;

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
    let given = query.iter().rfind(|(key, _)| key == "before");
    let Ok(before) = given.map(|(_, time)| moment(time)).transpose() else {
        return page::error(StatusCode::BAD_REQUEST);
    };
    let store = instance.store.clone();
    let reading = tokio::task::spawn_blocking(move || {
        store.read::<_, store::Error>(|tx| event_log::recent(tx, limit.min(10 * LIMIT), before))
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

/// ISO 8601; without an offset it is UTC, as in stock.
fn moment(time: &str) -> Result<Timestamp, jiff::Error> {
    let naive = || time.parse::<DateTime>()?.to_zoned(TimeZone::UTC);
    time.parse()
        .or_else(|_| naive().map(|zoned| zoned.timestamp()))
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
            tr {
                th { "Time" } th { "Type" } th { "Distribution" } th { "Source" } th { "Version" } th {}
                th { "Build logs" } th { "Reason" }
            }
            @for Logged { event, directory, .. } in events {
                @let directory = link("/static/events", directory) + "/";
                tr {
                    td { (event.timestamp) }
                    td { a href={ (directory) (escape(event.file_name().as_ref())) } { (event.kind) } }
                    td { (event.distribution) }
                    td { (event.source) }
                    td { (event.version) }
                    td { a href=(directory) { "files" } }
                    td {
                        @for build in event.builds() {
                            @let (link, text) = log(event, &build);
                            a href=(link) { (text) } " "
                        }
                    }
                    td { (event.reason().unwrap_or_default()) }
                }
            }
        }
    }
}

/// A link to the log of a build, and its words: the architecture, and how it ended.
fn log(event: &Event, build: &Build<'_>) -> (String, String) {
    let status = build.status.map(|status| format!(": {status}"));
    (
        link(event.log_place(), build.log),
        build.architecture.to_owned() + &status.unwrap_or_default(),
    )
}

fn link(place: &str, path: &str) -> String {
    let names = path.split('/');
    names.fold(place.to_owned(), |link, name| {
        link + "/" + &escape(name.as_ref())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::EventType;

    fn event(kind: EventType, extra: &Value) -> Logged {
        Logged {
            id: 1,
            event: Event {
                kind,
                distribution: "trixie-test-unstable".into(),
                source: "hello".into(),
                version: "1:2".into(),
                timestamp: "2026-11-22T05:54:10Z".parse().unwrap(),
                extra: extra.as_object().unwrap().clone(),
            },
            directory: "hello/1:2/T/source".into(),
        }
    }

    fn build(architecture: &str, status: &str) -> Value {
        json!({
            "architecture": architecture,
            "buildlog": format!("hello/1:2/T/{architecture}/hello_2_{architecture}.buildlog"),
            "sbuild_status": status,
        })
    }

    #[test]
    fn running_build_links_to_its_growing_log() {
        let mut build = build("i386", "");
        build.as_object_mut().unwrap().remove("sbuild_status");
        let event = event(EventType::Building, &build).event;
        let logs = event.builds().into_iter();
        let logs: Vec<_> = logs.map(|build| log(&event, &build)).collect();
        let link = "/mini_buildd/builds-dir/hello/1%3A2/T/i386/hello_2_i386.buildlog";
        assert_eq!(logs, [(link.to_owned(), "i386".to_owned())]);
    }

    #[test]
    fn failed_upload_names_the_reason_and_every_architectures_log() {
        let extra = json!({
            "error": {"detail": "1 mandatory architecture(s) missing: <i386>"},
            "buildresults": {"amd64": build("amd64", "successful"), "i386": build("i386", "attempted")},
        });
        let page = table(&[event(EventType::Failed, &extra)]).into_string();
        for part in [
            ">amd64: successful</a>",
            ">i386: attempted</a>",
            "/mini_buildd/events-dir/hello/1%3A2/T/amd64/hello_2_amd64.buildlog",
            "<td>1 mandatory architecture(s) missing: &lt;i386&gt;</td>",
            "href=\"/static/events/hello/1%3A2/T/source/\"",
        ] {
            assert!(page.contains(part), "{part:?} is not in {page}");
        }
    }
}
