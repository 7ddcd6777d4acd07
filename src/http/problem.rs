//! How a refused call looks: the only place that gives errors of calls a status code (RFC 7807).
use std::error::Error;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::html;
use tracing::error;

use crate::api::{CallError, json};
use crate::model::event;

use super::calls::Output;
use super::page;

pub(super) fn response(refused: &CallError, output: Output) -> Response {
    let status = status(refused);
    let detail = match refused {
        CallError::Failed { .. } => {
            error!(error = refused as &dyn Error, "API call failed");
            "No public details (see service log)".to_owned()
        }
        public => public.to_string(),
    };
    answer(status, &detail, output)
}

/// An error in the form that was asked for.
pub(super) fn answer(status: StatusCode, detail: &str, output: Output) -> Response {
    match output {
        Output::Json | Output::Plain => {
            let problem = json::compact(&event::problem(status.as_u16(), detail));
            let kind = [(header::CONTENT_TYPE, "application/problem+json")];
            (status, kind, problem).into_response()
        }
        Output::Html => {
            let reason = status.canonical_reason().unwrap_or("Error");
            let title = format!("{} {reason}", status.as_u16());
            page::page(status, &title, &html! { p { (detail) } })
        }
        Output::Snippet => {
            let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            (status, kind, html! { p { (detail) } }.into_string()).into_response()
        }
    }
}

fn status(refused: &CallError) -> StatusCode {
    match refused {
        CallError::Missing(_)
        | CallError::Malformed { .. }
        | CallError::Unconfirmed(_)
        | CallError::Refused(_) => StatusCode::BAD_REQUEST,
        CallError::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
        CallError::OutOfScope(_) => StatusCode::FORBIDDEN,
        CallError::NotAvailable(_) => StatusCode::NOT_IMPLEMENTED,
        CallError::NotRunning(_) | CallError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        CallError::NotFound(_) => StatusCode::NOT_FOUND,
        CallError::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
