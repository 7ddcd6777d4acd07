//! One pass over all dirty dists: new files first under their hashes, InRelease last.
//!
//! Order: (1) what is new is written to a scratch directory and synced, (2) it gets its by-hash names, and Release files
//! are signed, (3) all of that is synced, (4) plain names, Release, Release.gpg and InRelease are put in place by link or
//! rename, (5) synced, (6) the rows say so. A client that knows an InRelease finds its files by hash at any moment; a
//! crash leaves the dist dirty, and the next pass begins at (1) again.
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::deb::Checksums;
use crate::deb::release::IndexFile;
use crate::model::Diststr;
use crate::pgp::SigningKey;
use crate::store::Transaction;

use super::disk::{self, Doing, Scratch, Unsynced};
use super::dist::{self, Dist};
use super::index::{self, Form, Index, Members};
use super::{ArchiveDir, Error, release};

mod rows;

use rows::Live;

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
/// Input of files that are compared with what is on disk.
const COMPARED: &str = "";

/// A file of a dist as its Release is to list it.
struct Planned {
    index: IndexFile,
    input: String,
    kind: Kind,
}

enum Kind {
    /// In by-hash, and under its name.
    Hashed,
    /// Under its name only: clients don't fetch it.
    Plain,
    /// Not on disk.
    Listed,
}

/// What a dist is to become.
struct Plan {
    dist: Dist,
    files: Vec<Planned>,
    live: HashMap<String, Live>,
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
    /// Indices made in this pass, by input: most dists share theirs, the empty one at least.
    rendered: HashMap<String, Vec<(Form, Checksums)>>,
}

/// Name of an index file below `by-hash`.
pub(super) fn by_hash(dist: &Path, path: &str, sha256: &str) -> PathBuf {
    let mut hashed = dist.join(path);
    hashed.set_file_name("by-hash");
    hashed.push("SHA256");
    hashed.push(sha256);
    hashed
}

