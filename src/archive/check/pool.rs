//! Files of the pool against their rows, and who needs them.
use std::io;

use rusqlite::OptionalExtension;

use crate::deb::{Checksums, Paragraph};
use crate::store::{During, Transaction};

use super::super::disk::{self, Doing};
use super::super::{ArchiveDir, Error};
use super::{Check, Problem, Repair};

/// So many paths are listed at once.
const PART: u32 = 1000;
/// So many of those that need a file are named.
const NAMED: usize = 3;

#[derive(PartialEq)]
struct Row {
    path: String,
    sums: Checksums,
    unused_since: Option<i64>,
    has_package: bool,
}

impl Check<'_> {
    pub(super) fn pool(&mut self) -> Result<(), Error> {
        self.phase("Pool");
        let mut last = String::new();
        loop {
            let paths = self.archive.store.read(|tx| self.paths(tx, &last))?;
            for path in &paths {
                self.at(path);
                let problems =
                    self.row_faults(|tx| row(self.archive, tx, path), |row| self.file(row))?;
                if !problems.is_empty() {
                    self.unsound.insert(path.clone());
                }
                self.report(problems);
            }
            match paths.into_iter().next_back() {
                Some(path) => last = path,
                None => break,
            }
        }
        let problems = self.without_row()?;
        self.unsound
            .extend(problems.iter().map(|problem| problem.subject.clone()));
        self.report(problems);
        Ok(())
    }

    fn paths(&self, tx: &Transaction<'_>, after: &str) -> Result<Vec<String>, Error> {
        Ok(tx
            .sql()
            .prepare_cached(
                "SELECT path FROM pool_file
                 WHERE repository = ?1 AND path > ?2 AND (?3 IS NULL OR EXISTS
                     (SELECT 1 FROM package_file AS of JOIN slot ON slot.package = of.package
                      WHERE of.repository = ?1 AND of.path = pool_file.path AND slot.dist = ?3))
                 ORDER BY path LIMIT ?4",
            )
            .and_then(|mut query| {
                query
                    .query_map(
                        (self.archive.repository.as_str(), after, self.only, PART),
                        |row| row.get(0),
                    )?
                    .collect()
            })
            .during("list the pool")?)
    }

    fn file(&self, row: &Row) -> Result<Vec<Problem>, Error> {
        let Row { path, sums, .. } = row;
        let mut problems = Vec::new();
        if row.unused_since.is_none() != row.has_package {
            let fault = if row.has_package {
                "is noted as unused, but a package has it"
            } else {
                "is noted as used, but no package has it"
            };
            let repair = Repair::Use { path: path.clone() };
            let problem = Problem::new(path, fault, repair);
            problems
                .push(problem.with_remedy("mini-buildd archive check --repair notes what is true"));
        }
        let actual = match sums_of(self.archive, path) {
            Ok(actual) if actual == *sums => return Ok(problems),
            Ok(actual) => Ok(actual),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err("is missing".to_owned()),
            Err(error) => Err(format!("can't be read: {error}")),
        };
        let problem = match actual {
            Ok(actual) if row.has_package && self.is_meant(path, &actual)? => Problem::new(
                path,
                format!(
                    "has other sums in the database, {}",
                    difference(sums, &actual)
                ),
                Repair::Sums {
                    path: path.clone(),
                    sums: actual,
                },
            )
            .with_remedy("mini-buildd archive check --repair notes those of the file"),
            Ok(actual) => self.lost(row, format!("is damaged, {}", difference(sums, &actual)))?,
            Err(fault) => self.lost(row, fault)?,
        };
        problems.push(problem);
        Ok(problems)
    }

    /// The content is to be found elsewhere, unless nobody needs it.
    fn lost(&self, row: &Row, fault: String) -> Result<Problem, Error> {
        let Row { path, sums, .. } = row;
        if !row.has_package {
            let repair = Repair::Use { path: path.clone() };
            let remedy = "no package needs it; mini-buildd archive check --repair forgets it";
            return Ok(Problem::new(path, fault, repair).with_remedy(remedy));
        }
        let needed = self
            .archive
            .store
            .read(|tx| needed_by(self.archive, tx, path))?;
        let repair = Repair::Content {
            path: path.clone(),
            sums: sums.clone(),
        };
        Ok(Problem::new(path, fault, repair).with_remedy(format!(
            "needed by {needed}; mini-buildd archive check --repair takes a copy from other repositories, uploads and \
             build results, or, with --from DIRECTORY, from there (SHA-256 {}); \
             without one, give the package up with mini-buildd archive remove",
            sums.sha256
        )))
    }

    /// Tells whether stanzas or the row's SHA-256 say that the file has its right content.
    fn is_meant(&self, path: &str, actual: &Checksums) -> Result<bool, Error> {
        let (known, stanzas) = self.archive.store.read(|tx| {
            let known = row(self.archive, tx, path)?.map(|row| row.sums.sha256);
            Ok::<_, Error>((known, stanzas(self.archive, tx, path)?))
        })?;
        Ok(known.as_ref() == Some(&actual.sha256)
            || stanzas.iter().any(|stanza| says(stanza, path, actual)))
    }

    /// Files that packages have and the pool doesn't know.
    fn without_row(&self) -> Result<Vec<Problem>, Error> {
        let paths: Vec<(String, i64, bool)> = self.archive.store.read(|tx| {
            Ok::<_, Error>(
                tx.sql()
                    .prepare_cached(
                        "SELECT of.path, of.package, package.id IS NOT NULL
                         FROM package_file AS of
                         LEFT JOIN pool_file USING (repository, path)
                         LEFT JOIN package ON package.id = of.package
                         WHERE of.repository = ?1 AND (pool_file.source IS NULL OR package.id IS NULL)
                           AND (?2 IS NULL OR EXISTS
                               (SELECT 1 FROM slot WHERE slot.package = of.package AND slot.dist = ?2))",
                    )
                    .and_then(|mut query| {
                        query
                            .query_map((self.archive.repository.as_str(), self.only), |row| {
                                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                            })?
                            .collect()
                    })
                    .during("compare packages with the pool")?,
            )
        })?;
        let mut problems = Vec::new();
        for (path, package, has_package) in paths {
            if !has_package {
                let fault = format!("package {package}, which has it, is not there");
                let problem = Problem::new(path, fault, Repair::Reference { package });
                problems
                    .push(problem.with_remedy("mini-buildd archive check --repair forgets that"));
                continue;
            }
            let fault = "is not known to the pool, but a package has it";
            let repair = match sums_of(self.archive, &path) {
                Ok(sums) if self.is_meant(&path, &sums)? => Repair::Sums {
                    path: path.clone(),
                    sums,
                },
                _ => Repair::None,
            };
            let remedy = match repair {
                Repair::None => {
                    "the file is lost or damaged too; give the package up with mini-buildd archive remove"
                }
                _ => "mini-buildd archive check --repair notes it",
            };
            problems.push(Problem::new(path, fault, repair).with_remedy(remedy));
        }
        Ok(problems)
    }
}

