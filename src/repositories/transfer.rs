//! Packages go to the next suite, leave, or become what they were.
use jiff::Timestamp;

use crate::archive::{Listed, Moment, Paged, Snapshot, Transferred};
use crate::deb::{PackageName, Version};
use crate::model::snapshot::SnapshotName;
use crate::model::{Diststr, EventType};
use crate::store::catalog::Catalog;

use super::{Error, Repositories, suite, tell};

impl Repositories {
    /// Copies a source with its binaries to where its suite migrates, all the way up if `full`; from a rollback, back
    /// into its dist. Returns where it went.
    pub fn migrate(
        &self,
        source: &PackageName,
        from: &Diststr,
        version: Option<&Version>,
        full: bool,
    ) -> Result<Vec<(Diststr, Transferred)>, Error> {
        let archive = self.archive(&from.repository);
        self.store.write(|tx| {
            let catalog = Catalog::load(tx)?;
            suite(&catalog, from)?;
            let mut went = Vec::new();
            if from.rollback.is_some() {
                let restored = archive.restore(tx, source, from, version)?;
                went.push((from.without_rollback(), restored));
            } else {
                let mut here = from.clone();
                let mut version = version.cloned();
                let mut already = None;
                while let Some(next) = suite(&catalog, &here)?.migrates_to.clone() {
                    let to = Diststr {
                        suite: next,
                        ..here.clone()
                    };
                    let rollbacks = suite(&catalog, &to)?.rollback;
                    let transferred =
                        archive.copy(tx, source, [&here, &to], version.as_ref(), rollbacks)?;
                    version = Some(transferred.version.clone());
                    here = to.clone();
                    if transferred.changed {
                        went.push((to, transferred));
                    } else {
                        already = Some(Error::AlreadyMigrated {
                            package: format!("{source} {}", transferred.version),
                            diststr: to,
                        });
                    }
                    if !full {
                        break;
                    }
                }
                if let Some(already) = already.filter(|_| went.is_empty()) {
                    return Err(already);
                }
            }
            if went.is_empty() {
                return Err(Error::NoMigration(from.clone()));
            }
            for (to, transferred) in &went {
                tell(tx, EventType::Migrated, to, source, &transferred.version)?;
            }
            Ok(went)
        })
    }

    /// Copies a source with its binaries into any other dist of the repository.
    pub fn copy(
        &self,
        source: &PackageName,
        [from, to]: [&Diststr; 2],
        version: Option<&Version>,
    ) -> Result<Transferred, Error> {
        if let Some(rollback) = Some(to).filter(|to| to.rollback.is_some()) {
            return Err(Error::Rollback(rollback.clone()));
        }
        let archive = self.archive(&from.repository);
        self.store.write(|tx| {
            let catalog = Catalog::load(tx)?;
            suite(&catalog, from)?;
            let rollbacks = suite(&catalog, to)?.rollback;
            let transferred = archive.copy(tx, source, [from, to], version, rollbacks)?;
            if transferred.changed {
                tell(tx, EventType::Migrated, to, source, &transferred.version)?;
            }
            Ok(transferred)
        })
    }

    /// Removes a source with its binaries: from a dist into its rollbacks (unless told otherwise), or out of a rollback.
    pub fn remove(
        &self,
        source: &PackageName,
        from: &Diststr,
        version: Option<&Version>,
        without_rollback: bool,
    ) -> Result<Transferred, Error> {
        let archive = self.archive(&from.repository);
        self.store.write(|tx| {
            let rollbacks = suite(&Catalog::load(tx)?, from)?.rollback;
            let rollbacks = if without_rollback { 0 } else { rollbacks };
            let transferred = archive.remove(tx, source, from, version, rollbacks)?;
            tell(tx, EventType::Removed, from, source, &transferred.version)?;
            Ok(transferred)
        })
    }

    /// Where a source is, in all repositories and dists, rollbacks included.
    pub fn list(&self, source: &PackageName) -> Result<Vec<Listed>, Error> {
        let mut listed = Vec::new();
        for archive in self.archives()? {
            listed.extend(self.store.read(|tx| archive.list(tx, source))?);
        }
        Ok(listed)
    }

    /// Up to `limit` sources of a dist behind a name, by name.
    pub fn page(&self, diststr: &Diststr, after: &str, limit: u32) -> Result<Vec<Paged>, Error> {
        let archive = self.archive(&diststr.repository);
        Ok(self
            .store
            .read(|tx| archive.page(tx, diststr, after, limit))?)
    }

    pub fn snapshots(&self, diststr: &Diststr) -> Result<Vec<Snapshot>, Error> {
        let archive = self.archive(&diststr.repository);
        Ok(self.store.read(|tx| archive.snapshots(tx, diststr))?)
    }

    /// Keeps what a dist is now; published later.
    pub fn create_snapshot(&self, diststr: &Diststr, name: &SnapshotName) -> Result<(), Error> {
        let archive = self.archive(&diststr.repository);
        let now = Timestamp::now();
        Ok(self
            .store
            .write(|tx| archive.create_snapshot(tx, diststr, name, now))?)
    }

    pub fn delete_snapshot(&self, diststr: &Diststr, name: &SnapshotName) -> Result<(), Error> {
        let archive = self.archive(&diststr.repository);
        Ok(self
            .store
            .write(|tx| archive.delete_snapshot(tx, diststr, name))?)
    }

    /// Makes a dist hold what it held at a time, told as what came and what left; `false`: it does already.
    pub fn roll_back(&self, diststr: &Diststr, at: Timestamp) -> Result<(Moment, bool), Error> {
        let archive = self.archive(&diststr.repository);
        self.store.write(|tx| {
            suite(&Catalog::load(tx)?, diststr)?;
            let before = archive.diff(tx, diststr, at, None)?;
            let (moment, changed) = archive.roll_back(tx, diststr, at)?;
            for difference in before {
                if difference.index_name != "source" {
                    continue;
                }
                let source: PackageName = difference.name.parse().map_err(archive_row)?;
                // What is there now, and was not then, leaves.
                for (kind, versions) in [
                    (EventType::Removed, &difference.after),
                    (EventType::Migrated, &difference.before),
                ] {
                    for version in versions {
                        let version: Version = version.parse().map_err(archive_row)?;
                        tell(tx, kind, diststr, &source, &version)?;
                    }
                }
            }
            Ok((moment, changed))
        })
    }
}

fn archive_row(source: crate::deb::Error) -> Error {
    Error::Malformed {
        file: "the database".into(),
        source,
    }
}
