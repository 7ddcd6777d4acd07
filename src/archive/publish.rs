//! One pass over all dirty dists: new files first under their hashes, InRelease last.
//!
//! Order: (1) what is new is written to a scratch directory and synced, (2) it gets its by-hash names, and Release files
//! are signed, (3) all of that is synced, (4) plain names, Release, Release.gpg and InRelease are put in place by link or
//! rename, (5) synced, (6) the rows say so. A client that knows an InRelease finds its files by hash at any moment; a
//! crash leaves the dist dirty, and the next pass begins at (1) again.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::deb::release::IndexFile;
use crate::model::Diststr;
use crate::pgp::SigningKeys;

use super::assembly::{Assembled, Memory, Piece};
use super::digests::Sums;
use super::disk::{self, Doing, Scratch, Unsynced};
use super::dist::{self, Dist};
use super::{ArchiveDir, Error, release, snapshot};

mod plan;
mod rows;

pub(super) use plan::elsewhere;
pub(super) use rows::{Live, live, pieces};

/// Where a pass is; tests stop it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Written,
    Hashed,
    Signed,
    /// Some plain names are new.
    Plain,
    Release,
    Signature,
    InRelease,
    Synced,
}

pub(super) const SCRATCH: &str = ".publish";

/// What is put in place last, in this order.
pub(super) const SIGNED: [&str; 3] = ["Release", "Release.gpg", "InRelease"];

/// A file of a dist as its Release is to list it.
struct Planned {
    index: IndexFile,
    input: String,
    states: Vec<u8>,
    kind: Kind,
}

enum Kind {
    /// In by-hash, and under its name.
    Hashed,
    /// Under its name only: clients don't fetch it.
    Plain,
}

/// What a dist is to become.
struct Plan {
    dist: Dist,
    files: Vec<Planned>,
    live: HashMap<String, Live>,
    /// Of indices that change: path, pieces before and after.
    pieces: Vec<(String, Vec<Piece>, Vec<Piece>)>,
    /// The moment that it shows.
    upto: i64,
}

impl Plan {
    /// Tells whether the last complete pass has not published it: what a pass that was cut short named is not yet safe.
    fn is_new(&self, index: &IndexFile) -> bool {
        self.live
            .get(&index.path)
            .is_none_or(|live| live.index != *index)
    }
}

/// The work of one call.
struct Pass<'a> {
    archive: &'a ArchiveDir,
    now: Timestamp,
    scratch: Scratch,
    unsynced: Unsynced,
    /// Digests of what is in the scratch directory, under that name.
    staged: HashSet<String>,
    memory: Memory,
    /// Indices without a package, by whether SHA-512 is listed: most of the first publication are.
    empty: BTreeMap<bool, Assembled>,
}

/// Sums by which files are named, as `by-hash` calls them: clients ask by the strongest that Release lists.
pub(super) const BY_HASH: [&str; 2] = ["SHA256", "SHA512"];

/// Name of an index file below `by-hash`, by its SHA-256.
pub(super) fn by_hash(dist: &Path, path: &str, sha256: &str) -> PathBuf {
    by(dist, path, BY_HASH[0], sha256)
}

/// All of its names below `by-hash`.
pub(super) fn by_hashes(
    dist: &Path,
    path: &str,
    sha256: &str,
    sha512: Option<&str>,
) -> Vec<PathBuf> {
    BY_HASH
        .into_iter()
        .zip([Some(sha256), sha512])
        .filter_map(|(kind, sum)| Some(by(dist, path, kind, sum?)))
        .collect()
}

fn by(dist: &Path, path: &str, kind: &str, sum: &str) -> PathBuf {
    let mut hashed = dist.join(path);
    hashed.set_file_name("by-hash");
    hashed.push(kind);
    hashed.push(sum);
    hashed
}