pub(super) fn sums_of(archive: &ArchiveDir, path: &str) -> io::Result<Checksums> {
    disk::open_regular(&archive.directory.join(path)).and_then(|file| disk::checksums(&file))
}

fn row(archive: &ArchiveDir, tx: &Transaction<'_>, path: &str) -> Result<Option<Row>, Error> {
    Ok(tx
        .sql()
        .prepare_cached(
            "SELECT size, md5, sha1, sha256, unused_since, EXISTS
                 (SELECT 1 FROM package_file AS of WHERE of.repository = ?1 AND of.path = ?2)
             FROM pool_file WHERE repository = ?1 AND path = ?2",
        )
        .and_then(|mut query| {
            query
                .query_row((archive.repository.as_str(), path), |row| {
                    Ok(Row {
                        path: path.to_owned(),
                        sums: Checksums {
                            size: row.get::<_, i64>(0)?.cast_unsigned(),
                            md5: row.get(1)?,
                            sha1: row.get(2)?,
                            sha256: row.get(3)?,
                        },
                        unused_since: row.get(4)?,
                        has_package: row.get(5)?,
                    })
                })
                .optional()
        })
        .during("look into the pool")?)
}

/// Sums that the pool has for a path.
pub(super) fn noted(
    archive: &ArchiveDir,
    tx: &Transaction<'_>,
    path: &str,
) -> Result<Option<Checksums>, Error> {
    Ok(row(archive, tx, path)?.map(|row| row.sums))
}

fn difference(noted: &Checksums, actual: &Checksums) -> String {
    let say = |what: &str, noted: &dyn std::fmt::Display, actual: &dyn std::fmt::Display| {
        format!("{what}: noted {noted}, file {actual}")
    };
    if noted.size != actual.size {
        say("size", &noted.size, &actual.size)
    } else if noted.sha256 != actual.sha256 {
        say("SHA-256", &noted.sha256, &actual.sha256)
    } else if noted.sha1 != actual.sha1 {
        say("SHA-1", &noted.sha1, &actual.sha1)
    } else {
        say("MD5", &noted.md5, &actual.md5)
    }
}

