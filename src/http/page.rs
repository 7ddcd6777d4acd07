//! HTML answers: escaped by the template engine, nothing active in them.
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Content-Security-Policy of every answer: no script, no frame, no form, nothing from elsewhere.
pub(super) const POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn page(status: StatusCode, title: &str, content: &Markup) -> Response {
    let page: PreEscaped<String> = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " – mini-buildd" }
            }
            body {
                h1 { (title) }
                (content)
            }
        }
    };
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, kind, page.into_string()).into_response()
}

/// Says no more than the status does.
pub(super) fn error(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or("Error");
    page(status, &format!("{} {reason}", status.as_u16()), &html! {})
}
