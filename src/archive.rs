//! pool/ and dists/ of one repository: rows are the truth, the directory is their published form.
//!
//! An installation is prepared (files verified and placed in the pool, outside any transaction), then rows are changed
//! in the caller's transaction, then what is dirty is published.
//!
//! Reading order: [`dist`] is what there is to publish; [`prepare`] (with [`pool`] and [`stanza`]), [`install`] and
//! [`publish`] (with [`index`], [`contents`] and [`release`]) are the way of a package; [`listing`] answers questions,
//! [`resign`] follows the keys, [`clean`] tidies up, [`disk`] is below all of them.
//!
//! A crash at any point leaves clients with the old or the new state of a dist; publishing again finishes the job.
mod clean;
#[cfg(test)]
mod client;
mod contents;
mod disk;
mod dist;
#[cfg(test)]
mod fixture;
mod index;
mod install;
mod listing;
mod pool;
mod prepare;
mod publish;
mod release;
mod resign;
#[cfg(test)]
mod sample;
mod stanza;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, Checksums, Component, FileName, PackageName, Version};
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::pgp::{self, SigningKeys};
use crate::store::{Store, Transaction};

pub use dist::is_dirty;
pub use prepare::Prepared;

/// One repository: its directory and its rows.
pub struct ArchiveDir {
    directory: PathBuf,
    repository: Identity,
    store: Arc<Store>,
}

/// What the Release file of a dist says, and which indices it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistSettings {
    pub diststr: Diststr,
    pub origin: String,
    pub components: Vec<Component>,
    /// Without `source`.
    pub architectures: Vec<Architecture>,
    pub not_automatic: bool,
    pub but_automatic_upgrades: bool,
}

/// Files of one source package and its binaries, to be installed together.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The .dsc; the files that it lists are searched in `directories`, then in the pool.
    pub dsc: PathBuf,
    /// .deb, .udeb files.
    pub binaries: Vec<PathBuf>,
    pub directories: Vec<PathBuf>,
}

/// A source package in a dist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub diststr: Diststr,
    pub component: Component,
    pub source: PackageName,
    pub version: Version,
    /// `source`, and those of its binaries.
    pub architectures: Vec<String>,
    /// Path of its .dsc below the repository's directory.
    pub dsc: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolFile {
    /// Below the repository's directory.
    pub path: PathBuf,
    pub checksums: Checksums,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error("can't {action} {path}")]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{file} is malformed")]
    Malformed {
        file: String,
        source: crate::deb::Error,
    },
    #[error("can't take the signature off {file}")]
    Signature { file: String, source: pgp::Error },
    #[error("{file}: {fault}")]
    Fault { file: String, fault: String },
    #[error("{file}: {fault} in {dsc}")]
    Checksum {
        file: FileName,
        fault: String,
        dsc: FileName,
    },
    #[error("{file}, which {dsc} lists, is missing")]
    Missing { file: FileName, dsc: FileName },
    #[error("{path} is in the pool with other content (SHA-256 {present}, new file {wanted})")]
    OtherContent {
        path: String,
        present: String,
        wanted: String,
    },
    #[error(
        "{package} would take the place of version {version} from source {source_name}, which is not lower"
    )]
    Takeover {
        package: String,
        source_name: String,
        version: String,
    },
    #[error("{path} has gone from the pool since it was prepared")]
    Unprepared { path: String },
    #[error("{package} is in the repository with other files")]
    OtherFiles { package: String },
    #[error("{package} is in {diststr} with other binaries")]
    OtherBinaries { package: String, diststr: Diststr },
    #[error("{diststr} is no distribution of repository {repository}")]
    UnknownDist {
        diststr: Diststr,
        repository: Identity,
    },
    #[error("{diststr} has no {missing}")]
    NotInDist {
        diststr: Diststr,
        /// `component universe, which hello 1.0 amd64 needs`
        missing: String,
    },
    #[error("can't sign the Release file of {dist}")]
    Sign { dist: String, source: pgp::Error },
    #[error("the database has a malformed {what}: {value:?}")]
    Row { what: &'static str, value: String },
}

impl ArchiveDir {
    pub fn new(directory: PathBuf, repository: Identity, store: Arc<Store>) -> ArchiveDir {
        ArchiveDir {
            directory,
            repository,
            store,
        }
    }

    /// Makes the dists those that are wanted; new and changed ones become dirty.
    ///
    /// One that is no longer wanted is no longer published; its packages come back when it does.
    pub fn configure(&self, tx: &Transaction<'_>, dists: &[DistSettings]) -> Result<(), Error> {
        dist::configure(tx, &self.repository, dists)
    }

    /// Verifies every checksum, parses, and places the files in the pool; may be repeated.
    ///
    /// Writes to the database: not to be called inside a transaction.
    pub fn prepare(&self, installation: &Installation) -> Result<Prepared, Error> {
        prepare::prepare(self, installation)
    }

    /// Puts a prepared package into a dist; what was there moves into the dist's rollbacks 0 to `rollbacks` - 1.
    ///
    /// The same package again changes nothing.
    pub fn install(
        &self,
        tx: &Transaction<'_>,
        prepared: &Prepared,
        diststr: &Diststr,
        rollbacks: u32,
    ) -> Result<(), Error> {
        install::install(tx, &self.repository, prepared, diststr, rollbacks)
    }

    /// Publishes every dirty dist, InRelease last; returns their names.
    ///
    /// Writes to the database: not to be called inside a transaction.
    pub fn publish(&self, keys: &SigningKeys, now: Timestamp) -> Result<Vec<Diststr>, Error> {
        publish::publish(self, keys, now, &mut |_| {})
    }

    /// Makes dirty what other keys than these signed.
    ///
    /// Writes to the database: not to be called inside a transaction.
    pub fn resign(&self, keys: &SigningKeys) -> Result<(), Error> {
        resign::resign(self, keys)
    }

    /// Where a source is, in all dists, rollbacks included.
    pub fn list(&self, tx: &Transaction<'_>, source: &PackageName) -> Result<Vec<Listed>, Error> {
        listing::list(tx, &self.repository, source)
    }

    /// A file of a source package in the pool, whatever its component.
    pub fn pool_file(
        &self,
        tx: &Transaction<'_>,
        source: &PackageName,
        name: &FileName,
    ) -> Result<Option<PoolFile>, Error> {
        pool::find(tx, &self.repository, source, name)
    }

    /// Digest over the published package indices of these dists: the same while apt sees the same packages.
    pub fn content_digest(&self, tx: &Transaction<'_>, dists: &[Diststr]) -> Result<String, Error> {
        listing::content_digest(tx, &self.repository, dists)
    }

    /// Deletes by-hash files that are neither of the last three generations nor an hour young.
    ///
    /// Writes to the database: not to be called inside a transaction.
    pub fn clean(&self, now: Timestamp) -> Result<(), Error> {
        clean::clean(self, now)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
