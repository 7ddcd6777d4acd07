//! Looks for everything that is not as it should be, names it, and mends what can be mended.
//!
//! Runs beside whatever installs, publishes and cleans up: what looks wrong is looked at again while nothing changes,
//! and only then told. Reading order: [`pool`] and [`packages`] are what there is, [`published`] and [`states`] what
//! clients see of it (with [`indices`] and [`files`]), [`leftovers`] what should not be there; [`repair`] mends.
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use jiff::Timestamp;

use crate::deb::Checksums;
use crate::model::Diststr;
use crate::pgp::{Keyring, SigningKeys};
use crate::store::{During, Store, Transaction};

use super::{ArchiveDir, Error, disk, dist};

mod files;
mod indices;
mod leftovers;
mod packages;
mod pool;
mod published;
mod repair;
mod states;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A path below the repository's directory, a package, or a table.
    pub subject: String,
    pub fault: String,
    /// What the administrator can do.
    pub remedy: String,
    repair: Repair,
}

/// What a check tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    Phase(&'static str),
    /// What it looks at.
    At(&'a str),
    Problem(&'a Problem),
}

/// A part of a file that has a content that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub path: PathBuf,
    pub offset: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Repair {
    /// Nothing here can do it.
    None,
    /// The row of a pool file gets the sums of the file.
    Sums { path: String, sums: Checksums },
    /// The pool file is taken from elsewhere.
    Content { path: String, sums: Checksums },
    /// The pool file is noted as used or not, and its row forgotten where it is neither used nor there.
    Use { path: String },
    /// A package without a row is forgotten to have a file.
    Reference { package: i64 },
    /// The package is read anew from its files.
    Package { id: i64 },
    /// The index is made anew, its files before and their pieces are not used.
    Index { dist: i64, index: String },
    /// What an older Release listed is forgotten.
    Generation {
        dist: i64,
        path: String,
        sha256: String,
    },
    /// The dist is published again.
    Publish { dist: i64 },
    /// The snapshot is made anew.
    Snapshot { dist: i64, name: String },
    /// Deleted when it is old.
    Delete { path: PathBuf },
}

const MEND: &str = "mini-buildd archive check --repair makes it anew";

impl Problem {
    /// What is to be found elsewhere to mend it.
    pub fn wanted(&self) -> Option<&Checksums> {
        match &self.repair {
            Repair::Content { sums, .. } => Some(sums),
            _ => None,
        }
    }

    fn new(subject: impl Into<String>, fault: impl Into<String>, repair: Repair) -> Problem {
        Problem {
            subject: subject.into(),
            fault: fault.into(),
            remedy: MEND.to_owned(),
            repair,
        }
    }

    fn with_remedy(self, remedy: impl Into<String>) -> Problem {
        Problem {
            remedy: remedy.into(),
            ..self
        }
    }
}

impl ArchiveDir {
    /// Verifies every sum, signature and reference, of the repository or of one dist and what it shows or showed.
    ///
    /// Writes to the database (nothing): not to be called inside a transaction.
    pub fn check(
        &self,
        diststr: Option<&Diststr>,
        keys: &SigningKeys,
        now: Timestamp,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Result<Vec<Problem>, Error> {
        let only = diststr
            .map(|diststr| {
                self.store
                    .read(|tx| dist::get(tx, &self.repository, diststr))
            })
            .transpose()?;
        let mut check = Check {
            archive: self,
            only: only.map(|dist| dist.id),
            keys,
            keyring: keys.public().expect("they were read as keys"),
            now,
            tell,
            problems: Vec::new(),
            unsound: HashSet::new(),
        };
        check.pool()?;
        check.packages()?;
        check.published()?;
        if check.only.is_none() {
            check.leftovers()?;
        }
        Ok(check.problems)
    }

    /// Mends what can be mended, and publishes; returns how much was tried with success.
    ///
    /// `found` is where wanted contents are, by their SHA-256. Nothing that a package needs is deleted.
    ///
    /// Writes to the database: not to be called inside a transaction.
    pub fn repair(
        &self,
        problems: &[Problem],
        found: &HashMap<String, Copy>,
        keys: &SigningKeys,
        now: Timestamp,
    ) -> Result<usize, Error> {
        repair::repair(self, problems, found, keys, now)
    }
}

/// Checks the database file itself.
pub fn check_database(store: &Store) -> Result<Vec<Problem>, Error> {
    let faults = |tx: &Transaction<'_>| {
        let texts = |sql, text: fn(&rusqlite::Row<'_>) -> rusqlite::Result<String>| {
            let mut query = tx.sql().prepare(sql)?;
            query.query_map([], text)?.collect::<Result<Vec<_>, _>>()
        };
        let mut faults = texts("PRAGMA integrity_check", |row| row.get(0))?;
        faults.retain(|fault| fault != "ok");
        faults.extend(texts(
            "SELECT \"table\" || ': ' || count(*) || ' rows name a row of ' || parent || ' that is not there'
             FROM pragma_foreign_key_check GROUP BY \"table\", parent",
            |row| row.get(0),
        )?);
        Ok(faults)
    };
    let faults = store.read(|tx| faults(tx).during("check the database").map_err(Error::from))?;
    let problem = |fault| {
        Problem::new("database", fault, Repair::None)
            .with_remedy("unless the next check finds nothing, restore it from a backup")
    };
    Ok(faults.into_iter().map(problem).collect())
}

/// A check under way.
struct Check<'a> {
    archive: &'a ArchiveDir,
    /// Only what this dist has or had.
    only: Option<i64>,
    keys: &'a SigningKeys,
    keyring: Keyring,
    now: Timestamp,
    tell: &'a mut dyn FnMut(Told<'_>),
    problems: Vec<Problem>,
    /// Paths of pool files that are not what their rows say.
    unsound: HashSet<String>,
}

impl Check<'_> {
    fn phase(&mut self, title: &'static str) {
        (self.tell)(Told::Phase(title));
    }

    fn at(&mut self, what: &str) {
        (self.tell)(Told::At(what));
    }

    fn report(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            (self.tell)(Told::Problem(&problem));
            self.problems.push(problem);
        }
    }

    /// Examines published files; again, with nobody publishing, where something looks wrong.
    fn published_faults(
        &self,
        examine: impl Fn() -> Result<Vec<Problem>, Error>,
    ) -> Result<Vec<Problem>, Error> {
        if examine()?.is_empty() {
            return Ok(Vec::new());
        }
        let _lock = disk::lock(&self.archive.directory)?;
        examine()
    }

    /// Examines files by a row; again where something looks wrong and the row is no longer the same.
    fn row_faults<R: PartialEq>(
        &self,
        read: impl Fn(&Transaction<'_>) -> Result<Option<R>, Error>,
        examine: impl Fn(&R) -> Result<Vec<Problem>, Error>,
    ) -> Result<Vec<Problem>, Error> {
        let mut row = self.archive.store.read(&read)?;
        while let Some(present) = row {
            let problems = examine(&present)?;
            if problems.is_empty() {
                break;
            }
            // Whoever changes a pool file holds the writer until its row is changed too.
            row = self.archive.store.write(&read)?;
            if row.as_ref() == Some(&present) {
                return Ok(problems);
            }
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
