//! What administrators configure: `items`, `item`, `item_put`, `item_delete` and `item_action`.
use std::str::FromStr;

use serde_json::{Value, json};

use crate::api::argument::{Argument, ArgumentValue, Kind as ValueKind, Lines};
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::cause::with_causes;
use crate::lifecycle::edit::{self, Written};
use crate::lifecycle::{self, Action};
use crate::model::{Check, Kind, Reference, Status};
use crate::store::catalog::Catalog;

pub(super) const LIST: Call = Call {
    name: "items",
    doc: "List what is configured, and what it is good for now",
    auth: Auth::Staff,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[OF_KIND.spec],
    run: |context, arguments| Box::pin(list(context, arguments)),
};

pub(super) const SHOW: Call = Call {
    name: "item",
    doc: "Show the fields of an item, what it needs and what needs it",
    auth: Auth::Staff,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[KIND.spec, NAME.spec],
    run: |context, arguments| Box::pin(show(context, arguments)),
};

pub(super) const PUT: Call = Call {
    name: "item_put",
    doc: "Make or change an item\n\n\
          What was active must be prepared, checked and activated again, and so must what depends on it: --pca does it.",
    auth: Auth::Admin,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[KIND.spec, FIELDS.spec, PCA.spec],
    run: |context, arguments| Box::pin(put(context, arguments)),
};

pub(super) const DELETE: Call = Call {
    name: "item_delete",
    doc: "Delete an item that nothing uses, and what was made of it",
    auth: Auth::Admin,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[KIND.spec, NAME.spec],
    run: |context, arguments| Box::pin(delete(context, arguments)),
};

pub(super) const ACTION: Call = Call {
    name: "item_action",
    doc: "Prepare, check, activate, deactivate or remove an item\n\n\
          It is done in the background; call job with the id that is returned to follow it.",
    auth: Auth::Admin,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[KIND.spec, NAME.spec, WHAT.spec, FORCE.spec],
    run: |context, arguments| Box::pin(action(context, arguments)),
};

const OF_KIND: Argument<Option<Kind>> =
    Argument::option("kind", 'k', "", "Only items of this kind");
const KIND: Argument<Kind> = Argument::positional(
    "kind",
    "apt_key, archive, chroot, daemon, distribution, email_address, layout, remote, repository, source or uploader",
);
const NAME: Argument<String> = Argument::positional("name", "Its name among its kind");
const FIELDS: Argument<Lines> = Argument::positional(
    "fields",
    "JSON object of all its fields, as item shows them",
);
const PCA: Argument<bool> = Argument::option(
    "pca",
    'p',
    "False",
    "Prepare, check and activate it, and what depends on it, in the background",
);
const WHAT: Argument<Action> = Argument::positional(
    "action",
    "prepare, check, activate, deactivate, remove, pc (the first two) or pca (the first three)",
);
const FORCE: Argument<bool> = Argument::option(
    "force",
    'f',
    "False",
    "Check again what passed the last check",
);

impl ArgumentValue for Kind {
    const KIND: ValueKind = ValueKind::Text;
    fn parse(text: &str) -> Result<Kind, String> {
        Kind::from_str(text)
    }
}

impl ArgumentValue for Action {
    const KIND: ValueKind = ValueKind::Text;
    fn parse(text: &str) -> Result<Action, String> {
        Action::from_str(text)
    }
}

async fn list(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let kind = arguments.get(&OF_KIND)?;
    let catalog = context.read(Catalog::load).await?;
    let items = catalog.references().into_iter();
    let items = items.filter(|(item, _, _)| kind.is_none_or(|kind| kind == item.kind));
    Ok(items
        .map(|(item, status, _)| json!({"kind": item.kind, "name": item.name, "status": described(item.kind, status)}))
        .collect())
}

async fn show(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let item = Reference::new(arguments.get(&KIND)?, arguments.get(&NAME)?);
    let (catalog, shown) = context
        .read(move |tx| {
            Ok((
                Catalog::load(tx)?,
                edit::show(tx, &item).map(|shown| (item, shown)),
            ))
        })
        .await?;
    let (item, (fields, status)) = shown.map_err(not_found)?;
    let references = catalog.references();
    let needs = references.iter().find(|(other, _, _)| *other == item);
    let needs: Vec<String> = needs
        .into_iter()
        .flat_map(|(_, _, needs)| needs)
        .map(ToString::to_string)
        .collect();
    let users = references
        .iter()
        .filter(|(_, _, needs)| needs.contains(&item));
    let users: Vec<String> = users.map(|(user, _, _)| user.to_string()).collect();
    Ok(json!({
        "kind": item.kind,
        "name": item.name,
        "status": described(item.kind, status),
        "fields": fields,
        "needs": needs,
        "used_by": users,
        "actions": if item.kind.has_status() { Action::ALL.map(Action::as_str).to_vec() } else { Vec::new() },
    }))
}

