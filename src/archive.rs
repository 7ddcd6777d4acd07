//! pool/ and dists/ of one repository: rows are the truth, the directory is their published form.
//!
//! An installation is prepared (files verified and placed in the pool, outside any transaction), then rows are changed
//! in the caller's transaction, then what is dirty is published.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::deb::{Architecture, Checksums, Component, FileName, PackageName, Version};
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::pgp::SigningKey;
use crate::store::{Store, Transaction};

pub struct ArchiveDir {
    _directory: PathBuf,
    _repository: Identity,
    _store: Arc<Store>,
}

/// What the Release file of a dist says, and how many rollbacks it shifts into.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// An installation whose files are verified, parsed and in the pool.
#[derive(Debug)]
pub struct Prepared {}

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
}

impl ArchiveDir {
    pub fn new(directory: PathBuf, repository: Identity, store: Arc<Store>) -> ArchiveDir {
        ArchiveDir {
            _directory: directory,
            _repository: repository,
            _store: store,
        }
    }
    /// Makes the dists those that are wanted; new and changed ones become dirty.
    pub fn configure(&self, _tx: &Transaction<'_>, _dists: &[DistSettings]) -> Result<(), Error> {
        todo!()
    }
    /// Verifies every checksum, parses, and places the files in the pool; may be repeated.
    pub fn prepare(&self, _installation: &Installation) -> Result<Prepared, Error> {
        todo!()
    }
    /// Puts a prepared package into a dist; what was there moves into the dist's rollbacks 0 to `rollbacks` - 1.
    pub fn install(
        &self,
        _tx: &Transaction<'_>,
        _prepared: &Prepared,
        _diststr: &Diststr,
        _rollbacks: u32,
    ) -> Result<(), Error> {
        todo!()
    }
    /// Publishes every dirty dist, InRelease last; returns their names.
    pub fn publish(&self, _key: &SigningKey, _now: Timestamp) -> Result<Vec<Diststr>, Error> {
        todo!()
    }
    /// Where a source is, in all dists, rollbacks included.
    pub fn list(&self, _tx: &Transaction<'_>, _source: &PackageName) -> Result<Vec<Listed>, Error> {
        todo!()
    }
    /// A file of a source package in the pool, whatever its component.
    pub fn pool_file(
        &self,
        _tx: &Transaction<'_>,
        _source: &PackageName,
        _name: &FileName,
    ) -> Result<Option<PoolFile>, Error> {
        todo!()
    }
    /// Digest over the published package indices of these dists: the same while apt sees the same packages.
    pub fn content_digest(
        &self,
        _tx: &Transaction<'_>,
        _dists: &[Diststr],
    ) -> Result<String, Error> {
        todo!()
    }
    /// Deletes by-hash files that are neither of the last three generations nor an hour young.
    pub fn clean(&self, _now: Timestamp) -> Result<(), Error> {
        todo!()
    }
    pub fn directory(&self) -> &Path {
        &self._directory
    }
}
