//! `start`, `stop`, `cronjob` and `remake_chroots`: what keeps the instance going.
use serde_json::{Map, Value, json};

use crate::api::argument::Argument;
use crate::api::call::blocking;
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::cause::with_causes;
use crate::cron::JOBS;
use crate::model::{Daemon, Item};
use crate::store::catalog::Catalog;
use crate::store::items;

pub(super) const START: Call = Call {
    name: "start",
    doc: "Start the engine: take uploads, package and build",
    auth: Auth::Admin,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[],
    run: |context, _| Box::pin(start(context)),
};

pub(super) const STOP: Call = Call {
    name: "stop",
    doc: "Stop the engine: take no uploads, begin no build\n\n\
          What runs goes on; what was uploaded waits. The next start of the daemon starts the engine too.",
    auth: Auth::Admin,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[],
    run: |context, _| Box::pin(stop(context)),
};

pub(super) const CRONJOB: Call = Call {
    name: "cronjob",
    doc: "Run a periodic job now\n\nWithout a known id, the answer names all.",
    auth: Auth::Admin,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[ID.spec],
    run: |context, arguments| Box::pin(cronjob(context, arguments)),
};

pub(super) const REMAKE_CHROOTS: Call = Call {
    name: "remake_chroots",
    doc: "Make chroots anew\n\n\
          Builds go on meanwhile; each new one takes the place of the old one when no build runs.",
    auth: Auth::Admin,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[KEYS.spec],
    run: |context, arguments| Box::pin(remake_chroots(context, arguments)),
};

const ID: Argument<String> =
    Argument::positional("id", "Which, like 'cronjob_expire_builds (DAILY)'");
const KEYS: Argument<Option<Vec<String>>> = Argument::computed_long(
    "keys",
    "all_chroots",
    "Only these chroots: CODENAME:ARCHITECTURE",
);

async fn start(context: &Context) -> Result<Value, CallError> {
    let daemon = context
        .read(|tx| items::get::<Daemon>(tx, "daemon"))
        .await?;
    if !daemon.is_some_and(|(_, status)| status.is_active()) {
        return Err(CallError::Unavailable(
            "The Daemon instance is not active".into(),
        ));
    }
    context.instance.builder.start();
    Ok(json!({}))
}

async fn stop(context: &Context) -> Result<Value, CallError> {
    context.instance.builder.stop();
    Ok(json!({}))
}

async fn cronjob(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let id = arguments.get(&ID)?;
    let Some(job) = JOBS.into_iter().find(|job| job.ids.contains(&&*id)) else {
        let known = JOBS.map(|job| job.ids.join("', '")).join("', '");
        return Err(CallError::Refused(format!(
            "No such cronjob: {id} (there are: '{known}')"
        )));
    };
    let cron = context.instance.cron.clone();
    blocking("run a periodic job", move || cron.job(job)).await?;
    context.publish().await?;
    Ok(json!({id: true}))
}

async fn remake_chroots(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let wanted = arguments.get(&KEYS)?;
    let catalog = context.read(Catalog::load).await?;
    let known: Vec<_> = catalog.chroots().cloned().collect();
    let unknown = |key: &&String| known.iter().all(|chroot| chroot.name() != **key);
    if let Some(key) = wanted.iter().flatten().find(unknown) {
        let known: Vec<String> = known.iter().map(Item::name).collect();
        let known = known.join(", ");
        return Err(CallError::Refused(format!(
            "No such chroot: {key} (there are: {known})"
        )));
    }
    let Ok(_only) = context.instance.maintaining.try_acquire() else {
        let busy = "Another maintenance API call currently running";
        return Err(CallError::Unavailable(busy.into()));
    };
    let mut said = Map::new();
    for chroot in known {
        let key = chroot.name();
        if wanted.as_ref().is_some_and(|wanted| !wanted.contains(&key)) {
            continue;
        }
        let result = match context.instance.builder.remake(chroot).await {
            Ok(()) => "Success".to_owned(),
            Err(error) => format!("Failed: {}", with_causes(&error)),
        };
        said.insert(key, result.into());
    }
    Ok(said.into())
}
