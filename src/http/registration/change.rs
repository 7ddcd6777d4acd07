//! Who knows the password sets another one.
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Extension, Form as Body, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use maud::html;

use crate::api::Caller;
use crate::http::auth::{asker, is_own_form};
use crate::http::form::{Form, TOKEN, field};
use crate::http::query::{Pairs, last};
use crate::http::redirect;
use crate::http::server::Encrypted;
use crate::model::user::User;

use super::{NEW, OTHER_SITE, Parts, failure, in_turn, mendable, new_password, passwords};

fn another(fault: Option<&str>) -> Form<'_> {
    Form {
        title: "Change your password",
        fault,
        action: "/accounts/password_change/",
        button: "Change it",
        fields: html! {
            (field("old_password", "Old password", "password", "current-password"))
            (passwords(NEW))
        },
        more: html! {},
    }
}

/// Who has a session; else leads to the login.
async fn user(parts: &Parts, headers: &HeaderMap, next: &str) -> Result<User, Response> {
    let to_login = || redirect(StatusCode::FOUND, &format!("/accounts/login/?next={next}"));
    match asker(&parts.accounts, headers).await {
        Ok(asker) => match asker.caller {
            Caller::User { name, .. } => {
                let found = in_turn(parts, move |accounts| accounts.user(name.as_str()));
                let found = found.await.map_err(|failed| failure(&failed))?;
                found.ok_or_else(to_login)
            }
            Caller::Anonymous => Err(to_login()),
        },
        Err(_) => Err(to_login()),
    }
}

pub(super) async fn form(
    State(parts): State<Parts>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
) -> Response {
    match user(&parts, &headers, "/accounts/password_change/").await {
        Ok(_) => another(None).page(&headers, encrypted, StatusCode::OK),
        Err(answer) => answer,
    }
}

pub(super) async fn change(
    State(parts): State<Parts>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
    Body(form): Body<Pairs>,
) -> Response {
    let user = match user(&parts, &headers, "/accounts/password_change/").await {
        Ok(user) => user,
        Err(answer) => return answer,
    };
    let refused = |status, why: &str| another(Some(why)).page(&headers, encrypted, status);
    if !is_own_form(&headers, last(&form, TOKEN)) {
        return refused(StatusCode::FORBIDDEN, OTHER_SITE);
    }
    let new = match new_password(&form, NEW) {
        Ok(password) => password,
        Err(why) => return refused(StatusCode::BAD_REQUEST, why),
    };
    let old = last(&form, "old_password").unwrap_or_default().to_owned();
    let address = client.ip().to_canonical();
    let done = in_turn(&parts, move |accounts| {
        accounts.change_password(&user, [&old, &new], address, Timestamp::now())
    });
    match done.await {
        Ok(true) => redirect(StatusCode::FOUND, "/accounts/password_change/done/"),
        Ok(false) => refused(StatusCode::BAD_REQUEST, "The old password is wrong."),
        Err(error) => mendable(&error, refused),
    }
}
