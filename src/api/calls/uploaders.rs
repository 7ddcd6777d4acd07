use serde_json::{Map, Value, json};

use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::model::Repository;
use crate::pgp::{self, Described, Keyring};
use crate::store::catalog::Catalog;

use super::arguments::REPOSITORIES;

pub(super) const CALL: Call = Call {
    name: "uploaders",
    doc: "List the keys that may upload, by repository\n\nThe key of this instance is among them.",
    auth: Auth::Admin,
    running: true,
    confirm: false,
    changes: false,
    arguments: &[REPOSITORIES.spec],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let wanted = arguments.get(&REPOSITORIES)?;
    let catalog = context.read(Catalog::load).await?;
    let own = context.instance.keys.now().signing();
    let mut said = Map::new();
    for (repository, _) in catalog.repositories() {
        if wanted
            .as_ref()
            .is_some_and(|wanted| !wanted.contains(&repository.identity))
        {
            continue;
        }
        let keys = own
            .public_armored()
            .and_then(|own| keyring(&catalog, repository, &own).described())
            .map_err(|error| CallError::failed("read the keys of uploaders", error))?;
        said.insert(
            repository.identity.to_string(),
            json!({
                "allow_unauthenticated_uploads": repository.allow_unauthenticated_uploads,
                "uploaders": keys.iter().map(describe).collect::<Vec<_>>(),
            }),
        );
    }
    Ok(said.into())
}

/// Keys that can't be read let nobody in, and are not listed.
fn keyring(catalog: &Catalog, repository: &Repository, own: &str) -> Keyring {
    let mut keyring = Keyring::default();
    let _: Result<(), pgp::Error> = keyring.add(own.as_bytes());
    for uploader in catalog.uploaders() {
        if uploader.may_upload(&repository.identity) {
            let _ = keyring.add(uploader.key.as_bytes());
        }
    }
    for path in &repository.extra_uploader_keyrings {
        let _ = keyring.add_file(path);
    }
    keyring
}

/// Stock's form: what gpg writes with colons.
fn describe(key: &Described) -> Value {
    json!({
        "key": key.long_id,
        "created": key.created.to_string(),
        "expires": key.expires.map(|time| time.to_string()).unwrap_or_default(),
        "fingerprints": [key.fingerprint],
        "subkeys": key.subkeys,
        "user": key.user_id,
    })
}
