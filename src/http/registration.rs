//! What people do by a link that is mailed to them: register, and set a password anew; and change the password that they
//! know.
mod change;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Extension, Form as Body, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::Semaphore;
use tracing::{error, info, warn};

use crate::accounts::{self, Accounts};
use crate::cause::with_causes;
use crate::mail::{Letter, Postman};
use crate::model::user::{User, UserName};

use super::auth::{blocking, is_own_form};
use super::form::{Form, TOKEN, field};
use super::query::{Pairs, last};
use super::server::Encrypted;
use super::{page, redirect};

/// Of a form.
const LIMIT: usize = 64 * 1024;
/// With each answer of the relay.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Parts {
    accounts: Arc<Accounts>,
    /// `None`: no letters are sent.
    postman: Option<Arc<Postman>>,
    /// As those who log in.
    turn: Arc<Semaphore>,
}

pub(super) fn router(accounts: Arc<Accounts>, postman: Option<Arc<Postman>>) -> Router {
    let parts = Parts {
        accounts,
        postman,
        turn: Arc::new(Semaphore::new(1)),
    };
    Router::new()
        .route("/accounts/register/", get(register_form).post(register))
        .route("/accounts/activate/{name}/{secret}/", get(activate))
        .route("/accounts/password_reset/", get(forgot_form).post(forgot))
        .route("/accounts/password_reset/done/", get(forgot_done))
        .route(
            "/accounts/reset/{name}/{secret}/",
            get(reset_form).post(reset),
        )
        .route("/accounts/reset/done/", get(changed))
        .route(
            "/accounts/password_change/",
            get(change::form).post(change::change),
        )
        .route("/accounts/password_change/done/", get(changed))
        .layer(DefaultBodyLimit::max(LIMIT))
        .with_state(parts)
}

/// Sends a letter with a link to one of our pages.
fn send(postman: &Postman, user: &User, title: &str, path: &str, why: &str) {
    let url = &postman.url;
    let letter = Letter {
        to: user.email.clone(),
        subject: title.to_owned(),
        text: format!("{why}\n\n{url}{path}\n\nIf you did not ask for it, do nothing.\n"),
        attachment: None,
        id: None,
    };
    match postman.send(&letter, PATIENCE) {
        Ok(()) => info!(user = %user.name, title, "sent a letter"),
        Err(failed) => {
            error!(user = %user.name, error = with_causes(&failed), "can't send a letter");
        }
    }
}

/// The path of a page for one user.
fn link(page: &str, name: &str, secret: &str) -> String {
    let [name, secret] = [name, secret].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
    format!("/accounts/{page}/{name}/{secret}/")
}

/// A page that says what happened.
fn said(status: StatusCode, title: &str, text: &str) -> Response {
    page::page(status, title, &html! { p { (text) } })
}

fn no_letters() -> Response {
    let text = "This instance sends no letters. Please ask its administrator.";
    said(StatusCode::SERVICE_UNAVAILABLE, "No letters", text)
}

fn failure(failed: &accounts::Error) -> Response {
    error!(error = with_causes(failed), "can't answer");
    page::error(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The form again, with what its reader can mend; other errors are ours.
fn mendable(
    error: &accounts::Error,
    refused: impl FnOnce(StatusCode, &str) -> Response,
) -> Response {
    let status = match error {
        accounts::Error::Letters { .. } | accounts::Error::Attempts { .. } => {
            StatusCode::TOO_MANY_REQUESTS
        }
        accounts::Error::Taken(_)
        | accounts::Error::Length
        | accounts::Error::Store(crate::store::Error::Invalid(_)) => StatusCode::BAD_REQUEST,
        _ => return failure(error),
    };
    refused(status, &error.to_string())
}

/// Both fields of a new password, which must be the same.
fn new_password(form: &Pairs, names: [&str; 2]) -> Result<String, &'static str> {
    match names.map(|name| last(form, name).unwrap_or_default()) {
        ["", _] => Err("Please give a password."),
        [one, other] if one == other => Ok(one.to_owned()),
        _ => Err("The two passwords differ."),
    }
}

fn passwords(names: [&str; 2]) -> Markup {
    html! {
        (field(names[0], "New password", "password", "new-password"))
        (field(names[1], "New password again", "password", "new-password"))
    }
}

const OTHER_SITE: &str = "This form was not sent by a page of this site; please try again.";
const REGISTER: [&str; 2] = ["password1", "password2"];
const NEW: [&str; 2] = ["new_password1", "new_password2"];

fn registration(fault: Option<&str>) -> Form<'_> {
    Form {
        title: "Register",
        fault,
        action: "/accounts/register/",
        button: "Register",
        fields: html! {
            (field("username", "Name", "text", "username"))
            (field("email", "E-mail address", "email", "email"))
            (passwords(REGISTER))
        },
        more: html! {},
    }
}

