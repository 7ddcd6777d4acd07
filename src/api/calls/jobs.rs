//! What goes on: `jobs` and `job`.
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::argument::Argument;
use crate::api::call::blocking;
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::maintenance::Progress;
use crate::model::job::PackagingState;
use crate::store::actions::{self, Action};
use crate::store::jobs;

use super::arguments::{BEFORE, LIMIT, limit};

pub(super) const LIST: Call = Call {
    name: "jobs",
    doc: "List what goes on: packagings, builds, and what administrators asked for\n\n\
          Of the last, those that have ended too, the latest first, page by page.",
    auth: Auth::Staff,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[BEFORE.spec, LIMIT.spec],
    run: |context, arguments| Box::pin(list(context, arguments)),
};

pub(super) const SHOW: Call = Call {
    name: "job",
    doc: "Show how something goes that an administrator asked for\n\n\
          With --wait, answers as soon as there are more steps than --after, or when it has ended.",
    auth: Auth::Staff,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[ID.spec, AFTER.spec, WAIT.spec],
    run: |context, arguments| Box::pin(show(context, arguments)),
};

const ID: Argument<i64> = Argument::positional("id", "As the call that asked for it returned it");
const AFTER: Argument<i64> = Argument::option("after", 'a', "0", "Only the steps after so many");
const WAIT: Argument<i64> =
    Argument::option("wait", 'w', "0", "Seconds to wait for news, 60 at most");

async fn list(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let before = arguments.get(&BEFORE)?.unwrap_or(i64::MAX);
    let limit = limit(arguments)?;
    let (packagings, builds, actions) = context
        .read(move |tx| {
            Ok((
                jobs::unfinished_packagings(tx)?,
                jobs::unfinished_builds(tx)?,
                actions::latest(tx, before, limit)?,
            ))
        })
        .await?;
    let packagings = packagings.into_iter().map(|packaging| {
        let state = match packaging.state {
            PackagingState::Accepted => "accepted",
            _ => "packaging",
        };
        let builds = packaging.builds.keys().collect::<Vec<_>>();
        json!({"key": packaging.key.to_string(), "distribution": packaging.distribution, "state": state, "architectures": builds})
    });
    let builds = builds.iter().map(super::builds::described);
    let next = (actions.len() == usize::try_from(limit).unwrap_or(usize::MAX))
        .then(|| actions.last().map(|action| action.id));
    Ok(json!({
        "packagings": packagings.collect::<Value>(),
        "builds": builds.collect::<Value>(),
        "actions": actions.iter().map(described).collect::<Value>(),
        "next": next.flatten(),
    }))
}

async fn show(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let id = arguments.get(&ID)?;
    let after = usize::try_from(arguments.get(&AFTER)?).unwrap_or(0);
    let wait = u64::try_from(arguments.get(&WAIT)?).unwrap_or(0).min(60);
    let maintenance = context.instance.maintenance.clone();
    let progress = if wait == 0 {
        blocking("read an action", move || maintenance.progress(id)).await?
    } else {
        let followed = maintenance
            .follow(id, after, Duration::from_secs(wait))
            .await;
        followed.map_err(|error| CallError::failed("read an action", error))?
    };
    let Some(Progress { action, steps }) = progress else {
        return Err(CallError::NotFound(format!("No such job: {id}")));
    };
    let mut value = described(&action);
    value["steps"] = json!(steps.get(after..).unwrap_or_default());
    Ok(value)
}

fn described(action: &Action) -> Value {
    let state = match (action.begun, action.ended, &action.error) {
        (_, Some(_), None) => "done",
        (_, Some(_), Some(_)) => "failed",
        (Some(_), None, _) => "running",
        (None, None, _) => "waiting",
    };
    let result = action.result.as_deref();
    let result: Option<Value> = result.and_then(|text| serde_json::from_str(text).ok());
    json!({
        "id": action.id,
        "title": action.title,
        "user": action.user,
        "state": state,
        "asked": action.asked,
        "begun": action.begun,
        "ended": action.ended,
        "error": action.error,
        "result": result,
    })
}