pub(super) fn publish(
    archive: &ArchiveDir,
    keys: &SigningKeys,
    now: Timestamp,
    reached: &mut dyn FnMut(Step),
) -> Result<Vec<Diststr>, Error> {
    let _lock = disk::lock(&archive.directory)?;
    let dirty = archive
        .store
        .read(|tx| dist::dirty(tx, &archive.repository))?;
    if dirty.is_empty() {
        return Ok(Vec::new());
    }
    let (removed, dirty): (Vec<Dist>, Vec<Dist>) = dirty.into_iter().partition(|dist| dist.removed);
    let mut pass = Pass {
        archive,
        now,
        scratch: Scratch::fresh(archive.directory.join(SCRATCH))?,
        unsynced: Unsynced::default(),
        staged: HashSet::new(),
        memory: Memory::default(),
        empty: BTreeMap::new(),
    };
    let plans = dirty
        .into_iter()
        .map(|dist| archive.store.read(|tx| pass.plan(tx, dist)))
        .collect::<Result<Vec<Plan>, Error>>()?;
    pass.sync()?;
    reached(Step::Written);
    for plan in &plans {
        pass.name_by_hash(plan)?;
    }
    reached(Step::Hashed);
    for plan in &plans {
        pass.sign(plan, keys)?;
    }
    pass.sync()?;
    reached(Step::Signed);
    for plan in &plans {
        pass.put_in_place(plan, reached)?;
    }
    let mut snapshots = Vec::new();
    for plan in &plans {
        let settled = snapshot::publish(archive, &plan.dist, keys, now)?;
        snapshots.push((plan.dist.id, settled));
    }
    for dist in &removed {
        pass.withdraw(dist)?;
    }
    pass.sync()?;
    reached(Step::Synced);
    archive
        .store
        .write(|tx| rows::settle(tx, &plans, &removed, &snapshots, now))?;
    Ok(plans
        .into_iter()
        .map(|plan| plan.dist.settings.diststr)
        .collect())
}

