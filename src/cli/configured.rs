//! What the commands on configured items share: where the items are, how they are read and shown.
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::daemon::{self, Running};
use super::{Failure, output};
use crate::api::json;
use crate::home::Home;
use crate::lifecycle::Lifecycle;
use crate::model::Item;
use crate::repositories::dists;
use crate::setup::repositories::Change;
use crate::setup::{self, repositories};
use crate::store::{Store, items};

/// An item to be shown.
#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct Shown {
    /// As JSON, which `put` takes.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: super::home::Options,
}

/// How an item is changed.
#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct Changing {
    /// Take distributions away even if there are packages in them.
    ///
    /// The packages come back when the distribution is configured again, for as long as the repository's history goes.
    #[arg(long)]
    force: bool,
    /// Host name in the Origin of Release files, unless a daemon runs, which knows it [default: the system's].
    #[arg(short = 'N', long, value_name = "FQDN")]
    hostname: Option<String>,
    #[command(flatten)]
    home: super::home::Options,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{path} holds no instance; make one with: mini-buildd up", path = .0.display())]
    NoInstance(PathBuf),
    #[error("{path} belongs to user id {owner}; run this as that user, like the daemon", path = path.display())]
    OtherUser { path: PathBuf, owner: u32 },
    #[error("can't read {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no {kind}: {fault}", path = path.display())]
    Malformed {
        path: PathBuf,
        kind: &'static str,
        fault: String,
    },
    #[error("{0}; to take it away all the same, add --force")]
    Occupied(setup::Error),
}

impl Shown {
    /// All items of a kind; as a table, each is one `row`.
    pub(super) fn list<T: Item>(
        &self,
        head: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), Failure> {
        let (_, store) = open(&self.home)?;
        let items = store.read(items::all::<T>)?;
        let items: Vec<T> = items.into_iter().map(|(item, _)| item).collect();
        if self.json {
            return print_json(&serde_json::to_value(&items)?);
        }
        let head = head.iter().copied().map(str::to_owned).collect();
        let rows: Vec<_> = std::iter::once(head).chain(items.iter().map(row)).collect();
        Ok(output::write(&output::table(&rows))?)
    }

    pub(super) fn show<T: Item>(&self, name: &str) -> Result<(), Failure> {
        let (_, store) = open(&self.home)?;
        let item: T = store.read(|tx| repositories::get(tx, name))?;
        let value = serde_json::to_value(&item)?;
        if self.json {
            return print_json(&value);
        }
        Ok(output::write(&described(&value))?)
    }
}

impl Changing {
    pub(super) fn make(
        &self,
        work: impl FnOnce(&Change<'_>) -> Result<(), setup::Error>,
    ) -> Result<(), Failure> {
        let (home, store) = open(&self.home)?;
        let running = Running::read(&home).map(|running| running.hostname);
        let hostname = running.or_else(|| self.hostname.clone());
        let change = Change {
            home: &home,
            store: &store,
            hostname: &hostname.unwrap_or_else(daemon::fqdn),
            force: self.force,
        };
        work(&change).map_err(|error| match error {
            setup::Error::Occupied { .. } => Error::Occupied(error).into(),
            error => error.into(),
        })
    }
}

/// An instance whose items are acted on, beside its daemon if one runs.
pub(super) struct Opened {
    pub(super) lifecycle: Lifecycle,
}

impl Opened {
    pub(super) fn new(
        home: &super::home::Options,
        hostname: Option<&str>,
    ) -> Result<Opened, Failure> {
        let (home, store) = open(home)?;
        let running = Running::read(&home).map(|running| running.hostname);
        let hostname = running.or_else(|| hostname.map(str::to_owned));
        Ok(Opened {
            lifecycle: Lifecycle {
                hostname: hostname.unwrap_or_else(daemon::fqdn),
                home,
                store,
                load: None,
                helper: std::env::current_exe()?,
            },
        })
    }

    /// Publishes what changed.
    pub(super) fn publish(&self) -> Result<(), Failure> {
        Ok(dists::publish(&self.lifecycle.home, &self.lifecycle.store)?)
    }
}

/// Reads JSON from a file, or with `-` from standard input.
pub(super) fn read_value(path: &Path) -> Result<Value, Failure> {
    let (text, path) = (text(path)?, path.to_owned());
    serde_json::from_str(&text).map_err(|fault| {
        let (kind, fault) = ("JSON", fault.to_string());
        Error::Malformed { path, kind, fault }.into()
    })
}

/// Reads a file, or with `-` standard input.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let text = match path.to_str() {
        Some("-") => io::read_to_string(io::stdin()),
        _ => fs::read_to_string(path),
    };
    text.map_err(|source| {
        let path = path.to_owned();
        Error::Read { path, source }.into()
    })
}

/// A daemon may have it open too, but no file may get another owner.
fn open(home: &super::home::Options) -> Result<(Home, Arc<Store>), Failure> {
    let home = home.home()?;
    home.refuse_stock()?;
    let path = home.root().to_owned();
    let Ok(database) = fs::metadata(home.database()) else {
        return Err(Error::NoInstance(path).into());
    };
    let owner = database.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(Error::OtherUser { path, owner }.into());
    }
    let store = Arc::new(Store::open(&home.database())?);
    Ok((home, store))
}

/// Reads an item from a file, or with `-` from standard input; a fault names its field.
pub(super) fn read<T: Item>(path: &Path) -> Result<T, Failure> {
    let (text, path) = (text(path)?, path.to_owned());
    let mut json = serde_json::Deserializer::from_str(&text);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|fault| fault.to_string());
    let read = read.and_then(|item| json.end().map_err(|fault| fault.to_string()).map(|()| item));
    read.map_err(|fault| {
        let kind = T::KIND;
        Error::Malformed { path, kind, fault }.into()
    })
}

fn print_json(value: &Value) -> Result<(), Failure> {
    Ok(output::write(&(json::plain(value) + "\n"))?)
}

/// One line a field, then a table for each list of objects.
fn described(item: &Value) -> String {
    let fields = item.as_object().into_iter().flatten();
    let (lists, fields): (Vec<_>, Vec<_>) = fields.partition(|(_, value)| {
        value
            .as_array()
            .is_some_and(|list| list.iter().any(Value::is_object))
    });
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| vec![format!("{name}:"), cell(value)])
        .collect();
    let lists = lists.into_iter().map(|(_, list)| {
        let objects: Vec<_> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .collect();
        let head = objects
            .first()
            .map(|object| object.keys().cloned().collect());
        let rows = objects
            .iter()
            .map(|object| object.values().map(cell).collect());
        output::table(&head.into_iter().chain(rows).collect::<Vec<_>>())
    });
    std::iter::once(output::table(&fields))
        .chain(lists)
        .collect::<Vec<_>>()
        .join("\n")
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null | Value::Bool(false) => String::new(),
        Value::Bool(true) => "yes".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => {
            let words = fields
                .iter()
                .map(|(name, value)| format!("{name}={}", cell(value)));
            words.collect::<Vec<_>>().join(" ")
        }
    };
    if text.is_empty() { "-".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_are_described_by_their_fields() {
        let item = json!({"name": "Tiny", "keyrings": [], "snapshots": {"weekly": 8},
            "suites": [{"suite": "unstable", "keep": 1, "uploadable": true},
                       {"suite": "s", "keep": 10, "uploadable": false}]});
        assert_eq!(
            described(&item),
            "name:       Tiny\nkeyrings:   -\nsnapshots:  weekly=8\n\n\
             suite     keep  uploadable\nunstable  1     yes\ns         10    -\n"
        );
    }
}
