//! pool/ and dists/ of one repository: rows are the truth, the directory is their published form.
//!
//! An installation is prepared (files verified and placed in the pool, outside any transaction), then rows are changed
//! in the caller's transaction, then what is dirty is published.
//!
//! Reading order: [`dist`] is what there is to publish; [`prepare`] (with [`pool`] and [`stanza`]), [`install`] and
//! [`publish`] (with [`index`], [`contents`], [`assembly`], [`pieces`], [`digests`] and [`release`]) are the way of a
//! package; [`membership`] and [`transfer`] move it between dists, each change at a [`moment`] that a [`view`] can look
//! back to; [`import`] takes all of another's directory; [`listing`] answers questions, [`resign`] follows the keys, [`clean`] tidies up, [`check`] looks for what is
//! broken and mends it, [`disk`] is below all of them.
//!
//! A crash at any point leaves clients with the old or the new state of a dist; publishing again finishes the job.
mod assembly;
mod check;
mod clean;
#[cfg(test)]
mod client;
mod contents;
mod digests;
mod disk;
mod dist;
mod error;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fixture;
mod import;
mod index;
mod install;
mod listing;
mod membership;
mod moment;
#[doc(hidden)]
pub mod pieces;
mod pool;
mod prepare;
mod publish;
mod release;
mod resign;
#[cfg(test)]
mod sample;
mod snapshot;
mod stanza;
mod state;
mod times;
mod transfer;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, Checksums, Component, FileName, ListedFile, PackageName, Version};
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::model::snapshot::SnapshotName;
use crate::pgp::SigningKeys;
use crate::store::{Store, Transaction};

use moment::Change;
use view::View;

pub use check::{Copy, Problem, Told, check_database};
pub use clean::{Expired, Retention};
pub use dist::{is_dirty, occupied, repositories};
pub use error::Error;
pub use import::{ImportedDist, State, Stock};
pub use listing::{Amount, Paged, amounts};
pub use moment::Moment;
pub use prepare::Prepared;
pub use snapshot::Snapshot;
pub use times::{DistTime, Time};
pub use transfer::Transferred;
pub use view::Difference;

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
    /// Versions of one source that stay in a component.
    #[serde(default = "keep")]
    pub keep: u32,
    /// Days from Date to Valid-Until; `None`: there is no Valid-Until.
    #[serde(default)]
    pub valid_days: Option<u32>,
    /// Release lists SHA512 too.
    #[serde(default)]
    pub sha512: bool,
}

fn keep() -> u32 {
    1
}