impl Pass<'_> {
    fn directory(&self, dist: &Dist) -> PathBuf {
        self.archive
            .directory
            .join("dists")
            .join(dist.settings.diststr.to_string())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.unsynced.sync(&self.archive.directory)
    }

    /// Writes a file to the scratch directory, under its SHA-256.
    fn stage(&mut self, sums: &Sums, content: &[u8]) -> Result<(), Error> {
        if self.staged.insert(sums.sha256.clone()) {
            let path = self.scratch.path().join(&sums.sha256);
            disk::write_new_dated(&path, content, SystemTime::from(self.now))
                .doing("write", &path)?;
            self.unsynced.add(&path);
        }
        Ok(())
    }

    /// Takes a file of the scratch directory as one that is staged.
    fn adopt(&mut self, sums: &Sums, file: &Path) -> Result<(), Error> {
        if !self.staged.insert(sums.sha256.clone()) {
            return disk::remove_file(file).doing("remove", file);
        }
        let path = self.scratch.path().join(&sums.sha256);
        disk::rename(file, &path).doing("put in place", &path)?;
        disk::date(&path, SystemTime::from(self.now)).doing("date", &path)?;
        self.unsynced.add(&path);
        Ok(())
    }

    fn name_by_hash(&mut self, plan: &Plan) -> Result<(), Error> {
        let directory = self.directory(&plan.dist);
        for Planned { index, kind, .. } in &plan.files {
            let Kind::Hashed = kind else {
                continue;
            };
            let mut from = self.scratch.path().join(&index.sha256);
            for hashed in names_of(&directory, index) {
                let parent = hashed.parent().unwrap_or(&directory);
                if plan.is_new(index) {
                    self.unsynced.add(parent);
                }
                if !disk::has_size(&hashed, index.size) {
                    self.unsynced.directory(parent)?;
                    self.name(&from, &hashed)?;
                    self.unsynced.add(parent);
                }
                // What is not staged is there by the first name.
                from = hashed;
            }
        }
        Ok(())
    }

    /// Gives a complete file another name at once, whatever had it before.
    fn name(&self, from: &Path, to: &Path) -> Result<(), Error> {
        if disk::link(from, to).is_ok() {
            return Ok(());
        }
        let temporary = self.scratch.path().join("name");
        disk::remove_file(&temporary).doing("remove", &temporary)?;
        match disk::link(from, &temporary) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(error).doing("link", from);
            }
            // No hard links here, or too many of this one.
            Err(_) => {
                let content = fs::read(from).doing("read", from)?;
                disk::write_new(&temporary, &content)
                    .and_then(|_| disk::sync(&temporary))
                    .doing("write", &temporary)?;
            }
        }
        disk::rename(&temporary, to).doing("put in place", to)
    }

    /// Writes Release, Release.gpg and InRelease to the scratch directory.
    fn sign(&mut self, plan: &Plan, keys: &SigningKeys) -> Result<(), Error> {
        let settings = &plan.dist.settings;
        let files = plan.files.iter().map(|file| file.index.clone()).collect();
        let text = release::dist(settings, keys, self.now, files);
        let failed = |source| Error::Sign {
            dist: settings.diststr.to_string(),
            source,
        };
        let signature = keys.detach_sign(text.as_bytes()).map_err(failed)?;
        let signed = keys.clearsign(&text).map_err(failed)?;
        let modified = self.modification_time(&self.directory(&plan.dist).join("InRelease"));
        for (name, content) in [
            ("Release", &text),
            ("Release.gpg", &signature),
            ("InRelease", &signed),
        ] {
            let path = self.signed(&plan.dist, name);
            disk::write_new_dated(&path, content.as_bytes(), modified).doing("write", &path)?;
            self.unsynced.add(&path);
        }
        Ok(())
    }

    fn signed(&self, dist: &Dist, name: &str) -> PathBuf {
        self.scratch
            .path()
            .join(format!("{}.{name}", dist.settings.diststr))
    }

    /// Now, but in a later second than the file before: apt asks for what is newer by whole seconds.
    fn modification_time(&self, previous: &Path) -> SystemTime {
        let now = SystemTime::from(self.now);
        let second = Duration::from_secs(1);
        let later = fs::metadata(previous)
            .and_then(|meta| meta.modified())
            .map_or(now, |time| time + second);
        // A file from a clock that went wrong is no measure.
        if later < now + 60 * second {
            later.max(now)
        } else {
            now
        }
    }

    fn put_in_place(&mut self, plan: &Plan, reached: &mut dyn FnMut(Step)) -> Result<(), Error> {
        let directory = self.directory(&plan.dist);
        self.unsynced.directory(&directory)?;
        for Planned { index, kind, .. } in &plan.files {
            let path = directory.join(&index.path);
            let from = match kind {
                Kind::Hashed => by_hash(&directory, &index.path, &index.sha256),
                Kind::Plain => self.scratch.path().join(&index.sha256),
            };
            let is_there = match kind {
                Kind::Plain => !self.staged.contains(&index.sha256),
                Kind::Hashed => disk::is_same_file(&from, &path),
            };
            let parent = path.parent().unwrap_or(&directory);
            if plan.is_new(index) {
                self.unsynced.add(parent);
            }
            if is_there {
                continue;
            }
            self.unsynced.directory(parent)?;
            self.name(&from, &path)?;
            self.unsynced.add(parent);
            reached(Step::Plain);
        }
        let steps = [Step::Release, Step::Signature, Step::InRelease];
        for (name, step) in SIGNED.into_iter().zip(steps) {
            let path = directory.join(name);
            disk::rename(&self.signed(&plan.dist, name), &path).doing("put in place", &path)?;
            reached(step);
        }
        self.unsynced.add(&directory);
        for path in rows::dropped(plan) {
            let path = directory.join(path);
            disk::remove_file(&path).doing("remove", &path)?;
        }
        Ok(())
    }

    fn withdraw(&mut self, dist: &Dist) -> Result<(), Error> {
        let directory = self.directory(dist);
        for name in SIGNED.into_iter().rev() {
            let path = directory.join(name);
            disk::remove_file(&path).doing("remove", &path)?;
        }
        disk::remove_tree(&directory).doing("remove", &directory)?;
        let dists = self.archive.directory.join("dists");
        self.unsynced.directory(&dists)?;
        self.unsynced.add(&dists);
        Ok(())
    }
}

/// All names of an index file below `by-hash`.
pub(super) fn names_of(dist: &Path, index: &IndexFile) -> Vec<PathBuf> {
    let IndexFile {
        path,
        sha256,
        sha512,
        ..
    } = index;
    by_hashes(dist, path, sha256, sha512.as_deref())
}

#[cfg(test)]
mod tests;
