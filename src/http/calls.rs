//! The API: `/mini_buildd/api/CALL/`.
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use maud::html;
use serde_json::Value;
use tracing::info;

use crate::api::{self, Call, CallError, Caller, Context, json};
use crate::instance::Instance;

use super::{page, problem};

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new()
        .route("/mini_buildd/api/{call}/", any(answer))
        .with_state(instance)
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Json,
    Plain,
    Html,
}

impl Output {
    /// What is unknown is JSON, as stock has it.
    fn of(query: &[(String, String)]) -> Output {
        match last(query, "output") {
            Some("plain") => Output::Plain,
            Some("html" | "html-snippet") => Output::Html,
            _ => Output::Json,
        }
    }
}

async fn answer(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    method: Method,
) -> Response {
    let Some(call) = api::find(&name) else {
        let unknown = CallError::NotFound(format!("No such call: {name}"));
        return problem::response(&unknown, Output::of(&query));
    };
    match method {
        Method::GET => {}
        Method::OPTIONS => return (StatusCode::OK, [(header::ALLOW, "GET")]).into_response(),
        // What changes something needs a token that a form of ours was given.
        Method::POST => return page::error(StatusCode::FORBIDDEN),
        _ => {
            let allow = [(header::ALLOW, "GET")];
            return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
        }
    }
    let context = Context {
        instance,
        caller: Caller::Anonymous,
        confirmed: last(&query, "confirm").map(str::to_owned),
    };
    info!(call = call.name, user = %context.caller, client = %client.ip().to_canonical(), "API call");
    let output = Output::of(&query);
    match call.run(&context, &query).await {
        Ok(value) => result(call, &value, output),
        Err(refused) => problem::response(&refused, output),
    }
}

fn result(call: &Call, value: &Value, output: Output) -> Response {
    let (kind, text) = match output {
        Output::Json => ("application/json", json::compact(value)),
        Output::Plain => ("text/plain", json::plain(value)),
        Output::Html => {
            let content = html! { pre { (json::plain(value)) } };
            return page::page(StatusCode::OK, call.name, &content);
        }
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn last<'a>(query: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let found = query.iter().rfind(|(name, _)| name == key);
    found.map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_output_is_json() {
        let of = |value: &str| Output::of(&[("output".to_owned(), value.to_owned())]);
        assert_eq!(of("plain"), Output::Plain);
        assert_eq!(of("html-snippet"), Output::Html);
        assert_eq!(of("yaml"), Output::Json);
        assert_eq!(Output::of(&[]), Output::Json);
    }
}