async fn register_form(
    State(parts): State<Parts>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
) -> Response {
    if parts.postman.is_none() {
        return no_letters();
    }
    registration(None).page(&headers, encrypted, StatusCode::OK)
}

async fn register(
    State(parts): State<Parts>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
    Body(form): Body<Pairs>,
) -> Response {
    let Some(postman) = parts.postman.clone() else {
        return no_letters();
    };
    let refused = |status, why: &str| registration(Some(why)).page(&headers, encrypted, status);
    if !is_own_form(&headers, last(&form, TOKEN)) {
        return refused(StatusCode::FORBIDDEN, OTHER_SITE);
    }
    let password = match new_password(&form, REGISTER) {
        Ok(password) => password,
        Err(why) => return refused(StatusCode::BAD_REQUEST, why),
    };
    let name = last(&form, "username").unwrap_or_default();
    let name: UserName = match name.parse() {
        Ok(name) => name,
        Err(why) => {
            let why: crate::model::user::NoUserName = why;
            return refused(StatusCode::BAD_REQUEST, &why.to_string());
        }
    };
    let email = last(&form, "email").unwrap_or_default().trim().to_owned();
    if email.is_empty() {
        return refused(StatusCode::BAD_REQUEST, "Please give an e-mail address.");
    }
    let user = User {
        name,
        email,
        active: false,
        staff: false,
        superuser: false,
    };
    let address = client.ip().to_canonical();
    let new = user.clone();
    let registered = in_turn(&parts, move |accounts| {
        accounts.register(&new, &password, address, Timestamp::now())
    });
    match registered.await {
        Ok(secret) => {
            info!(user = %user.name, %address, "registered");
            let path = link("activate", user.name.as_str(), &secret);
            let why = format!(
                "Somebody registered as {} with this address. To log in, open first:",
                user.name
            );
            // Nobody waits for the relay.
            tokio::task::spawn_blocking(move || {
                send(&postman, &user, "Activate your account", &path, &why);
            });
            let text = "A letter with a link is on its way to you. Open the link to activate your account.";
            said(StatusCode::OK, "Activation email sent", text)
        }
        Err(error) => mendable(&error, refused),
    }
}

/// Does what takes a while beside the async threads, one at a time.
async fn in_turn<T: Send + 'static>(
    parts: &Parts,
    work: impl FnOnce(&Accounts) -> Result<T, accounts::Error> + Send + 'static,
) -> Result<T, accounts::Error> {
    let turn = Arc::clone(&parts.turn).acquire_owned().await;
    let turn = turn.map_err(|_| accounts::Error::Ended)?;
    let accounts = Arc::clone(&parts.accounts);
    blocking(move || {
        let done = work(&accounts);
        drop(turn);
        done
    })
    .await
}

async fn activate(
    State(parts): State<Parts>,
    Path((name, secret)): Path<(String, String)>,
) -> Response {
    let done = in_turn(&parts, move |accounts| {
        accounts.activate(&name, &secret, Timestamp::now())
    });
    match done.await {
        Ok(true) => {
            let content =
                html! { p { "Your account is active. " a href="/accounts/login/" { "Log in" } } };
            page::page(StatusCode::OK, "Account activated", &content)
        }
        Ok(false) => said(
            StatusCode::BAD_REQUEST,
            "No activation",
            "This link is not good, or not any more.",
        ),
        Err(failed) => failure(&failed),
    }
}

fn forgotten(fault: Option<&str>) -> Form<'_> {
    Form {
        title: "Set a new password",
        fault,
        action: "/accounts/password_reset/",
        button: "Send a letter",
        fields: field("email", "E-mail address", "email", "email"),
        more: html! {},
    }
}

async fn forgot_form(
    State(parts): State<Parts>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
) -> Response {
    if parts.postman.is_none() {
        return no_letters();
    }
    forgotten(None).page(&headers, encrypted, StatusCode::OK)
}

