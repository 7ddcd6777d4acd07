//! Layouts and repositories as administrators change them; the dists follow in the same transaction.
//!
//! A daemon may run beside it: it reads the items whenever it needs them.
use std::fmt::Display;
use std::sync::Arc;

use crate::archive;
use crate::home::Home;
use crate::model::repository::Identity;
use crate::model::{Distribution, Invalid, Item, Layout, Repository};
use crate::repositories::dists;
use crate::store::{Store, Transaction, items};

use super::{Error, put};

/// Where and under which conditions items are changed.
pub struct Change<'a> {
    pub home: &'a Home,
    pub store: &'a Arc<Store>,
    /// In the Origin of Release files.
    pub hostname: &'a str,
    /// Dists with packages may go.
    pub force: bool,
}

impl Change<'_> {
    pub fn put_layout(&self, layout: &Layout) -> Result<(), Error> {
        self.make(|tx| put(tx, layout))
    }

    pub fn remove_layout(&self, name: &str) -> Result<(), Error> {
        self.make(|tx| {
            let repositories = items::all::<Repository>(tx)?.into_iter();
            let users = repositories.filter(|(repository, _)| repository.layout == name);
            let repositories = listed(users.map(|(repository, _)| repository.identity));
            if !repositories.is_empty() {
                return Err(Error::Used {
                    layout: name.to_owned(),
                    repositories,
                });
            }
            remove::<Layout>(tx, name)
        })
    }

    pub fn add_repository(&self, repository: &Repository) -> Result<(), Error> {
        self.make(|tx| {
            if items::get::<Repository>(tx, &repository.name())?.is_some() {
                return Err(Error::There(repository.identity.clone()));
            }
            put_repository(tx, repository)
        })
    }

    pub fn put_repository(&self, repository: &Repository) -> Result<(), Error> {
        self.make(|tx| put_repository(tx, repository))
    }

    /// Its packages stay in the pool and come back with a repository of that name.
    pub fn remove_repository(&self, identity: &Identity) -> Result<(), Error> {
        self.make(|tx| remove::<Repository>(tx, identity.as_str()))
    }

    fn make(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.store.write(|tx| {
            let mut lost = archive::occupied(tx)?;
            change(tx)?;
            dists::configure(tx, self.home, self.store, self.hostname)?;
            let left = archive::occupied(tx)?;
            lost.retain(|dist| !left.contains(dist));
            if lost.is_empty() || self.force {
                return Ok(());
            }
            Err(Error::Occupied {
                dists: listed(lost),
            })
        })?;
        Ok(dists::publish(self.home, self.store)?)
    }
}

/// Refuses what there is no layout or distribution for.
fn put_repository(tx: &Transaction<'_>, repository: &Repository) -> Result<(), Error> {
    let fault = |field, unknown: Error| Invalid {
        kind: Repository::KIND,
        name: repository.name(),
        field,
        fault: unknown.to_string(),
    };
    get::<Layout>(tx, &repository.layout).map_err(|unknown| fault("layout", unknown))?;
    for codename in &repository.distributions {
        get::<Distribution>(tx, codename.as_str())
            .map_err(|unknown| fault("distributions", unknown))?;
    }
    put(tx, repository)
}

/// An item that must be there; else those that are there are named.
pub fn get<T: Item>(tx: &Transaction<'_>, name: &str) -> Result<T, Error> {
    if let Some((item, _)) = items::get::<T>(tx, name)? {
        return Ok(item);
    }
    let known = items::all::<T>(tx)?.into_iter();
    Err(Error::Unknown {
        kind: T::KIND,
        name: name.to_owned(),
        known: listed(known.map(|(item, _)| item.name())),
    })
}

fn remove<T: Item>(tx: &Transaction<'_>, name: &str) -> Result<(), Error> {
    get::<T>(tx, name)?;
    items::remove::<T>(tx, name)?;
    Ok(())
}

fn listed(names: impl IntoIterator<Item = impl Display>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    names.join(", ")
}
