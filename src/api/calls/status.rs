use serde_json::{Map, Value, json};

use crate::api::argument::Argument;
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::model::{Check, Chroot, Item, Layout, Remote, Repository, Status};
use crate::store::{self, Transaction, items};

pub(super) const CALL: Call = Call {
    name: "status",
    doc: "Get the status of this instance\n\n\
          Version, addresses, load and chroots; instances ask each other before they send a buildrequest.",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[WITH_REPOSITORIES.spec],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

const WITH_REPOSITORIES: Argument<bool> = Argument::option(
    "with_repositories",
    'R',
    "False",
    "Also list repositories with their codenames and suites",
);

async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let with_repositories = arguments.get(&WITH_REPOSITORIES)?;
    let (chroots, remotes, repositories) = context.read_here(|tx| {
        let repositories = with_repositories.then(|| repositories(tx)).transpose()?;
        Ok((chroots(tx)?, remotes(tx)?, repositories))
    })?;
    let instance = &context.instance;
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "identity": instance.daemon.identity,
        "url": instance.address.http_url,
        "incoming_url": instance.address.incoming_url,
        "load": instance.builder.load(),
        "chroots": chroots,
        "remotes": remotes,
    });
    if let Some(repositories) = repositories {
        status["repositories"] = repositories;
    }
    Ok(status)
}

fn chroots(tx: &Transaction<'_>) -> Result<Vec<String>, store::Error> {
    let chroots = items::all::<Chroot>(tx)?.into_iter();
    Ok(chroots
        .filter(|(_, status)| status.is_active())
        .map(|(chroot, _)| chroot.name())
        .collect())
}

fn remotes(tx: &Transaction<'_>) -> Result<Vec<String>, store::Error> {
    let remotes = items::all::<Remote>(tx)?.into_iter();
    Ok(remotes
        .filter(|(_, status)| {
            status.is_active() || *status == Status::Prepared(Check::FailedReactivate)
        })
        .map(|(remote, _)| remote.url)
        .collect())
}

fn repositories(tx: &Transaction<'_>) -> Result<Value, store::Error> {
    let mut described = Map::new();
    for (repository, status) in items::all::<Repository>(tx)? {
        if !status.is_active() {
            continue;
        }
        if let Some((layout, _)) = items::get::<Layout>(tx, &repository.layout)? {
            described.insert(repository.name(), describe(&repository, &layout));
        }
    }
    Ok(described.into())
}

fn describe(repository: &Repository, layout: &Layout) -> Value {
    let suites: Map<String, Value> = layout
        .suites
        .iter()
        .map(|suite| {
            let rules = json!({
                "uploadable": suite.uploadable,
                "experimental": suite.experimental,
                "migrates_to": suite.migrates_to,
            });
            (suite.suite.to_string(), rules)
        })
        .collect();
    json!({"codenames": repository.distributions, "layout": suites})
}
