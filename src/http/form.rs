//! Pages with a form of ours: each has a token that must come back with it.
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use maud::{Markup, html};

use crate::accounts;

use super::server::Encrypted;
use super::{cookies, page};

/// A year, as stock's.
pub(super) const CSRF_SECONDS: i64 = 365 * 24 * 60 * 60;
/// Field that carries the token.
pub(super) const TOKEN: &str = "csrfmiddlewaretoken";

/// A form and what is said above it.
pub(super) struct Form<'a> {
    pub(super) title: &'a str,
    /// What is wrong with what was sent.
    pub(super) fault: Option<&'a str>,
    /// Path that it is sent to.
    pub(super) action: &'a str,
    pub(super) button: &'a str,
    pub(super) fields: Markup,
    /// Below the form.
    pub(super) more: Markup,
}

impl Form<'_> {
    /// The page, with a token that must come back; who has one keeps it.
    pub(super) fn page(
        &self,
        headers: &HeaderMap,
        encrypted: Encrypted,
        status: StatusCode,
    ) -> Response {
        let token = match cookies::get(headers, cookies::CSRF) {
            Some(token) if is_token(token) => token.to_owned(),
            _ => match accounts::secret() {
                Ok(token) => token,
                Err(_) => return page::error(StatusCode::INTERNAL_SERVER_ERROR),
            },
        };
        let content = html! {
            @if let Some(fault) = self.fault { p role="alert" { (fault) } }
            form method="post" action=(self.action) {
                input type="hidden" name=(TOKEN) value=(token);
                (self.fields)
                p { button type="submit" { (self.button) } }
            }
            (self.more)
        };
        let mut response = page::with_form(status, self.title, &content);
        let cookie = cookies::set_csrf(&token, CSRF_SECONDS, encrypted);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        response
    }
}

/// A field with its label.
pub(super) fn field(name: &str, label: &str, kind: &str, autocomplete: &str) -> Markup {
    html! {
        p { label for=(name) { (label) } br;
            input id=(name) type=(kind) name=(name) autocomplete=(autocomplete) required; }
    }
}

/// Of our own making: nothing else goes into a header.
fn is_token(text: &str) -> bool {
    (32..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