/// What an item is good for now, with stock's mark of its last check.
fn described(kind: Kind, status: Status) -> Value {
    if !kind.has_status() {
        return Value::Null;
    }
    let (state, checked) = match status {
        Status::Removed => ("removed", None),
        Status::Prepared(Check::Checked(checked)) => ("prepared", Some(checked)),
        Status::Prepared(_) => ("prepared", None),
        Status::Active { checked } => ("active", Some(checked)),
    };
    json!({"state": state, "check": status.mark().to_string(), "checked": checked})
}

async fn put(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let (kind, pca) = (arguments.get(&KIND)?, arguments.get(&PCA)?);
    let Lines(fields) = arguments.get(&FIELDS)?;
    let fields: Value = serde_json::from_str(&fields)
        .map_err(|fault| CallError::Refused(format!("fields: no JSON: {fault}")))?;
    let lifecycle = context.instance.lifecycle.clone();
    let put = tokio::task::spawn_blocking(move || {
        lifecycle.store.write(|tx| edit::put(tx, kind, fields))
    });
    let put = put.await;
    let put = put.map_err(|stopped| CallError::failed("change an item", stopped))?;
    let Written {
        item,
        is_changed,
        put_out_of_use,
    } = put.map_err(refused)?;
    let job = |item: &Reference| {
        let is_asked = pca && item.kind.has_status();
        is_asked
            .then(|| ask(context, item, Action::Pca, false))
            .transpose()
    };
    let own = job(&item)?;
    let others = put_out_of_use
        .iter()
        .map(|item| Ok(json!({"kind": item.kind, "name": item.name, "job": job(item)?})))
        .collect::<Result<Vec<_>, CallError>>()?;
    Ok(json!({
        "kind": item.kind, "name": item.name, "changed": is_changed, "job": own,
        "put_out_of_use": others,
    }))
}

async fn delete(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let item = Reference::new(arguments.get(&KIND)?, arguments.get(&NAME)?);
    let lifecycle = context.instance.lifecycle.clone();
    let deleted = tokio::task::spawn_blocking(move || lifecycle.delete(&item, &mut |_| {})).await;
    let deleted = deleted.map_err(|stopped| CallError::failed("delete an item", stopped))?;
    deleted.map_err(refused)?;
    Ok(json!({}))
}

async fn action(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let item = Reference::new(arguments.get(&KIND)?, arguments.get(&NAME)?);
    let (action, force) = (arguments.get(&WHAT)?, arguments.get(&FORCE)?);
    if !item.kind.has_status() {
        return Err(refused(lifecycle::Error::NoStatus(item.kind)));
    }
    let wanted = item.clone();
    let is_there = context
        .read(move |tx| Ok(edit::show(tx, &wanted).map(drop)))
        .await?;
    is_there.map_err(not_found)?;
    let job = ask(context, &item, action, force)?;
    Ok(json!({"job": job}))
}

/// Has an action done in the background.
fn ask(context: &Context, item: &Reference, action: Action, force: bool) -> Result<i64, CallError> {
    let user = context.user()?;
    let title = format!("{action} {item}");
    let (lifecycle, item) = (context.instance.lifecycle.clone(), item.clone());
    let publication = context.instance.publication.clone();
    let work = Box::new(move |say: &mut dyn FnMut(&str)| {
        lifecycle.act(&item, action, force, say)?;
        publication.publish()?;
        let (_, status) = lifecycle.store.read(|tx| edit::show(tx, &item))?;
        Ok(json!({"status": described(item.kind, status)}))
    });
    let asked = context
        .instance
        .maintenance
        .ask(user.as_str(), &title, work);
    asked.map_err(|error| CallError::failed("note an action", error))
}

fn not_found(error: lifecycle::Error) -> CallError {
    match error {
        lifecycle::Error::Unknown { .. } => CallError::NotFound(error.to_string()),
        error => refused(error),
    }
}

fn refused(error: lifecycle::Error) -> CallError {
    if error.is_mistake() {
        return CallError::Refused(with_causes(&error));
    }
    CallError::failed("work on an item", error)
}
