//! `mini-buildd item`: what is configured, its fields and its actions.
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::configured::{Opened, read_value};
use super::{Failure, output};
use crate::api::json;
use crate::lifecycle::Action;
use crate::lifecycle::edit::{self, Written};
use crate::model::{Kind, Reference, Status};
use crate::store::catalog::Catalog;

/// Lists, shows and changes what is configured, and does its actions: prepare, check, activate, deactivate, remove.
///
/// A daemon may run meanwhile. Kinds are apt_key, archive, chroot, daemon, distribution, email_address, layout, remote,
/// repository, source and uploader.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists all items, or those of a kind.
    List {
        #[arg(value_parser = Kind::from_str)]
        kind: Option<Kind>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// Shows the fields of an item as JSON, which `put` takes.
    Show(Named),
    /// Makes or changes an item; what is active is then to be prepared, checked and activated again (pca).
    Put {
        #[arg(value_parser = Kind::from_str)]
        kind: Kind,
        /// File with the JSON of all its fields; - is standard input.
        file: PathBuf,
        #[command(flatten)]
        after: After,
    },
    /// Changes some fields of an item.
    Set {
        #[arg(value_parser = Kind::from_str)]
        kind: Kind,
        name: String,
        /// VALUE is JSON where it is any, else text.
        #[arg(value_name = "FIELD=VALUE", required = true, value_parser = field)]
        fields: Vec<(String, Value)>,
        #[command(flatten)]
        after: After,
    },
    /// Makes an item of these fields; the others have their defaults.
    Add {
        #[arg(value_parser = Kind::from_str)]
        kind: Kind,
        /// VALUE is JSON where it is any, else text.
        #[arg(value_name = "FIELD=VALUE", required = true, value_parser = field)]
        fields: Vec<(String, Value)>,
        #[command(flatten)]
        after: After,
    },
    /// Deletes an item that nothing uses, and what was made of it.
    Delete(Named),
    /// Makes what an item stands for, what it needs first.
    Prepare(Named),
    /// Looks whether an item can be used.
    Check(Checked),
    /// Takes an item into use.
    Activate(Named),
    /// Takes an item out of use.
    Deactivate(Named),
    /// Takes away what an item stands for; its fields stay.
    Remove(Named),
    /// Prepares and checks.
    Pc(Checked),
    /// Prepares, checks and activates.
    Pca(Checked),
}

#[derive(Args, Debug)]
struct Named {
    #[arg(value_parser = Kind::from_str)]
    kind: Kind,
    /// Not needed for the daemon, of which there is one.
    #[arg(default_value = "daemon")]
    name: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args, Debug)]
struct Checked {
    #[command(flatten)]
    named: Named,
    /// Check again what passed the last check.
    #[arg(short, long)]
    force: bool,
}

#[derive(Args, Debug)]
struct After {
    /// Prepare, check and activate it then, and what it puts out of use.
    #[arg(short, long)]
    pca: bool,
    #[command(flatten)]
    at: At,
}

/// Where the items are.
#[derive(Args, Debug)]
struct At {
    #[command(flatten)]
    home: super::home::Options,
    /// Host name in the Origin of Release files, unless a daemon runs, which knows it [default: the system's].
    #[arg(short = 'N', long, value_name = "FQDN")]
    hostname: Option<String>,
}

impl Command {
    fn at(&self) -> &At {
        match self {
            Command::List { at, .. } => at,
            Command::Put { after, .. }
            | Command::Set { after, .. }
            | Command::Add { after, .. } => &after.at,
            Command::Show(named)
            | Command::Delete(named)
            | Command::Prepare(named)
            | Command::Activate(named)
            | Command::Deactivate(named)
            | Command::Remove(named) => &named.at,
            Command::Check(checked) | Command::Pc(checked) | Command::Pca(checked) => {
                &checked.named.at
            }
        }
    }
}

impl Named {
    fn item(&self) -> Reference {
        Reference::new(self.kind, &self.name)
    }
}

fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be FIELD=VALUE")?;
    // An id of digits alone is no number.
    let read = serde_json::from_str(value)
        .ok()
        .filter(|_| name != "key_id");
    Ok((name.to_owned(), read.unwrap_or_else(|| value.into())))
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let At { home, hostname } = options.command.at();
    let opened = Opened::new(home, hostname.as_deref())?;
    let act = |item: &Reference, action, force| -> Result<(), Failure> {
        opened.lifecycle.act(item, action, force, &mut say)?;
        opened.publish()
    };
    let written = |written: Written, after: &After| -> Result<(), Failure> {
        let Written {
            item,
            is_changed,
            put_out_of_use,
        } = written;
        let how = if is_changed {
            "is written"
        } else {
            "is so already"
        };
        say(&format!("{item} {how}"));
        let is_waiting = item.kind.has_status() && (after.pca || is_changed);
        let waiting = is_waiting.then_some(item).into_iter();
        for item in waiting.chain(put_out_of_use) {
            if after.pca {
                act(&item, Action::Pca, false)?;
            } else {
                say(&format!(
                    "{item} is used as it is now after: mini-buildd item pca {item}"
                ));
            }
        }
        Ok(())
    };
    let put = |kind, fields, after: &After| -> Result<(), Failure> {
        let store = &opened.lifecycle.store;
        written(store.write(|tx| edit::put(tx, kind, fields))?, after)
    };
    match &options.command {
        Command::List { kind, json, .. } => list(&opened, *kind, *json)?,
        Command::Show(named) => {
            let store = &opened.lifecycle.store;
            let (fields, _) = store.read(|tx| edit::show(tx, &named.item()))?;
            output::write(&(json::plain(&fields) + "\n"))?;
        }
        Command::Put { kind, file, after } => put(*kind, read_value(file)?, after)?,
        Command::Set {
            kind,
            name,
            fields,
            after,
        } => {
            let item = Reference::new(*kind, name);
            let store = &opened.lifecycle.store;
            // In one: who changes another field meanwhile, loses nothing.
            written(store.write(|tx| edit::set(tx, &item, fields))?, after)?;
        }
        Command::Add {
            kind,
            fields,
            after,
        } => {
            let fields: Map<_, _> = fields.iter().cloned().collect();
            put(*kind, fields.into(), after)?;
        }
        Command::Delete(named) => {
            opened.lifecycle.delete(&named.item(), &mut say)?;
            opened.publish()?;
        }
        Command::Prepare(named) => act(&named.item(), Action::Prepare, false)?,
        Command::Check(checked) => act(&checked.named.item(), Action::Check, checked.force)?,
        Command::Activate(named) => act(&named.item(), Action::Activate, false)?,
        Command::Deactivate(named) => act(&named.item(), Action::Deactivate, false)?,
        Command::Remove(named) => act(&named.item(), Action::Remove, false)?,
        Command::Pc(checked) => act(&checked.named.item(), Action::Pc, checked.force)?,
        Command::Pca(checked) => act(&checked.named.item(), Action::Pca, checked.force)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn say(step: &str) {
    eprintln!("{step}");
}

fn list(opened: &Opened, kind: Option<Kind>, as_json: bool) -> Result<(), Failure> {
    let catalog = opened.lifecycle.store.read(Catalog::load)?;
    let items = catalog.references().into_iter();
    let items = items.filter(|(item, _, _)| kind.is_none_or(|kind| kind == item.kind));
    if as_json {
        let items = items.map(|(item, status, _)| {
            serde_json::json!({"kind": item.kind, "name": item.name, "status": state(item.kind, status)})
        });
        let items: Value = items.collect();
        return Ok(output::write(&(json::plain(&items) + "\n"))?);
    }
    let head = vec!["kind".into(), "name".into(), "status".into()];
    let rows = items.map(|(item, status, _)| {
        vec![
            item.kind.to_string(),
            item.name.clone(),
            state(item.kind, status),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    Ok(output::write(&output::table(&rows))?)
}

/// Its state and stock's mark of its last check.
fn state(kind: Kind, status: Status) -> String {
    if !kind.has_status() {
        return "-".into();
    }
    let state = match status {
        Status::Removed => "removed",
        Status::Prepared(_) => "prepared",
        Status::Active { .. } => "active",
    };
    format!("{state} ({})", status.mark())
}