/// Files of one source package and its binaries, to be installed together.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The .dsc; the files that it lists are searched in `directories`, then in the pool.
    pub dsc: PathBuf,
    /// .deb, .ddeb, .udeb files.
    pub binaries: Vec<PathBuf>,
    pub directories: Vec<PathBuf>,
    /// What a .changes says of files; all are verified.
    pub listed: Vec<ListedFile>,
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
        let mut prepared = prepare::prepare(self, std::slice::from_ref(installation))?;
        Ok(prepared.pop().expect("one for each"))
    }

    /// As [`ArchiveDir::prepare`], for many at once, all or none: their files wait for the disk together, and are open
    /// together.
    pub fn prepare_all(&self, installations: &[Installation]) -> Result<Vec<Prepared>, Error> {
        prepare::prepare(self, installations)
    }

    /// Puts a prepared package into a dist; what was there moves into the dist's rollbacks 0 to `rollbacks` - 1.
    ///
    /// The same package again changes nothing: `false`.
    pub fn install(
        &self,
        tx: &Transaction<'_>,
        prepared: &Prepared,
        diststr: &Diststr,
        rollbacks: u32,
    ) -> Result<bool, Error> {
        install::install(tx, &self.repository, prepared, diststr, rollbacks)
    }

    /// Copies a source with its binaries into another dist; what that has moves into its rollbacks.
    pub fn copy(
        &self,
        tx: &Transaction<'_>,
        source: &PackageName,
        [from, to]: [&Diststr; 2],
        version: Option<&Version>,
        rollbacks: u32,
    ) -> Result<Transferred, Error> {
        let change = self.change(tx, format!("copy {source} from {from} to {to}"));
        transfer::copy(&change, source, from, to, version, rollbacks)
    }

    /// Copies a source from a rollback back into its dist, which must have none.
    pub fn restore(
        &self,
        tx: &Transaction<'_>,
        source: &PackageName,
        from: &Diststr,
        version: Option<&Version>,
    ) -> Result<Transferred, Error> {
        let change = self.change(tx, format!("restore {source} from {from}"));
        transfer::restore(&change, source, from, version)
    }

    /// Removes a source with its binaries: from a dist into its rollbacks, or out of a rollback, where the next ones
    /// move up.
    pub fn remove(
        &self,
        tx: &Transaction<'_>,
        source: &PackageName,
        from: &Diststr,
        version: Option<&Version>,
        rollbacks: u32,
    ) -> Result<Transferred, Error> {
        let change = self.change(tx, format!("remove {source} from {from}"));
        transfer::remove(&change, source, from, version, rollbacks)
    }

    /// Makes a dist hold what it held at a time; `false`: it does already.
    pub fn roll_back(
        &self,
        tx: &Transaction<'_>,
        diststr: &Diststr,
        at: Timestamp,
    ) -> Result<(Moment, bool), Error> {
        let moment = self.moment(tx, diststr, at)?;
        let change = self.change(tx, format!("roll {diststr} back to {}", moment.name()));
        let changed = transfer::roll_back(&change, diststr, &moment)?;
        Ok((moment, changed))
    }

    /// What is other in a dist at a later time (`None`: now) than at an earlier one.
    pub fn diff(
        &self,
        tx: &Transaction<'_>,
        diststr: &Diststr,
        before: Timestamp,
        after: Option<Timestamp>,
    ) -> Result<Vec<Difference>, Error> {
        let dist = dist::get(tx, &self.repository, diststr)?;
        let view = |at| Ok::<View, Error>(View::at(dist.id, self.moment(tx, diststr, at)?.id));
        let after = after.map_or(Ok(View::now(dist.id)), view)?;
        view::diff(tx, &view(before)?, &after)
    }

    /// The last change of a dist that is not after a time.
    pub fn moment(
        &self,
        tx: &Transaction<'_>,
        diststr: &Diststr,
        at: Timestamp,
    ) -> Result<Moment, Error> {
        let dist = dist::get(tx, &self.repository, diststr)?;
        match moment::of_dist(tx, &dist, at)? {
            Some(moment) => Ok(moment),
            None => Err(Error::NoState {
                diststr: diststr.clone(),
                at,
                since: moment::first(tx, &dist)?.map(|moment| moment.at),
            }),
        }
    }

    /// Changes of a dist, or of all, newest first.
    pub fn moments(
        &self,
        tx: &Transaction<'_>,
        diststr: Option<&Diststr>,
        limit: u32,
    ) -> Result<Vec<Moment>, Error> {
        let dist = diststr
            .map(|diststr| dist::get(tx, &self.repository, diststr))
            .transpose()?;
        moment::list(tx, &self.repository, dist.map(|dist| dist.id), limit)
    }

    fn change<'a>(&'a self, tx: &'a Transaction<'a>, action: String) -> Change<'a> {
        Change::new(tx, &self.repository, action)
    }

    /// Keeps what a dist is now under a name; published as `dists/DIST/snapshots/NAME` with the dist.
    pub fn create_snapshot(
        &self,
        tx: &Transaction<'_>,
        diststr: &Diststr,
        name: &SnapshotName,
        now: Timestamp,
    ) -> Result<(), Error> {
        snapshot::create(tx, &self.repository, diststr, name, now)
    }

    pub fn delete_snapshot(
        &self,
        tx: &Transaction<'_>,
        diststr: &Diststr,
        name: &SnapshotName,
    ) -> Result<(), Error> {
        snapshot::delete(tx, &self.repository, diststr, name)
    }

    /// Snapshots of a dist, oldest first.
    pub fn snapshots(
        &self,
        tx: &Transaction<'_>,
        diststr: &Diststr,
    ) -> Result<Vec<Snapshot>, Error> {
        snapshot::list(tx, &self.repository, diststr)
    }

    /// A dist as it was at a time, where that is an apt source already.
    pub fn present_time(&self, asked: &DistTime, now: Timestamp) -> Result<Option<Time>, Error> {
        times::present(self, asked, now)
    }

    /// Makes a dist as it was at a time an apt source; bounded in number and rate.
    ///
    /// Not to be called inside a transaction.
    pub fn publish_time(
        &self,
        asked: &DistTime,
        keys: &SigningKeys,
        now: Timestamp,
    ) -> Result<Time, Error> {
        times::publish(self, asked, keys, now)
    }

    /// Publishes every dirty dist, InRelease last; returns their names.
    ///
    /// Writes to the database: not to be called inside a transaction.
    pub fn publish(&self, keys: &SigningKeys, now: Timestamp) -> Result<Vec<Diststr>, Error> {
        publish::publish(self, keys, now, &mut |_| {})
    }

    /// Dists that clients do not yet see as they are.
    pub fn unpublished(&self) -> Result<Vec<Diststr>, Error> {
        let dirty = self
            .store
            .read(|tx| dist::dirty(tx, &self.repository))?
            .into_iter();
        Ok(dirty.map(|dist| dist.settings.diststr).collect())
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

    /// All sources, of one dist or of all.
    pub fn list_all(
        &self,
        tx: &Transaction<'_>,
        diststr: Option<&Diststr>,
    ) -> Result<Vec<Listed>, Error> {
        listing::list_all(tx, &self.repository, diststr)
    }

    /// Tells whether it is one of the repository's dists.
    pub fn has(&self, tx: &Transaction<'_>, diststr: &Diststr) -> Result<bool, Error> {
        match dist::get(tx, &self.repository, diststr) {
            Ok(_) => Ok(true),
            Err(Error::UnknownDist { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Up to `limit` sources of a dist behind a name, by name.
    pub fn page(
        &self,
        tx: &Transaction<'_>,
        diststr: &Diststr,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Paged>, Error> {
        let dist = dist::get(tx, &self.repository, diststr)?;
        listing::page(tx, &dist, after, limit)
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

    /// Forgets past states that are too old, and deletes pool files that nothing names.
    ///
    /// Writes to the database: not to be called inside a transaction.
    pub fn expire(&self, retention: Retention, now: Timestamp) -> Result<Expired, Error> {
        clean::expire(self, retention, now)
    }

    /// Deletes by-hash files that are neither of the last three generations nor an hour young, and what is left over.
    ///
    /// Writes to the database: not to be called inside a transaction.
    pub fn clean(&self, now: Timestamp) -> Result<(), Error> {
        clean::clean(self, now)
    }

    /// Marks dists dirty whose Valid-Until comes near; returns how many.
    pub fn renew(&self, tx: &Transaction<'_>, now: Timestamp) -> Result<usize, Error> {
        dist::renew(tx, &self.repository, now)
    }

    /// Has all dists, snapshots and past times included, signed anew by the keys that sign now.
    ///
    /// Writes to the database: not to be called inside a transaction.
    pub fn sign_all_anew(&self) -> Result<(), Error> {
        resign::all(self)
    }

    pub fn identity(&self) -> &Identity {
        &self.repository
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
