//! Logging in and out, to the letter as stock's clients do it: GET for a token, POST of the form, a redirect to `next`.
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Extension, Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use maud::html;
use tokio::sync::Semaphore;
use tracing::{error, info, warn};

use crate::accounts::{self, Accounts, SESSION};
use crate::api::Caller;

use super::auth::{asker, blocking, is_here, is_own_form};
use super::form::{self, CSRF_SECONDS, TOKEN, field};
use super::query::{Pairs, last};
use super::server::Encrypted;
use super::{cookies, page, redirect};

/// Of a form.
const LIMIT: usize = 64 * 1024;
const HOME: &str = "/mini_buildd/";
/// Exists for stock's clients: they are logged in if they are led here.
const NULL: &str = "/accounts/null/";

/// What the pages work with.
#[derive(Clone)]
struct Parts {
    accounts: Arc<Accounts>,
    /// Those who log in wait here, not in the threads that all others need too.
    turn: Arc<Semaphore>,
}

pub(super) fn router(accounts: Arc<Accounts>) -> Router {
    let parts = Parts {
        accounts,
        turn: Arc::new(Semaphore::new(1)),
    };
    Router::new()
        .route("/accounts/login/", get(show).post(log_in))
        .route("/accounts/logout/", get(log_out))
        .route(NULL, get(null))
        .layer(DefaultBodyLimit::max(LIMIT))
        .with_state(parts)
}

async fn show(
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
    Query(query): Query<Pairs>,
) -> Response {
    let next = last(&query, "next").unwrap_or_default();
    login_page(&headers, encrypted, (StatusCode::OK, None), next)
}

async fn log_in(
    State(parts): State<Parts>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
    Form(form): Form<Pairs>,
) -> Response {
    let next = last(&form, "next").unwrap_or_default();
    let refused = |status, why: &str| login_page(&headers, encrypted, (status, Some(why)), next);
    if !is_own_form(&headers, last(&form, TOKEN)) {
        let why = "This form was not sent by a page of this site; please try again.";
        return refused(StatusCode::FORBIDDEN, why);
    }
    let (Some(name), Some(password)) = (last(&form, "username"), last(&form, "password")) else {
        return refused(StatusCode::OK, "Please give a name and a password.");
    };
    let address = client.ip().to_canonical();
    let (user, password) = (name.to_owned(), password.to_owned());
    let Ok(turn) = Arc::clone(&parts.turn).acquire_owned().await else {
        return page::error(StatusCode::SERVICE_UNAVAILABLE);
    };
    let accounts = parts.accounts;
    let logged_in = blocking(move || {
        let logged_in = accounts.log_in(&user, &password, address, Timestamp::now());
        // Here, so that nobody escapes by hanging up.
        match &logged_in {
            Ok(Some(_)) => info!(?user, %address, "logged in"),
            Ok(None) => warn!(?user, %address, "login failed"),
            Err(error) => warn!(?user, %address, %error, "login refused"),
        }
        drop(turn);
        logged_in
    })
    .await;
    let session = match logged_in {
        Ok(Some(session)) => session,
        Ok(None) => {
            return refused(StatusCode::OK, "Please give a correct name and password.");
        }
        Err(wait @ accounts::Error::Attempts { .. }) => {
            return refused(StatusCode::TOO_MANY_REQUESTS, &wait.to_string());
        }
        Err(failed) => return failure(&failed),
    };
    let to = if is_safe(&headers, next) { next } else { HOME };
    let mut response = redirect(StatusCode::FOUND, to);
    // A token that somebody planted before is not good for what comes.
    let cookies = [
        Some(cookies::set_session(
            &session.secret,
            SESSION.as_secs(),
            encrypted,
        )),
        accounts::secret()
            .ok()
            .map(|token| cookies::set_csrf(&token, CSRF_SECONDS, encrypted)),
    ];
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

async fn log_out(
    State(parts): State<Parts>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
) -> Response {
    if let Some(session) = cookies::get(&headers, cookies::SESSION) {
        let session = session.to_owned();
        if let Err(failed) = blocking(move || parts.accounts.log_out(&session)).await {
            return failure(&failed);
        }
    }
    let content = html! { p { "You are logged out. " a href="/accounts/login/" { "Log in" } } };
    let mut response = page::page(StatusCode::OK, "Logged out", &content);
    let gone = cookies::set_session("", 0, encrypted);
    response.headers_mut().append(header::SET_COOKIE, gone);
    response
}

async fn null(State(parts): State<Parts>, headers: HeaderMap) -> Response {
    match asker(&parts.accounts, &headers).await {
        Ok(asker) if asker.caller != Caller::Anonymous => {
            let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            (kind, "<!DOCTYPE html>").into_response()
        }
        Ok(_) => redirect(StatusCode::FOUND, &format!("/accounts/login/?next={NULL}")),
        Err(refused) => failure(&refused),
    }
}

fn login_page(
    headers: &HeaderMap,
    encrypted: Encrypted,
    (status, fault): (StatusCode, Option<&str>),
    next: &str,
) -> Response {
    let form = form::Form {
        title: "Log in",
        fault,
        action: "/accounts/login/",
        button: "Log in",
        fields: html! {
            input type="hidden" name="next" value=(next);
            (field("username", "Name", "text", "username"))
            (field("password", "Password", "password", "current-password"))
        },
        more: html! {
            p {
                a href="/accounts/password_reset/" { "Set a new password" } " · "
                a href="/accounts/register/" { "Register" }
            }
        },
    };
    form.page(headers, encrypted, status)
}

/// Tells whether a login may lead there: to this host, by whatever name it was asked.
fn is_safe(headers: &HeaderMap, next: &str) -> bool {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain && (is_path || is_here(headers, next))
}

fn failure(failed: &(impl Error + 'static)) -> Response {
    error!(error = failed as &dyn Error, "can't answer");
    page::error(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_else() {
        let headers: HeaderMap = [(header::HOST, "h:8066".parse().unwrap())]
            .into_iter()
            .collect();
        for next in ["/mini_buildd/events/", "http://h:8066/accounts/null/", "/"] {
            assert!(is_safe(&headers, next), "{next}");
        }
        for next in [
            "",
            "//evil/",
            "/\\evil/",
            "http://evil/",
            "javascript:alert(1)",
            "/a\r\nb",
            "/a b",
        ] {
            assert!(!is_safe(&headers, next), "{next}");
        }
    }
}
