//! Dists as clients see them, against their rows.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Row;

use crate::deb::Paragraph;
use crate::deb::release::IndexFile;
use crate::store::{During, Transaction};

use super::super::assembly::Piece;
use super::super::dist::{self, Dist};
use super::super::index::{self, Index};
use super::super::pieces::Form;
use super::super::publish::{self, Live, by_hash};
use super::super::view::View;
use super::super::{Error, disk, release};
use super::indices::{self, Formed};
use super::{Check, Problem, Repair, files};

/// What the rows say of a dist.
struct Known {
    dist: Dist,
    live: HashMap<String, Live>,
    /// What older Releases listed.
    retired: Vec<IndexFile>,
    pieces: BTreeMap<String, Vec<Piece>>,
}

impl Check<'_> {
    pub(super) fn published(&mut self) -> Result<(), Error> {
        self.phase("Distributions");
        let dists = self
            .archive
            .store
            .read(|tx| dist::all(tx, &self.archive.repository))?;
        for dist in dists {
            let is_meant = self.only.is_none_or(|only| only == dist.id);
            if dist.removed || !is_meant {
                continue;
            }
            let name = dist.settings.diststr.to_string();
            self.at(&name);
            let problems = self.published_faults(|| self.files_of(dist.id))?;
            self.report(problems);
            for index in index::indices(&dist.settings) {
                self.at(&format!("{name}/{}", index.path));
                let problem = self
                    .archive
                    .store
                    .read(|tx| self.text(tx, dist.id, &index))?;
                self.report(problem.into_iter().collect());
            }
            self.snapshots(&dist)?;
        }
        Ok(())
    }

    fn known(&self, tx: &Transaction<'_>, id: i64) -> Result<Option<Known>, Error> {
        let dists = dist::all(tx, &self.archive.repository)?;
        let is_there = |dist: &Dist| dist.id == id && dist.serial > 0 && !dist.removed;
        let Some(dist) = dists.into_iter().find(is_there) else {
            return Ok(None);
        };
        let indices = index::indices(&dist.settings);
        let pieces = indices.into_iter().map(|index| {
            let pieces = publish::pieces(tx, id, &index.path)?;
            Ok::<_, Error>((index.path, pieces))
        });
        Ok(Some(Known {
            live: publish::live(tx, id)?,
            retired: retired(tx, id)?,
            pieces: pieces.collect::<Result<_, _>>()?,
            dist,
        }))
    }

    fn files_of(&self, id: i64) -> Result<Vec<Problem>, Error> {
        let Some(known) = self.archive.store.read(|tx| self.known(tx, id))? else {
            return Ok(Vec::new());
        };
        let settings = &known.dist.settings;
        let directory = self.archive.directory.join("dists");
        let directory = directory.join(settings.diststr.to_string());
        let mut problems = Vec::new();
        let is_current = self.release(&known, &directory, &mut problems);
        let mut unsound = BTreeSet::new();
        let mut live: Vec<&Live> = known.live.values().collect();
        live.sort_by(|one, other| one.index.path.cmp(&other.index.path));
        for Live { index, states, .. } in live {
            let plain = directory.join(&index.path);
            let mut is_examined = false;
            if !is_plain_only(&index.path) {
                for (hashed, fault) in faults(&directory, index, Some(states)) {
                    unsound.insert(stem(&index.path));
                    let repair = remake(id, &index.path);
                    let fault = format!("{}: {fault}", index.path);
                    problems.push(Problem::new(self.relative(&hashed), fault, repair));
                }
                let hashed = by_hash(&directory, &index.path, &index.sha256);
                is_examined = disk::is_same_file(&plain, &hashed);
            }
            if is_current
                && !is_examined
                && let Err(fault) = files::examine(&plain, index)
            {
                let repair = Repair::Publish { dist: id };
                problems.push(Problem::new(self.relative(&plain), fault, repair));
            }
        }
        for index in index::indices(settings) {
            if !unsound.contains(&*index.path)
                && let Err((path, fault)) = known.forms(&directory, &index)
            {
                let repair = remake(id, &index.path);
                problems.push(Problem::new(self.relative(&path), fault, repair));
            }
        }
        for old in known.retired {
            if is_plain_only(&old.path) {
                continue;
            }
            for (hashed, fault) in faults(&directory, &old, None) {
                let repair = Repair::Generation {
                    dist: id,
                    path: old.path.clone(),
                    sha256: old.sha256.clone(),
                };
                let fault = format!("{}, of an older Release: {fault}", old.path);
                let remedy =
                    "mini-buildd archive check --repair forgets it; clients read InRelease again";
                let problem = Problem::new(self.relative(&hashed), fault, repair);
                problems.push(problem.with_remedy(remedy));
            }
        }
        Ok(problems)
    }

    /// Examines the signed files; tells whether what they list is what the rows say.
    fn release(&self, known: &Known, directory: &Path, problems: &mut Vec<Problem>) -> bool {
        let mut problem = |file, fault| {
            let repair = Repair::Publish {
                dist: known.dist.id,
            };
            problems.push(Problem::new(
                self.relative(&directory.join(file)),
                fault,
                repair,
            ));
        };
        let text = match files::signed(directory, &self.keyring) {
            Ok(text) => text,
            Err((file, fault)) => {
                problem(file, fault);
                return known.dist.dirty == 0;
            }
        };
        let listed = known.live.values().map(|live| live.index.clone()).collect();
        let settings = &known.dist.settings;
        let expected = release::dist(settings, self.keys, Timestamp::UNIX_EPOCH, listed);
        let Some(field) = other_field(&text, &expected) else {
            return true;
        };
        // A publication may have been cut short; the next one makes it whole.
        if known.dist.dirty > 0 {
            return false;
        }
        let fault = format!("field {field} is not what the database says");
        problem("Release", fault);
        true
    }

    /// Compares an index with what the rows make, where nothing changed since it was published.
    fn text(&self, tx: &Transaction<'_>, id: i64, index: &Index) -> Result<Option<Problem>, Error> {
        let dists = dist::all(tx, &self.archive.repository)?;
        let is_settled = |dist: &&Dist| dist.id == id && dist.dirty == 0 && dist.serial > 0;
        let Some(dist) = dists.iter().find(is_settled) else {
            return Ok(None);
        };
        if !index::indices(&dist.settings).contains(index) {
            return Ok(None);
        }
        let (size, sha256) = indices::text(tx, index, &View::now(id))?;
        let live = publish::live(tx, id)?;
        let published = live.get(&index.path).map(|live| &live.index);
        if published.is_some_and(|file| file.size == size && file.sha256 == sha256) {
            return Ok(None);
        }
        Ok(Some(Problem::new(
            format!("dists/{}/{}", dist.settings.diststr, index.path),
            "is not what the packages in the database make",
            remake(id, &index.path),
        )))
    }

    /// A path below the repository's directory.
    pub(super) fn relative(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.archive.directory);
        below.unwrap_or(path).to_string_lossy().into_owned()
    }
}