pub(super) fn publish(
    archive: &ArchiveDir,
    key: &SigningKey,
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
        rendered: HashMap::new(),
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
        pass.sign(plan, key)?;
    }
    pass.sync()?;
    reached(Step::Signed);
    for plan in &plans {
        pass.put_in_place(plan, reached)?;
    }
    for dist in &removed {
        pass.withdraw(dist)?;
    }
    pass.sync()?;
    reached(Step::Synced);
    archive
        .store
        .write(|tx| rows::settle(tx, &plans, &removed, now))?;
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

    /// Finds out what the dist's files are to be, and writes those that are new to the scratch directory.
    fn plan(&mut self, tx: &Transaction<'_>, dist: Dist) -> Result<Plan, Error> {
        let directory = self.directory(&dist);
        let live = rows::live(tx, dist.id)?;
        let members = Members::read(tx, dist.id)?;
        let mut files = Vec::new();
        for index in index::indices(&dist.settings) {
            let packages = members.packages(&index);
            let input = index::input(&index, &packages);
            let planned = match unchanged(&directory, &live, &index, &input) {
                Some(planned) => planned,
                None => self.rendered(tx, &index, &packages, &input)?,
            };
            files.extend(planned);
        }
        for (path, text) in release::of_indices(&dist.settings) {
            let checksums = checksums(text.as_bytes());
            let is_there =
                fs::read(directory.join(&path)).is_ok_and(|present| present == text.as_bytes());
            if !is_there {
                self.stage(&checksums, text.as_bytes())?;
            }
            files.push(Planned {
                index: index_file(path, &checksums),
                input: COMPARED.to_owned(),
                kind: Kind::Plain,
            });
        }
        Ok(Plan { dist, files, live })
    }

    /// Makes an index in all its forms.
    fn rendered(
        &mut self,
        tx: &Transaction<'_>,
        index: &Index,
        packages: &[i64],
        input: &str,
    ) -> Result<Vec<Planned>, Error> {
        let key = format!("{input} {:?}", index.forms);
        let forms = if let Some(forms) = self.rendered.get(&key) {
            forms.clone()
        } else {
            let text = index::render(tx, index, packages)?;
            let mut forms = Vec::new();
            for form in index.forms {
                let content = form
                    .encode(&text)
                    .doing("compress", Path::new(&index.name))?;
                let checksums = checksums(&content);
                if form.is_file() {
                    self.stage(&checksums, &content)?;
                }
                forms.push((*form, checksums));
            }
            self.rendered.insert(key, forms.clone());
            forms
        };
        Ok(forms
            .iter()
            .map(|(form, checksums)| {
                planned(index, *form, input, |path| index_file(path, checksums))
            })
            .collect())
    }

    fn stage(&mut self, checksums: &Checksums, content: &[u8]) -> Result<(), Error> {
        if self.staged.insert(checksums.sha256.clone()) {
            let path = self.scratch.path().join(&checksums.sha256);
            disk::write_new_dated(&path, content, SystemTime::from(self.now))
                .doing("write", &path)?;
            self.unsynced.add(&path);
        }
        Ok(())
    }

    fn name_by_hash(&mut self, plan: &Plan) -> Result<(), Error> {
        let directory = self.directory(&plan.dist);
        for Planned { index, kind, .. } in &plan.files {
            let Kind::Hashed = kind else {
                continue;
            };
            let hashed = by_hash(&directory, &index.path, &index.sha256);
            let parent = hashed.parent().unwrap_or(&directory);
            if plan.is_new(index) {
                self.unsynced.add(parent);
            }
            if disk::has_size(&hashed, index.size) {
                continue;
            }
            self.unsynced.directory(parent)?;
            self.name(&self.scratch.path().join(&index.sha256), &hashed)?;
            self.unsynced.add(parent);
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
    fn sign(&mut self, plan: &Plan, key: &SigningKey) -> Result<(), Error> {
        let settings = &plan.dist.settings;
        let files = plan.files.iter().map(|file| file.index.clone()).collect();
        let text = release::dist(settings, self.now, files);
        let failed = |source| Error::Sign {
            dist: settings.diststr.to_string(),
            source,
        };
        let signature = key.detach_sign(text.as_bytes()).map_err(failed)?;
        let signed = key.clearsign(&text).map_err(failed)?;
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
                Kind::Listed => continue,
                Kind::Hashed => by_hash(&directory, &index.path, &index.sha256),
                Kind::Plain => self.scratch.path().join(&index.sha256),
            };
            let is_there = match kind {
                Kind::Plain => !self.staged.contains(&index.sha256),
                Kind::Hashed | Kind::Listed => disk::is_same_file(&from, &path),
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
        for (name, step) in [
            ("Release", Step::Release),
            ("Release.gpg", Step::Signature),
            ("InRelease", Step::InRelease),
        ] {
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
        for name in ["InRelease", "Release.gpg", "Release"] {
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

/// The files of an index as they were published, where they are of the same packages and still there.
fn unchanged(
    directory: &Path,
    live: &HashMap<String, Live>,
    index: &Index,
    input: &str,
) -> Option<Vec<Planned>> {
    index
        .forms
        .iter()
        .map(|form| {
            let path = path(index, *form);
            let live = live.get(&path).filter(|live| live.input == input)?;
            let is_there = !form.is_file()
                || disk::has_size(
                    &by_hash(directory, &path, &live.index.sha256),
                    live.index.size,
                );
            is_there.then(|| planned(index, *form, input, |_| live.index.clone()))
        })
        .collect()
}

fn path(index: &Index, form: Form) -> String {
    format!("{}/{}{}", index.directory, index.name, form.extension())
}

fn planned(
    index: &Index,
    form: Form,
    input: &str,
    file: impl FnOnce(String) -> IndexFile,
) -> Planned {
    Planned {
        index: file(path(index, form)),
        input: input.to_owned(),
        kind: if form.is_file() {
            Kind::Hashed
        } else {
            Kind::Listed
        },
    }
}

fn checksums(content: &[u8]) -> Checksums {
    let mut content = content;
    Checksums::of(&mut content).expect("memory can be read")
}

fn index_file(path: String, checksums: &Checksums) -> IndexFile {
    IndexFile {
        path,
        size: checksums.size,
        md5: checksums.md5.clone(),
        sha256: checksums.sha256.clone(),
    }
}

#[cfg(test)]
mod tests;
