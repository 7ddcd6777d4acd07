//! `snapshot_ls`, `snapshot_create` and `snapshot_delete`.
use serde_json::{Value, json};

use crate::api::argument::Argument;
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::model::snapshot::SnapshotName;

pub(super) const LS: Call = Call {
    name: "snapshot_ls",
    doc: "List the snapshots of a distribution",
    auth: Auth::None,
    running: true,
    confirm: false,
    changes: false,
    arguments: &[DISTRIBUTION.spec],
    run: |context, arguments| Box::pin(list(context, arguments)),
};

pub(super) const CREATE: Call = Call {
    name: "snapshot_create",
    doc: "Keep what a distribution is now\n\nIt is the apt source DISTRIBUTION/snapshots/NAME.",
    auth: Auth::Admin,
    running: true,
    confirm: true,
    changes: true,
    arguments: &[DISTRIBUTION.spec, NAME.spec],
    run: |context, arguments| Box::pin(create(context, arguments)),
};

pub(super) const DELETE: Call = Call {
    name: "snapshot_delete",
    doc: "Give up a snapshot of a distribution",
    auth: Auth::Admin,
    running: true,
    confirm: true,
    changes: true,
    arguments: &[DISTRIBUTION.spec, NAME.spec],
    run: |context, arguments| Box::pin(delete(context, arguments)),
};

const DISTRIBUTION: Argument<String> =
    Argument::positional("distribution", "CODENAME-REPOSITORY-SUITE");
const NAME: Argument<SnapshotName> = Argument::positional("name", "Name of the snapshot");

async fn list(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let distribution = arguments.get(&DISTRIBUTION)?;
    let names = context
        .repositories(move |repositories| {
            let snapshots = repositories.snapshots(&repositories.resolve(&distribution)?)?;
            Ok(snapshots.into_iter().map(|snapshot| snapshot.name))
        })
        .await?;
    Ok(json!(names.collect::<Vec<_>>()))
}

async fn create(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let (distribution, name) = (arguments.get(&DISTRIBUTION)?, arguments.get(&NAME)?);
    context
        .change(move |repositories| {
            repositories.create_snapshot(&repositories.resolve(&distribution)?, &name)
        })
        .await?;
    Ok(json!({}))
}

async fn delete(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let (distribution, name) = (arguments.get(&DISTRIBUTION)?, arguments.get(&NAME)?);
    context
        .change(move |repositories| {
            repositories.delete_snapshot(&repositories.resolve(&distribution)?, &name)
        })
        .await?;
    Ok(json!({}))
}