impl Known {
    /// Examines how the forms of an index, sound each, fit together; else the file and what is wrong with it.
    fn forms(&self, directory: &Path, index: &Index) -> Result<(), (PathBuf, String)> {
        let mut paths = Vec::new();
        for form in Form::ALL {
            let path = format!("{}{}", index.path, form.extension());
            // What Release lists was compared.
            let Some(live) = self.live.get(&path) else {
                return Ok(());
            };
            paths.push((
                form,
                &live.index,
                by_hash(directory, &path, &live.index.sha256),
            ));
        }
        let plain = paths[0].1;
        for (form, _, path) in &paths {
            files::decode(path, *form, plain).map_err(|fault| (path.clone(), fault))?;
        }
        let forms: Vec<Formed<'_>> = paths
            .iter()
            .map(|(form, listed, path)| Formed {
                form: *form,
                listed,
                path,
            })
            .collect();
        let pieces = self.pieces.get(&index.path).map_or(&[][..], Vec::as_slice);
        indices::pieces(index.kind, &forms, pieces)
            .map_err(|fault| (directory.join(&index.path), fault))
    }
}

/// Faults of a file under its by-hash names; two names of the same are read once.
fn faults(directory: &Path, listed: &IndexFile, states: Option<&[u8]>) -> Vec<(PathBuf, String)> {
    let mut faults = Vec::new();
    let mut examined: Option<PathBuf> = None;
    for hashed in publish::names_of(directory, listed) {
        if examined.is_some_and(|first| disk::is_same_file(&first, &hashed)) {
            break;
        }
        let fault = files::examine(&hashed, listed).and_then(|actual| match states {
            // Those of another program version have another length.
            Some(noted) if noted.len() == actual.len() && noted != actual => {
                Err("has other sums at its offsets than noted".to_owned())
            }
            _ => Ok(()),
        });
        if let Err(fault) = fault {
            faults.push((hashed.clone(), fault));
        }
        examined = Some(hashed);
    }
    faults
}

fn remake(dist: i64, path: &str) -> Repair {
    let index = stem(path).to_owned();
    Repair::Index { dist, index }
}

/// Path of an index without the extension of a form.
fn stem(path: &str) -> &str {
    let mut forms = Form::ALL.into_iter().rev();
    forms
        .find_map(|form| path.strip_suffix(form.extension()))
        .unwrap_or(path)
}

/// Release files of indices are in no by-hash directory.
fn is_plain_only(path: &str) -> bool {
    path.ends_with("/Release")
}

/// A field that both texts don't have alike; times, and keys that may just change, are left aside.
fn other_field(text: &str, expected: &str) -> Option<String> {
    let Ok(text) = text.parse::<Paragraph>() else {
        return Some("Origin".to_owned());
    };
    let expected: Paragraph = expected.parse().unwrap_or_default();
    let names = text.fields().chain(expected.fields()).map(|(name, _)| name);
    names
        .filter(|name| !matches!(*name, "Date" | "Valid-Until" | "Signed-By"))
        .find(|name| text.get(name) != expected.get(name))
        .map(str::to_owned)
}

fn retired(tx: &Transaction<'_>, dist: i64) -> Result<Vec<IndexFile>, Error> {
    let file = |row: &Row<'_>| {
        Ok(IndexFile {
            path: row.get(0)?,
            size: row.get::<_, i64>(1)?.cast_unsigned(),
            md5: row.get(2)?,
            sha256: row.get(3)?,
            sha512: row.get(4)?,
        })
    };
    Ok(tx
        .sql()
        .prepare_cached(
            "SELECT path, size, md5, sha256, sha512 FROM index_file
             WHERE dist = ? AND retired IS NOT NULL",
        )
        .and_then(|mut query| query.query_map([dist], file)?.collect())
        .during("read older index files")?)
}
