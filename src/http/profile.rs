//! What a user has here: subscriptions, and the key that uploads are signed with.
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use maud::html;

use crate::api::Caller;
use crate::instance::Instance;
use crate::model::repository::Identity;
use crate::model::user::UserName;
use crate::model::{Status, Uploader};
use crate::pgp::Keyring;
use crate::store::users::Subscription;
use crate::store::{self, items, users};

use super::auth::asker;
use super::form::Form;
use super::server::Encrypted;
use super::{beside, page, redirect};

const PATH: &str = "/accounts/profile/";

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new().route(PATH, get(show)).with_state(instance)
}

type Found = (Vec<Subscription>, Option<(Uploader, Status)>);

async fn show(
    State(instance): State<Arc<Instance>>,
    Extension(encrypted): Extension<Encrypted>,
    headers: HeaderMap,
) -> Response {
    let asked = asker(&instance.accounts, &headers).await;
    let Ok(Caller::User { name, .. }) = asked.map(|asker| asker.caller) else {
        return redirect(StatusCode::FOUND, &format!("/accounts/login/?next={PATH}"));
    };
    let (store, user) = (Arc::clone(&instance.store), name.clone());
    let found = beside(move || {
        store.read::<Found, store::Error>(|tx| {
            let subscriptions = users::subscriptions(tx, &user)?;
            Ok((subscriptions, items::get(tx, user.as_str())?))
        })
    });
    match found.await {
        Some(Ok(found)) => profile(&name, &found, &headers, encrypted),
        Some(Err(_)) | None => page::error(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn profile(
    name: &UserName,
    (subscriptions, uploader): &Found,
    headers: &HeaderMap,
    encrypted: Encrypted,
) -> Response {
    let any = |text: &str| {
        if text.is_empty() {
            "any".to_owned()
        } else {
            text.to_owned()
        }
    };
    let form = Form {
        title: &format!("User {name}"),
        fault: None,
        // The call itself: it checks, and says what is wrong.
        action: "/mini_buildd/api/set_user_key/",
        button: "Set this key",
        fields: html! {
            input type="hidden" name="output" value="html";
            h2 { "The key that you sign uploads with" }
            @match uploader {
                Some((uploader, status)) => p { (described(uploader, *status)) },
                None => p { "There is none yet." },
            }
            p { label for="key" { "ASCII-armored public key, as gpg --armor --export ADDRESS writes it" } br;
                textarea id="key" name="key" rows="10" cols="70" required {} }
        },
        more: html! {
            h2 { "Subscriptions" }
            @if subscriptions.is_empty() { p { "There are none." } }
            ul {
                @for one in subscriptions {
                    li { "Package: " (any(&one.package)) ", distribution: " (any(&one.distribution)) }
                }
            }
            p {
                a href="/accounts/password_change/" { "Change your password" } " · "
                a href="/accounts/logout/" { "Log out" }
            }
        },
    };
    form.page(headers, encrypted, StatusCode::OK)
}

fn described(uploader: &Uploader, status: Status) -> String {
    let mut keyring = Keyring::default();
    let key = match keyring.add(uploader.key.as_bytes()) {
        Ok(()) => keyring.fingerprints().join(", "),
        Err(_) => "a key that can't be read".to_owned(),
    };
    let to: Vec<&str> = uploader
        .may_upload_to
        .iter()
        .map(Identity::as_str)
        .collect();
    match (status.is_active(), to.as_slice()) {
        (false, _) => format!("{key}; it waits for an administrator to activate it."),
        (true, []) => format!("{key}; it may upload to no repository yet."),
        (true, to) => format!("{key}; it may upload to {}.", to.join(", ")),
    }
}
