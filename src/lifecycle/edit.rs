//! Items as they are shown, changed and deleted.
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::{
    AptKey, Archive, Chroot, Daemon, Distribution, EmailAddress, Item, Kind, Layout, Reference,
    Remote, Repository, Source, Status, Uploader,
};
use crate::store::catalog::Catalog;
use crate::store::{Transaction, items};

use super::{Action, Error, Lifecycle};

/// An item that must be there; else those that are there are named.
pub(super) fn get<T: Item>(tx: &Transaction<'_>, item: &Reference) -> Result<(T, Status), Error> {
    if let Some(found) = items::get::<T>(tx, &item.name)? {
        return Ok(found);
    }
    let known = items::all::<T>(tx)?.into_iter();
    let known: Vec<String> = known.map(|(item, _)| item.name()).collect();
    Err(Error::Unknown {
        kind: item.kind,
        name: item.name.clone(),
        known: known.join(", "),
    })
}

/// The fields of an item, in the order of its description.
pub fn fields<T: Item>(item: &T) -> Value {
    serde_json::to_value(item).unwrap_or_default()
}

/// Reads an item from its fields; a fault names the field.
pub fn parse<T: DeserializeOwned>(kind: Kind, fields: Value) -> Result<T, Error> {
    serde_path_to_error::deserialize(fields).map_err(|fault| Error::Malformed {
        kind,
        fault: fault.to_string(),
    })
}

/// What is done with an item of whatever kind.
trait Work {
    type Output;
    fn run<T: Item>(self) -> Result<Self::Output, Error>;
}

fn with<W: Work>(kind: Kind, work: W) -> Result<W::Output, Error> {
    match kind {
        Kind::Archive => work.run::<Archive>(),
        Kind::AptKey => work.run::<AptKey>(),
        Kind::Source => work.run::<Source>(),
        Kind::Distribution => work.run::<Distribution>(),
        Kind::Layout => work.run::<Layout>(),
        Kind::EmailAddress => work.run::<EmailAddress>(),
        Kind::Repository => work.run::<Repository>(),
        Kind::Chroot => work.run::<Chroot>(),
        Kind::Uploader => work.run::<Uploader>(),
        Kind::Remote => work.run::<Remote>(),
        Kind::Daemon => work.run::<Daemon>(),
    }
}

struct Show<'a>(&'a Transaction<'a>, &'a Reference);

impl Work for Show<'_> {
    type Output = (Value, Status);
    fn run<T: Item>(self) -> Result<(Value, Status), Error> {
        let (item, status) = get::<T>(self.0, self.1)?;
        Ok((fields(&item), status))
    }
}

/// Fields and status of an item.
pub fn show(tx: &Transaction<'_>, item: &Reference) -> Result<(Value, Status), Error> {
    with(item.kind, Show(tx, item))
}

struct Names<'a>(Kind, &'a Value);

impl Work for Names<'_> {
    type Output = (Reference, Vec<Reference>);
    fn run<T: Item>(self) -> Result<Self::Output, Error> {
        let item: T = parse(self.0, self.1.clone())?;
        item.validate()?;
        Ok((Reference::new(self.0, item.name()), item.references()))
    }
}

/// The item that has these fields, which must be valid, and those that it names.
pub fn names(kind: Kind, fields: &Value) -> Result<(Reference, Vec<Reference>), Error> {
    with(kind, Names(kind, fields))
}

struct Put<'a> {
    tx: &'a Transaction<'a>,
    kind: Kind,
    fields: Value,
}

impl Work for Put<'_> {
    type Output = (Reference, bool);
    fn run<T: Item>(self) -> Result<(Reference, bool), Error> {
        let item: T = parse(self.kind, self.fields)?;
        item.validate()?;
        let reference = Reference::new(self.kind, item.name());
        for named in item.references() {
            let is_there = show(self.tx, &named);
            if let Err(Error::Unknown { .. }) = is_there {
                return Err(Error::Dangling {
                    item: reference,
                    named,
                });
            }
            is_there?;
        }
        if self.kind == Kind::AptKey {
            alone(self.tx, &reference)?;
        }
        let present = items::get::<T>(self.tx, &reference.name)?;
        let status = match &present {
            Some((present, _)) if fields(present) == fields(&item) => {
                return Ok((reference, false));
            }
            Some((_, status)) => status.changed(),
            None => Status::Removed,
        };
        let status = if self.kind.has_status() {
            status
        } else {
            Status::Active {
                checked: jiff::Timestamp::now(),
            }
        };
        items::put(self.tx, &item, status)?;
        Ok((reference, true))
    }
}

