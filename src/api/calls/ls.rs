use serde_json::{Map, Value, json};

use crate::api::argument::{Argument, Spec};
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::archive::Listed;
use crate::deb::Version;
use crate::model::Diststr;

use super::arguments::{CODENAMES, REPOSITORIES, SOURCE};

pub(super) const CALL: Call = Call {
    name: "ls",
    doc: "List where a source package is\n\n\
          By repository and distribution; what rollbacks hold stands below their distribution.",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: ARGUMENTS,
    run: |context, arguments| Box::pin(run(context, arguments)),
};

pub(super) const ARGUMENTS: &[Spec] = &[
    SOURCE.spec,
    REPOSITORIES.spec,
    CODENAMES.spec,
    VERSION.spec,
    MIN_VERSION.spec,
];
const VERSION: Argument<Option<Version>> =
    Argument::option("version", 'V', "", "Only this version");
const MIN_VERSION: Argument<Option<Version>> =
    Argument::option("min_version", 'M', "", "Only this version and higher ones");

async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let listed = listed(context, arguments).await?;
    Ok(tree(&listed, &mut |_, _| {}))
}

/// Where the source is, in the order of dists, of what the caller asks for.
pub(super) async fn listed(
    context: &Context,
    arguments: &Arguments,
) -> Result<Vec<Listed>, CallError> {
    let source = arguments.get(&SOURCE)?;
    let repositories = arguments.get(&REPOSITORIES)?;
    let codenames = arguments.get(&CODENAMES)?;
    let version = arguments.get(&VERSION)?;
    let min_version = arguments.get(&MIN_VERSION)?;
    let mut listed = context.repositories(move |all| all.list(&source)).await?;
    listed.retain(|listed| {
        let Diststr {
            codename,
            repository,
            ..
        } = &listed.diststr;
        repositories
            .as_ref()
            .is_none_or(|wanted| wanted.contains(repository))
            && codenames
                .as_ref()
                .is_none_or(|wanted| wanted.contains(codename))
            && version
                .as_ref()
                .is_none_or(|wanted| listed.version == *wanted)
            && min_version
                .as_ref()
                .is_none_or(|least| listed.version >= *least)
    });
    Ok(listed)
}

/// Stock's form: repository → distribution → its version, and its rollbacks; `add` says more of each.
pub(super) fn tree(
    listed: &[Listed],
    add: &mut dyn FnMut(&Listed, &mut Map<String, Value>),
) -> Value {
    let mut repositories = Map::new();
    for listed in listed {
        let dist = &listed.diststr;
        let repository = object(&mut repositories, dist.repository.as_str());
        let main = object(repository, &dist.without_rollback().to_string());
        let rollbacks = object(main, "rollbacks");
        let at = match dist.rollback {
            Some(_) => object(rollbacks, &dist.to_string()),
            None => main,
        };
        // Of several versions, the highest.
        let is_higher = |present: &str| {
            present
                .parse::<Version>()
                .is_ok_and(|present| present >= listed.version)
        };
        if at
            .get("version")
            .and_then(Value::as_str)
            .is_some_and(is_higher)
        {
            continue;
        }
        at.insert("version".into(), json!(listed.version.as_str()));
        at.insert("component".into(), json!(listed.component.as_str()));
        at.insert("architecture".into(), json!("source"));
        add(listed, at);
    }
    repositories.into()
}

fn object<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = parent.entry(key).or_insert_with(|| Map::new().into());
    value.as_object_mut().expect("only objects are put there")
}
