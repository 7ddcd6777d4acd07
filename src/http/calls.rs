//! The API: `/mini_buildd/api/CALL/`.
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use maud::html;
use serde_json::Value;
use tracing::info;

use crate::api::{self, Call, CallError, Context, json};
use crate::instance::Instance;

use super::auth::{By, Refused, asker, is_browser, is_own_form};
use super::query::{Pairs, last};
use super::{body, page, problem};

const ALLOW: [(HeaderName, &str); 1] = [(header::ALLOW, "GET, POST")];

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new()
        .route("/mini_buildd/api/{call}/", any(answer))
        .layer(map_response(async |mut response: Response| {
            // Who asks is known by it.
            let cookie = HeaderValue::from_static("Cookie");
            response.headers_mut().insert(header::VARY, cookie);
            response
        }))
        .with_state(instance)
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Json,
    Plain,
    Html,
    /// What is within a page, for one that has it already.
    Snippet,
}

impl Output {
    /// What is unknown is JSON, as stock has it.
    fn of(query: &[(String, String)]) -> Output {
        match last(query, "output") {
            Some("plain") => Output::Plain,
            Some("html") => Output::Html,
            Some("html-snippet") => Output::Snippet,
            _ => Output::Json,
        }
    }
}

async fn answer(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    Query(mut query): Query<Pairs>,
    request: Request,
) -> Response {
    let output = Output::of(&query);
    let Some(call) = api::find(&name) else {
        let unknown = CallError::NotFound(format!("No such call: {name}"));
        return problem::response(&unknown, output);
    };
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let asker = match method {
        Method::GET | Method::POST => asker(&instance.accounts, &headers).await,
        Method::OPTIONS => return (StatusCode::OK, ALLOW).into_response(),
        _ => return (StatusCode::METHOD_NOT_ALLOWED, ALLOW).into_response(),
    };
    let asker = match asker {
        Ok(asker) => asker,
        Err(Refused::Failed(failed)) => {
            let failed = CallError::failed("find out who asks", failed);
            return problem::response(&failed, output);
        }
        Err(refused @ Refused::Token) => {
            return problem::answer(StatusCode::UNAUTHORIZED, &refused.to_string(), output);
        }
    };
    let forbid = |why: &str| problem::answer(StatusCode::FORBIDDEN, why, output);
    let mut confirmed = last(&query, "confirm").map(str::to_owned);
    if method == Method::POST {
        // Who may not make the call need not send what it is about.
        if let Err(refused) = call.permit_role(&asker.caller) {
            return problem::response(&refused, output);
        }
        match body::read(request).await {
            Ok(given) => {
                // Stock's queries may say what they like; what is said here only, is meant.
                if let Some((unknown, _)) = given.iter().find(|(key, _)| !is_known(call, key)) {
                    let why = format!("API call '{}' has no argument {unknown:?}", call.name);
                    return problem::answer(StatusCode::BAD_REQUEST, &why, output);
                }
                query.extend(given);
            }
            Err(refused) => return problem::answer(refused.status(), &refused.to_string(), output),
        }
        let token = headers
            .get("x-csrftoken")
            .and_then(|token| token.to_str().ok());
        let token = token.or_else(|| last(&query, "csrfmiddlewaretoken"));
        if asker.by == By::Session && !is_own_form(&headers, token) {
            return forbid(
                "A session needs the header X-CSRFToken, or the field csrfmiddlewaretoken, with the value of the cookie csrftoken",
            );
        }
        confirmed = Some(call.name.to_owned());
    } else if call.changes && asker.by == By::Session && is_browser(&headers) {
        return forbid("A browser makes calls that change something by POST only");
    }
    let output = Output::of(&query);
    let context = Context {
        call: call.name,
        instance,
        caller: asker.caller,
        confirmed,
    };
    info!(call = call.name, user = %context.caller, client = %client.ip().to_canonical(), "API call");
    match call.run(&context, &query).await {
        Ok(value) => result(call, &value, output),
        Err(refused) => problem::response(&refused, output),
    }
}

fn is_known(call: &Call, key: &str) -> bool {
    ["confirm", "csrfmiddlewaretoken", "output"].contains(&key)
        || call.arguments.iter().any(|spec| spec.name == key)
}

fn result(call: &Call, value: &Value, output: Output) -> Response {
    let content = || html! { pre { (json::plain(value)) } };
    let (kind, text) = match output {
        Output::Json => ("application/json", json::compact(value)),
        Output::Plain => ("text/plain", json::plain(value)),
        Output::Html => return page::page(StatusCode::OK, call.name, &content()),
        Output::Snippet => ("text/html; charset=utf-8", content().into_string()),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_output_is_json() {
        let of = |value: &str| Output::of(&[("output".to_owned(), value.to_owned())]);
        assert_eq!(of("plain"), Output::Plain);
        assert_eq!(of("html-snippet"), Output::Snippet);
        assert_eq!(of("yaml"), Output::Json);
        assert_eq!(Output::of(&[]), Output::Json);
    }
}
