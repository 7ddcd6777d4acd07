use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::argument::{Argument, Lines};
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::cause::with_causes;
use crate::model::{Check, Item as _, Status, Uploader};
use crate::pgp::Keyring;
use crate::store::items;

pub(super) const CALL: Call = Call {
    name: "set_user_key",
    doc: "Set the key that you sign uploads with\n\n\
          It can upload nothing until an administrator has activated it and said where it may upload to; a renewed key keeps that.",
    auth: Auth::Login,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[KEY.spec],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

const KEY: Argument<Lines> = Argument::positional(
    "key",
    "ASCII-armored public key, as gpg --armor --export ADDRESS writes it; or its id, where an installed keyring or the key server has it",
);

async fn looked_up(context: &Context, key_id: String) -> Result<String, CallError> {
    let lifecycle = context.instance.lifecycle.clone();
    let found = tokio::task::spawn_blocking(move || {
        let found = lifecycle.public_key(&key_id);
        found.map_err(|error| with_causes(error.as_ref()))
    });
    let found = found.await;
    let found = found.map_err(|stopped| CallError::failed("look for a key", stopped))?;
    found.map_err(CallError::Refused)
}

async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let user = context.user()?.to_string();
    let Lines(given) = arguments.get(&KEY)?;
    let given = if given.trim().contains('\n') {
        given
    } else {
        looked_up(context, given.trim().to_owned()).await?
    };
    let mut keyring = Keyring::default();
    let armored = keyring
        .add(given.as_bytes())
        .and_then(|()| keyring.to_armored());
    let key = armored.map_err(|error| CallError::Refused(error.to_string()))?;
    if let count @ 2.. = keyring.fingerprints().len() {
        return Err(CallError::Refused(format!(
            "There are {count} keys; give one"
        )));
    }
    let fingerprints = |key: &str| {
        let mut keyring = Keyring::default();
        // A key that can't be read has none.
        let _ = keyring.add(key.as_bytes());
        keyring.fingerprints()
    };
    context
        .write(move |tx| {
            // What was granted to a key, was not granted to another one.
            let present = items::get::<Uploader>(tx, &user)?;
            let same =
                present.filter(|(present, _)| fingerprints(&present.key) == fingerprints(&key));
            let uploader = Uploader {
                may_upload_to: same
                    .map(|(present, _)| present.may_upload_to)
                    .unwrap_or_default(),
                user,
                key,
            };
            uploader.validate()?;
            items::put(
                tx,
                &uploader,
                Status::Prepared(Check::Checked(Timestamp::now())),
            )
        })
        .await?;
    Ok(json!({}))
}