/// Answers alike whether somebody has the address or not: letters are written after the answer.
async fn forgot(
    State(parts): State<Parts>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
    Body(form): Body<Pairs>,
) -> Response {
    let Some(postman) = parts.postman.clone() else {
        return no_letters();
    };
    let refused = |status, why: &str| forgotten(Some(why)).page(&headers, encrypted, status);
    if !is_own_form(&headers, last(&form, TOKEN)) {
        return refused(StatusCode::FORBIDDEN, OTHER_SITE);
    }
    let email = last(&form, "email").unwrap_or_default().trim().to_owned();
    let address = client.ip().to_canonical();
    match parts.accounts.take_letter(address, Timestamp::now()) {
        Ok(()) => {
            // How long it takes would tell whether somebody has the address.
            tokio::spawn(async move {
                let found = in_turn(&parts, move |accounts| {
                    accounts.forgot(&email, Timestamp::now())
                });
                write_letters(&postman, found.await).await;
            });
            redirect(StatusCode::FOUND, "/accounts/password_reset/done/")
        }
        Err(error) => mendable(&error, refused),
    }
}

/// Sends links to those who may set a password anew.
async fn write_letters(
    postman: &Arc<Postman>,
    found: Result<Vec<(User, String)>, accounts::Error>,
) {
    let found = match found {
        Ok(found) => found,
        Err(failed) => return error!(error = with_causes(&failed), "can't make a link"),
    };
    let postman = Arc::clone(postman);
    let writing = tokio::task::spawn_blocking(move || {
        for (user, secret) in found {
            let path = link("reset", user.name.as_str(), &secret);
            let why = format!(
                "To set a new password for {}, open within a day:",
                user.name
            );
            send(&postman, &user, "Set a new password", &path, &why);
        }
    });
    if let Err(panicked) = writing.await {
        error!(%panicked, "can't write letters");
    }
}

async fn forgot_done() -> Response {
    let text = "If somebody has this address here, a letter with a link is on its way.";
    said(StatusCode::OK, "Letter sent", text)
}

async fn reset_form(
    State(parts): State<Parts>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
    Path((name, secret)): Path<(String, String)>,
) -> Response {
    reset_page(&parts, &headers, encrypted, (name, secret), None).await
}

async fn reset_page(
    parts: &Parts,
    headers: &HeaderMap,
    encrypted: Encrypted,
    (name, secret): (String, String),
    fault: Option<(StatusCode, &str)>,
) -> Response {
    let action = link("reset", &name, &secret);
    let good = in_turn(parts, move |accounts| {
        accounts.may_reset(&name, &secret, Timestamp::now())
    });
    match good.await {
        Ok(true) => Form {
            title: "Set a new password",
            fault: fault.map(|(_, why)| why),
            action: &action,
            button: "Set it",
            fields: passwords(NEW),
            more: html! {},
        }
        .page(
            headers,
            encrypted,
            fault.map_or(StatusCode::OK, |(status, _)| status),
        ),
        Ok(false) => said(
            StatusCode::BAD_REQUEST,
            "No new password",
            "This link is not good, or not any more.",
        ),
        Err(failed) => failure(&failed),
    }
}

async fn reset(
    State(parts): State<Parts>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
    Path((name, secret)): Path<(String, String)>,
    Body(form): Body<Pairs>,
) -> Response {
    let again = |status, why: &'static str| {
        reset_page(
            &parts,
            &headers,
            encrypted,
            (name.clone(), secret.clone()),
            Some((status, why)),
        )
    };
    if !is_own_form(&headers, last(&form, TOKEN)) {
        return again(StatusCode::FORBIDDEN, OTHER_SITE).await;
    }
    let password = match new_password(&form, NEW) {
        Ok(password) => password,
        Err(why) => return again(StatusCode::BAD_REQUEST, why).await,
    };
    let who = (name.clone(), secret.clone());
    let done = in_turn(&parts, move |accounts| {
        let (name, secret) = who;
        let done = accounts.reset(&name, &secret, &password, Timestamp::now())?;
        if done {
            info!(user = name, "password set anew");
        } else {
            warn!(user = name, "a link to set a password anew was not good");
        }
        Ok(done)
    });
    match done.await {
        Ok(true) => redirect(StatusCode::FOUND, "/accounts/reset/done/"),
        Ok(false) => said(
            StatusCode::BAD_REQUEST,
            "No new password",
            "This link is not good, or not any more.",
        ),
        Err(accounts::Error::Length) => {
            again(StatusCode::BAD_REQUEST, "The password is too long.").await
        }
        Err(failed) => failure(&failed),
    }
}

async fn changed() -> Response {
    let content =
        html! { p { "Your password is changed. " a href="/accounts/login/" { "Log in" } } };
    page::page(StatusCode::OK, "Password changed", &content)
}