/// Two items of one key would differ in nothing but their names.
fn alone(tx: &Transaction<'_>, key: &Reference) -> Result<(), Error> {
    let end = |name: &str| AptKey::new(name).short_id();
    let Some(id) = end(&key.name) else {
        return Ok(());
    };
    let keys = items::all::<AptKey>(tx)?;
    let mut names = keys.iter().map(|(other, _)| other.name());
    match names.find(|name| *name != key.name && end(name).as_ref() == Some(&id)) {
        None => Ok(()),
        Some(other) => Err(Error::SameKey {
            item: key.clone(),
            other,
        }),
    }
}

/// What became of an item that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub item: Reference,
    /// `false`: it was so already.
    pub is_changed: bool,
    /// What depends on it and was active: now it is to be prepared.
    pub put_out_of_use: Vec<Reference>,
}

/// Makes or changes an item, which then is to be prepared, and so is what depends on it.
pub fn put(tx: &Transaction<'_>, kind: Kind, fields: Value) -> Result<Written, Error> {
    let (item, is_changed) = with(kind, Put { tx, kind, fields })?;
    let put_out_of_use = if is_changed {
        mark_dependents(tx, &item)?
    } else {
        Vec::new()
    };
    Ok(Written {
        item,
        is_changed,
        put_out_of_use,
    })
}

/// Changes some fields of an item; its name is not one of them.
pub fn set(
    tx: &Transaction<'_>,
    item: &Reference,
    fields: &[(String, Value)],
) -> Result<Written, Error> {
    let (mut present, _) = show(tx, item)?;
    for (field, value) in fields {
        present[field] = value.clone();
    }
    let (named, _) = names(item.kind, &present)?;
    if named != *item {
        return Err(Error::Renamed {
            item: item.clone(),
            named,
        });
    }
    put(tx, item.kind, present)
}

/// What names an item, and in turn what names these.
fn dependents(catalog: &Catalog, item: &Reference) -> Vec<Reference> {
    let known = catalog.references();
    let mut found = vec![item.clone()];
    let mut next = 0;
    while let Some(named) = found.get(next).cloned() {
        next += 1;
        for (user, _, names) in &known {
            if names.contains(&named) && !found.contains(user) {
                found.push(user.clone());
            }
        }
    }
    found.remove(0);
    found
}

struct Mark<'a>(&'a Transaction<'a>, &'a Reference);

impl Work for Mark<'_> {
    type Output = bool;
    fn run<T: Item>(self) -> Result<bool, Error> {
        let (item, status) = get::<T>(self.0, self.1)?;
        items::put(self.0, &item, status.changed())?;
        Ok(status.is_to_be_active())
    }
}

/// What is made of the item must be made anew; who may upload, whom to tell and other instances are not touched by it.
fn mark_dependents(tx: &Transaction<'_>, item: &Reference) -> Result<Vec<Reference>, Error> {
    let mut were_active = Vec::new();
    if item.kind == Kind::EmailAddress {
        return Ok(were_active);
    }
    for user in dependents(&Catalog::load(tx)?, item) {
        let is_made_of_others = matches!(user.kind, Kind::Source | Kind::Repository | Kind::Chroot);
        if is_made_of_others && with(user.kind, Mark(tx, &user))? {
            were_active.push(user);
        }
    }
    Ok(were_active)
}

struct Delete<'a>(&'a Transaction<'a>, &'a Reference);

impl Work for Delete<'_> {
    type Output = ();
    fn run<T: Item>(self) -> Result<(), Error> {
        let (_, status) = get::<T>(self.0, self.1)?;
        if self.1.kind.has_status() && status != Status::Removed {
            return Err(Error::ChangedMeanwhile(self.1.clone()));
        }
        items::remove::<T>(self.0, &self.1.name)?;
        Ok(())
    }
}

impl Lifecycle {
    /// Takes an item away, and what was made of it; one that others name stays.
    pub fn delete(&self, item: &Reference, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
        self.store.read(|tx| {
            show(tx, item)?;
            unused(tx, item)
        })?;
        if item.kind.has_status() {
            self.act(item, Action::Remove, false, say)?;
        }
        self.store.write(|tx| {
            unused(tx, item)?;
            with(item.kind, Delete(tx, item))
        })
    }
}

fn unused(tx: &Transaction<'_>, item: &Reference) -> Result<(), Error> {
    let catalog = Catalog::load(tx)?;
    let references = catalog.references();
    let users = references
        .iter()
        .filter(|(_, _, names)| names.contains(item));
    let users = users.map(|(user, _, _)| user.to_string());
    // Sources have the URLs of archives, which their check finds among the items.
    let sources = catalog.sources.values().map(|(source, _)| source);
    let carried =
        sources.filter(|source| item.kind == Kind::Archive && source.archives.contains(&item.name));
    let carried = carried.map(|source| Reference::new(Kind::Source, source.name()).to_string());
    let users: Vec<String> = users.chain(carried).collect();
    if users.is_empty() {
        return Ok(());
    }
    Err(Error::Used {
        item: item.clone(),
        users: users.join(", "),
    })
}
