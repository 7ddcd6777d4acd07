//! What people do with packages that are in repositories, by the rules of their layouts.
//!
//! Each call is one transaction, its event included; publishing follows. [`dists`] makes the dists those that are
//! configured, [`transfer`] migrates, removes and rolls back,
//! [`mod@include`] takes packages from files, [`import`] all of another repository, [`past`] shows what was, [`upkeep`] is what time brings: snapshots by rule,
//! renewals, forgetting; `search` finds lost files elsewhere, `source` those of one package.
pub mod dists;
pub mod import;
pub mod include;
pub mod past;
mod search;
mod source;
pub mod transfer;
pub mod upkeep;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::archive::{self, ArchiveDir};
use crate::deb::{PackageName, Version};
use crate::home::Home;
use crate::model::event::extra;
use crate::model::repository::Identity;
use crate::model::{Diststr, Event, EventType, PackageKey, SuiteOptions, Timecode, version_scheme};
use crate::pgp;
use crate::store::catalog::Catalog;
use crate::store::{self, Store, Transaction, event_log};

/// All repositories of an instance.
#[derive(Clone)]
pub struct Repositories {
    home: Home,
    store: Arc<Store>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Archive(#[from] archive::Error),
    #[error(transparent)]
    Key(#[from] pgp::Error),
    #[error(transparent)]
    Keys(#[from] crate::keys::Error),
    #[error(transparent)]
    Distribution(#[from] crate::model::diststr::Malformed),
    #[error("there is no distribution {diststr}; there are: {known}")]
    NoDist { diststr: Diststr, known: String },
    #[error(transparent)]
    Rule(#[from] version_scheme::Error),
    #[error("Can't find {name} in pool of repository '{repository}'")]
    NoFile { name: String, repository: Identity },
    #[error("{0} migrates nowhere")]
    NoMigration(Diststr),
    #[error("{package} is in {diststr} already")]
    AlreadyMigrated { package: String, diststr: Diststr },
    #[error("{0} is a rollback; name the distribution that it belongs to")]
    Rollback(Diststr),
    #[error(
        "there is no distribution {diststr}; make it with: mini-buildd repository add {} --codename {} (or put, with a \
         layout that has it)",
        diststr.repository, diststr.codename
    )]
    Unmade { diststr: Diststr },
    #[error("{state} can't be imported")]
    State {
        state: String,
        source: Box<archive::Error>,
    },
    #[error("{file}: {fault}")]
    File { file: PathBuf, fault: String },
    #[error("can't read {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{file}")]
    Malformed {
        file: PathBuf,
        source: crate::deb::Error,
    },
    #[error("{package} may not go into {diststr}: {fault}")]
    Version {
        package: String,
        diststr: Box<Diststr>,
        fault: String,
    },
}

impl Error {
    /// Tells whether who asked can mend it: by another question, or by waiting.
    pub fn is_mistake(&self) -> bool {
        match self {
            Error::Store(_) | Error::Key(_) | Error::Keys(_) | Error::Read { .. } => false,
            Error::Archive(error) => error.is_mistake(),
            Error::State { source, .. } => source.is_mistake(),
            Error::Distribution(_)
            | Error::NoDist { .. }
            | Error::NoFile { .. }
            | Error::Rule(_)
            | Error::NoMigration(_)
            | Error::AlreadyMigrated { .. }
            | Error::Rollback(_)
            | Error::Unmade { .. }
            | Error::File { .. }
            | Error::Malformed { .. }
            | Error::Version { .. } => true,
        }
    }
}

impl Repositories {
    pub fn new(home: Home, store: Arc<Store>) -> Repositories {
        Repositories { home, store }
    }

    pub fn archive(&self, identity: &Identity) -> ArchiveDir {
        ArchiveDir::new(
            self.home.repository(identity),
            identity.clone(),
            Arc::clone(&self.store),
        )
    }

    /// The archives of all repositories, of those too that are no longer configured.
    pub fn archives(&self) -> Result<Vec<ArchiveDir>, Error> {
        let identities = self.store.read(archive::repositories)?;
        Ok(identities
            .iter()
            .map(|identity| self.archive(identity))
            .collect())
    }

    /// Finds a dist by its name, a meta-distribution's included.
    pub fn resolve(&self, distribution: &str) -> Result<Diststr, Error> {
        // Those that are published need no look at all that is configured.
        if let Ok(diststr) = distribution.parse::<Diststr>() {
            let archive = self.archive(&diststr.repository);
            if self.store.read(|tx| archive.has(tx, &diststr))? {
                return Ok(diststr);
            }
        }
        let catalog = self.store.read(Catalog::load)?;
        let diststr = catalog.resolve(distribution)?;
        suite(&catalog, &diststr)?;
        Ok(diststr)
    }
}

/// What the layout says of a dist; faults name those that there are.
fn suite<'a>(catalog: &'a Catalog, diststr: &Diststr) -> Result<&'a SuiteOptions, Error> {
    catalog
        .suite(diststr)
        .filter(|suite| {
            diststr
                .rollback
                .is_none_or(|number| number < suite.rollback)
        })
        .ok_or_else(|| Error::NoDist {
            diststr: diststr.clone(),
            known: known(catalog),
        })
}

/// Names of all dists but rollbacks.
fn known(catalog: &Catalog) -> String {
    let mut names = Vec::new();
    for (repository, layout) in catalog.repositories() {
        for codename in &repository.distributions {
            let suites = layout.suites.iter();
            names.extend(suites.map(|suite| repository.dist(codename, &suite.suite).to_string()));
        }
    }
    names.join(", ")
}

/// Notes what happened to a package without an upload.
fn tell(
    tx: &Transaction<'_>,
    kind: EventType,
    diststr: &Diststr,
    source: &PackageName,
    version: &Version,
) -> Result<(), Error> {
    let now = Timestamp::now();
    let package = PackageKey {
        source: source.clone(),
        version: version.clone(),
        timecode: Timecode::at(now),
    };
    let key = package.build("source");
    let event = Event::new(
        kind,
        &diststr.to_string(),
        &key,
        now,
        extra(&key, None, None),
    );
    event_log::add(tx, &event, &key.to_string())?;
    Ok(())
}
