//! Dists as clients see them, against their rows.
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

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
        let name = format!("dists/{}", settings.diststr);
        let directory = self.archive.directory.join(&name);
        let mut problems = Vec::new();
        let again = Repair::Publish { dist: id };
        let listed = known.live.values().map(|live| live.index.clone()).collect();
        let expected = release::dist(settings, Timestamp::UNIX_EPOCH, listed);
        let is_current = match files::signed(&directory, self.keys) {
            Ok(text) => match other_field(&text, &expected) {
                None => true,
                // A publication may have been cut short; the next one makes it whole.
                Some(_) if known.dist.dirty > 0 => false,
                Some(field) => {
                    let fault = format!("field {field} is not what the database says");
                    problems.push(Problem::new(
                        format!("{name}/Release"),
                        fault,
                        again.clone(),
                    ));
                    true
                }
            },
            Err((file, fault)) => {
                problems.push(Problem::new(format!("{name}/{file}"), fault, again.clone()));
                known.dist.dirty == 0
            }
        };
        let mut unsound = Vec::new();
        let mut live: Vec<&Live> = known.live.values().collect();
        live.sort_by(|one, other| one.index.path.cmp(&other.index.path));
        for Live { index, states, .. } in live {
            let plain = directory.join(&index.path);
            let hashed = by_hash(&directory, &index.path, &index.sha256);
            let mut is_examined = false;
            if !is_plain_only(&index.path) {
                let fault = match files::examine(&hashed, index) {
                    Ok(actual) if states.len() == actual.len() && *states != actual => {
                        Some("has other sums at its offsets than noted".to_owned())
                    }
                    Ok(_) => None,
                    Err(fault) => Some(fault),
                };
                is_examined = disk::is_same_file(&plain, &hashed);
                if let Some(fault) = fault {
                    unsound.push(stem(&index.path));
                    problems.push(Problem::new(
                        self.relative(hashed),
                        format!("{}: {fault}", index.path),
                        self.index(id, &index.path),
                    ));
                }
            }
            if is_current
                && !is_examined
                && let Err(fault) = files::examine(&plain, index)
            {
                problems.push(Problem::new(self.relative(plain), fault, again.clone()));
            }
        }
        for index in index::indices(settings) {
            if !unsound.contains(&&*index.path)
                && let Err((path, fault)) = known.forms(&directory, &index)
            {
                let repair = self.index(id, &index.path);
                problems.push(Problem::new(self.relative(path), fault, repair));
            }
        }
        for old in known.retired {
            let hashed = by_hash(&directory, &old.path, &old.sha256);
            if !is_plain_only(&old.path)
                && let Err(fault) = files::examine(&hashed, &old)
            {
                let repair = Repair::Generation {
                    dist: id,
                    path: old.path.clone(),
                    sha256: old.sha256,
                };
                let fault = format!("{}, of an older Release: {fault}", old.path);
                let remedy =
                    "mini-buildd archive check --repair forgets it; clients read InRelease again";
                let problem = Problem::new(self.relative(hashed), fault, repair);
                problems.push(problem.with_remedy(remedy));
            }
        }
        Ok(problems)
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
            self.index(id, &index.path),
        )))
    }

    #[expect(clippy::unused_self, reason = "reads as one of its kind")]
    fn index(&self, dist: i64, path: &str) -> Repair {
        Repair::Index {
            dist,
            index: stem(path).to_owned(),
        }
    }

    /// A path below the repository's directory.
    pub(super) fn relative(&self, path: PathBuf) -> String {
        let below = path.strip_prefix(&self.archive.directory);
        below.unwrap_or(&path).to_string_lossy().into_owned()
    }
}

impl Known {
    /// Examines how the forms of an index, sound each, fit together; else the file and what is wrong with it.
    fn forms(&self, directory: &std::path::Path, index: &Index) -> Result<(), (PathBuf, String)> {
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

/// Path of an index without the extension of a form.
fn stem(path: &str) -> &str {
    let stems = Form::ALL.iter().rev();
    stems
        .filter_map(|form| path.strip_suffix(form.extension()))
        .next()
        .unwrap_or(path)
}

/// Release files of indices are in no by-hash directory.
fn is_plain_only(path: &str) -> bool {
    path.ends_with("/Release")
}

/// A field that both texts don't have alike, times left aside.
fn other_field(text: &str, expected: &str) -> Option<String> {
    let Ok(text) = text.parse::<Paragraph>() else {
        return Some("Origin".to_owned());
    };
    let expected: Paragraph = expected.parse().unwrap_or_default();
    let names = text.fields().chain(expected.fields()).map(|(name, _)| name);
    names
        .filter(|name| !matches!(*name, "Date" | "Valid-Until"))
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
