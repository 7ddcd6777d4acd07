//! What administrators configure, made real: prepare, check, activate, deactivate, remove.
//!
//! The transitions stand in [`crate::model::status`]; this file finds an item, acts first on what it depends on, and
//! writes what became of it. What the actions do to the system stands with each kind: `apt_key`, `source`, `repository`,
//! `chroot`, `uploader`, `remote`, `daemon`, which implement `managed`. [`edit`] changes and deletes items.
mod apt_key;
mod chroot;
mod daemon;
pub mod edit;
mod managed;
mod release;
mod remote;
mod repository;
mod source;
mod uploader;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::chroots::{self, Chroots};
use crate::fetch::{self, Client};
use crate::home::Home;
use crate::model::status::Refused;
use crate::model::{Invalid, Kind, Reference};
use crate::remotes::Load;
use crate::store::catalog::Catalog;
use crate::store::{self, Store};

pub use managed::Machine;

/// What administrators can do with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Prepare,
    Check,
    Activate,
    Deactivate,
    Remove,
    /// Prepare and check.
    Pc,
    /// Prepare, check and activate.
    Pca,
}

impl Action {
    pub const ALL: [Action; 7] = [
        Action::Prepare,
        Action::Check,
        Action::Activate,
        Action::Deactivate,
        Action::Remove,
        Action::Pc,
        Action::Pca,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Action::Prepare => "prepare",
            Action::Check => "check",
            Action::Activate => "activate",
            Action::Deactivate => "deactivate",
            Action::Remove => "remove",
            Action::Pc => "pc",
            Action::Pca => "pca",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = String;
    fn from_str(text: &str) -> Result<Action, String> {
        let known = || Action::ALL.map(Action::as_str).join(", ");
        Action::ALL
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| format!("no action is called {text:?}; there is: {}", known()))
    }
}

/// Why something could not be done to the system.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(
        "{item} can't become {named}: what names an item stays; make another: mini-buildd item add"
    )]
    Renamed { item: Reference, named: Reference },
    #[error("{item} is the same key as apt_key {other}: their last eight digits are the same")]
    SameKey { item: Reference, other: String },
    #[error("no {kind} {name:?}; there is: {known}")]
    Unknown {
        kind: Kind,
        name: String,
        known: String,
    },
    #[error("a {0} has nothing to prepare, check or activate")]
    NoStatus(Kind),
    #[error("can't {action} {item}: {refused}")]
    Refused {
        action: Action,
        item: Reference,
        refused: Refused,
    },
    #[error("can't {action} {item}, which needs {needed}")]
    Dependency {
        action: Action,
        item: Reference,
        needed: Reference,
        source: Box<Error>,
    },
    #[error("{item} needs {needed}, which is not active")]
    Inactive { item: Reference, needed: Reference },
    #[error("{0}")]
    Earlier(String),
    #[error("{0} was changed meanwhile; do it again")]
    ChangedMeanwhile(Reference),
    #[error("can't {action} {item}")]
    Effect {
        action: Action,
        item: Reference,
        source: Failure,
    },
    #[error("fields of {kind}: {fault}")]
    Malformed { kind: Kind, fault: String },
    #[error("{item} names {named}, which is not there")]
    Dangling { item: Reference, named: Reference },
    #[error("{item} is used by {users}; delete these first, or let them use another one")]
    Used { item: Reference, users: String },
}

impl Error {
    /// Tells whether who asked can mend it.
    pub fn is_mistake(&self) -> bool {
        !matches!(self, Error::Store(_))
    }
}

/// What actions work with; those of several processes don't spoil each other's items.
#[derive(Clone)]
pub struct Lifecycle {
    pub home: Home,
    pub store: Arc<Store>,
    /// In the Origin of Release files.
    pub hostname: String,
    /// Of this process's engine, if it has one.
    pub load: Option<Arc<Load>>,
    /// Program that begins sessions.
    pub helper: PathBuf,
}

impl Lifecycle {
    /// Does an action, on what the item depends on first; `say` gets a line for each step.
    ///
    /// A check that passed is repeated only by force.
    pub fn act(
        &self,
        item: &Reference,
        action: Action,
        force: bool,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        Machine::new(self, force, say).act(item, action)
    }

    fn catalog(&self) -> Result<Catalog, Error> {
        Ok(self.store.read(Catalog::load)?)
    }

    fn chroots(&self) -> Result<Chroots, chroots::Error> {
        Chroots::with_helper(self.home.clone(), self.helper.clone())
    }
}

/// Body of a GET, through the proxies of the host's apt.
fn get(url: &str, limit: usize, time: Duration) -> Result<Vec<u8>, Failure> {
    let client = Client::through(fetch::Proxies::of_host()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(client.get(url, limit, time))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_read_as_they_are_written() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
        }
        let fault = "destroy".parse::<Action>().unwrap_err();
        assert!(fault.contains("deactivate"), "{fault}");
    }
}
