//! HTML answers: escaped by the template engine, nothing active in them.
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Content-Security-Policy of every answer: no script, no frame, no form, nothing from elsewhere.
pub(super) const POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// As [`POLICY`], for pages with a form of ours.
const FORM_POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A page whose forms go to this site.
pub(super) fn with_form(status: StatusCode, title: &str, content: &Markup) -> Response {
    let mut response = page(status, title, content);
    let policy = HeaderValue::from_static(FORM_POLICY);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    // It has a token of its reader's.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

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