fn stanzas(archive: &ArchiveDir, tx: &Transaction<'_>, path: &str) -> Result<Vec<String>, Error> {
    Ok(tx
        .sql()
        .prepare_cached(
            "SELECT stanza FROM package_file AS of JOIN package ON package.id = of.package
             WHERE of.repository = ? AND of.path = ?",
        )
        .and_then(|mut query| {
            query
                .query_map((archive.repository.as_str(), path), |row| row.get(0))?
                .collect()
        })
        .during("read who has a file")?)
}

/// Tells whether a stanza gives these sums to a path.
fn says(stanza: &str, path: &str, sums: &Checksums) -> bool {
    let Ok(stanza) = stanza.parse::<Paragraph>() else {
        return false;
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    let line = format!("{} {} {name}", sums.sha256, sums.size);
    let listed = stanza.get("Checksums-Sha256").unwrap_or_default();
    stanza.get("SHA256") == Some(&sums.sha256) || listed.lines().any(|listed| listed == line)
}

/// `hello 1.0 amd64 in sid-test-unstable`
fn needed_by(archive: &ArchiveDir, tx: &Transaction<'_>, path: &str) -> Result<String, Error> {
    let needs: Vec<String> = tx
        .sql()
        .prepare_cached(
            "SELECT package.name || ' ' || version || ' ' || architecture ||
                    coalesce(' in ' || (SELECT group_concat(DISTINCT dist.name)
                                        FROM slot JOIN dist ON dist.id = slot.dist
                                        WHERE slot.package = package.id AND slot.removed IS NULL),
                             ', kept for the past')
             FROM package_file AS of JOIN package ON package.id = of.package
             WHERE of.repository = ? AND of.path = ? ORDER BY package.id DESC",
        )
        .and_then(|mut query| {
            query
                .query_map((archive.repository.as_str(), path), |row| row.get(0))?
                .collect()
        })
        .during("read who needs a file")?;
    let more = needs.len().saturating_sub(NAMED);
    let mut named = needs;
    named.truncate(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    Ok(named.join("; "))
}

/// Changes a pool file's row to what is true: who has it, and, where nobody has and it is gone, that it is not there.
pub(super) fn settle_use(
    archive: &ArchiveDir,
    tx: &Transaction<'_>,
    path: &str,
    now: i64,
) -> Result<(), Error> {
    let Some(row) = row(archive, tx, path)? else {
        return Ok(());
    };
    let key = (archive.repository.as_str(), path);
    let sql = tx.sql();
    if !row.has_package && !sums_of(archive, path).is_ok_and(|sums| sums == row.sums) {
        let file = archive.directory.join(path);
        disk::remove_file(&file).doing("remove", &file)?;
        disk::remove_empty_parents(&file, &archive.directory);
        sql.execute(
            "DELETE FROM pool_file WHERE repository = ? AND path = ?",
            key,
        )
        .during("forget a file of the pool")?;
        return Ok(());
    }
    let unused_since = (!row.has_package).then_some(row.unused_since.unwrap_or(now));
    sql.execute(
        "UPDATE pool_file SET unused_since = ?3 WHERE repository = ?1 AND path = ?2",
        (key.0, key.1, unused_since),
    )
    .during("note the use of a file of the pool")?;
    Ok(())
}

/// Gives a path these sums, with or without a row before.
pub(super) fn note(
    archive: &ArchiveDir,
    tx: &Transaction<'_>,
    path: &str,
    sums: &Checksums,
) -> Result<(), Error> {
    // pool/COMPONENT/PREFIX/SOURCE/NAME
    let mut words = path.rsplit('/');
    let (name, source) = (words.next(), words.next());
    tx.sql()
        .prepare_cached(
            "INSERT INTO pool_file (repository, path, source, name, size, md5, sha1, sha256, unused_since)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)
             ON CONFLICT DO UPDATE SET
                 size = excluded.size, md5 = excluded.md5, sha1 = excluded.sha1, sha256 = excluded.sha256",
        )
        .and_then(|mut insert| {
            insert.execute((
                archive.repository.as_str(),
                path,
                source,
                name,
                sums.size.cast_signed(),
                &sums.md5,
                &sums.sha1,
                &sums.sha256,
            ))
        })
        .during("note a file of the pool")?;
    Ok(())
}
