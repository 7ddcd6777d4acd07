//! Packages against their files, read anew.
use std::path::Path;

use rusqlite::{OptionalExtension, Row as SqlRow};

use crate::cause::with_causes;
use crate::deb::{FileName, PackageName};
use crate::store::{During, Transaction};

use super::super::disk::{self, Doing};
use super::super::prepare::{self, Package};
use super::super::{ArchiveDir, Error};
use super::{Check, Problem, Repair, pool};

/// So many are listed at once.
const PART: u32 = 1000;

/// What the database has of a package.
#[derive(PartialEq)]
struct Row {
    id: i64,
    kind: String,
    name: String,
    version: String,
    architecture: String,
    source: String,
    component: String,
    section: String,
    priority: String,
    stanza: String,
    file_list: String,
    /// Sorted.
    files: Vec<String>,
}

impl Check<'_> {
    pub(super) fn packages(&mut self) -> Result<(), Error> {
        self.phase("Packages");
        let mut last = 0;
        loop {
            let packages = self.archive.store.read(|tx| self.ids(tx, last))?;
            for (id, title) in &packages {
                self.at(title);
                let problems =
                    self.row_faults(|tx| row(tx, *id), |row| self.package(row, title))?;
                self.report(problems);
            }
            match packages.last() {
                Some((id, _)) => last = *id,
                None => break,
            }
        }
        let problems = self.archive.store.read(|tx| self.misplaced(tx))?;
        self.report(problems);
        Ok(())
    }

    fn ids(&self, tx: &Transaction<'_>, after: i64) -> Result<Vec<(i64, String)>, Error> {
        Ok(tx
            .sql()
            .prepare_cached(
                "SELECT id, name || ' ' || version || ' ' || architecture FROM package
                 WHERE repository = ?1 AND id > ?2 AND (?3 IS NULL OR EXISTS
                     (SELECT 1 FROM slot WHERE slot.package = package.id AND slot.dist = ?3))
                 ORDER BY id LIMIT ?4",
            )
            .and_then(|mut query| {
                query
                    .query_map(
                        (self.archive.repository.as_str(), after, self.only, PART),
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )?
                    .collect()
            })
            .during("list packages")?)
    }

    fn package(&self, row: &Row, title: &str) -> Result<Vec<Problem>, Error> {
        // What is wrong with its files was said.
        if row.files.iter().any(|path| self.unsound.contains(path)) {
            return Ok(Vec::new());
        }
        let mut problems = Vec::new();
        let read = match read(self.archive, row) {
            Ok(read) => read,
            Err(error @ Error::Store(_)) => return Err(error),
            Err(fault) => {
                let fault = format!("can't be read anew: {}", with_causes(&fault));
                let remedy = "give it up with mini-buildd archive remove";
                problems.push(Problem::new(title, fault, Repair::None).with_remedy(remedy));
                return Ok(problems);
            }
        };
        let other = differences(row, &read);
        if !other.is_empty() {
            let fault = format!("its {} differ from what its file says", other.join(", "));
            problems.push(if is_same(row, &read) {
                let repair = Repair::Package { id: row.id };
                Problem::new(title, fault, repair)
                    .with_remedy("mini-buildd archive check --repair reads it anew")
            } else {
                Problem::new(title, fault, Repair::None)
                    .with_remedy("give it up with mini-buildd archive remove, and include it again")
            });
        }
        Ok(problems)
    }

    /// Packages at places of others.
    fn misplaced(&self, tx: &Transaction<'_>) -> Result<Vec<Problem>, Error> {
        let found: Vec<(String, String)> = tx
            .sql()
            .prepare_cached(
                "SELECT DISTINCT slot.name || ' in ' || dist.name,
                        slot.component || '/' || slot.index_name
                 FROM dist JOIN slot ON slot.dist = dist.id JOIN package ON package.id = slot.package
                 WHERE dist.repository = ?1 AND (?2 IS NULL OR dist.id = ?2)
                   AND (slot.name, slot.component, dist.repository)
                       <> (package.name, package.component, package.repository)
                    OR dist.repository = ?1 AND (?2 IS NULL OR dist.id = ?2)
                   AND slot.index_name <> CASE kind
                       WHEN 'dsc' THEN 'source'
                       WHEN 'deb' THEN 'binary-' || architecture
                       ELSE 'debian-installer/binary-' || architecture END",
            )
            .and_then(|mut query| {
                query
                    .query_map((self.archive.repository.as_str(), self.only), |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?
                    .collect()
            })
            .during("compare distributions with packages")?;
        let problem = |(subject, place): (String, String)| {
            let fault = format!("{place} is not the place of the package that is there");
            let remedy = "remove it with mini-buildd archive remove, and include it again";
            Problem::new(subject, fault, Repair::None).with_remedy(remedy)
        };
        Ok(found.into_iter().map(problem).collect())
    }
}

fn row(tx: &Transaction<'_>, id: i64) -> Result<Option<Row>, Error> {
    let read = || {
        let files = tx
            .sql()
            .prepare_cached("SELECT path FROM package_file WHERE package = ? ORDER BY path")?
            .query_map([id], |row| row.get(0))?
            .collect::<Result<Vec<String>, _>>()?;
        let columns = |row: &SqlRow<'_>| {
            Ok(Row {
                id,
                kind: row.get(0)?,
                name: row.get(1)?,
                version: row.get(2)?,
                architecture: row.get(3)?,
                source: row.get(4)?,
                component: row.get(5)?,
                section: row.get(6)?,
                priority: row.get(7)?,
                stanza: row.get(8)?,
                file_list: row.get(9)?,
                files,
            })
        };
        tx.sql()
            .prepare_cached(
                "SELECT kind, name, version, architecture, source, component, section, priority,
                        stanza, file_list
                 FROM package WHERE id = ?",
            )?
            .query_row([id], columns)
            .optional()
    };
    Ok(read().during("read a package")?)
}

/// A package as its files in the pool make it.
fn read(archive: &ArchiveDir, row: &Row) -> Result<Package, Error> {
    let source: PackageName = row.source.parse().map_err(|_| Error::Row {
        what: "source",
        value: row.source.clone(),
    })?;
    let path = main_file(archive, row)?;
    let file_path = archive.directory.join(&path);
    let name = prepare::file_name(&file_path)?;
    let file = disk::open_regular(&file_path).doing("open", &file_path)?;
    let component = row.component.parse().map_err(|_| Error::Row {
        what: "component",
        value: row.component.clone(),
    })?;
    let sums = |name: &FileName| {
        let path = match path.rsplit_once('/') {
            Some((directory, _)) => format!("{directory}/{name}"),
            None => name.to_string(),
        };
        let noted = archive.store.read(|tx| pool::noted(archive, tx, &path))?;
        noted.ok_or(Error::Unprepared { path })
    };
    if row.kind != "dsc" {
        let (binary, package, _) = prepare::binary(&name, &file, Some(&component))?;
        if binary.source != source {
            return Err(Error::Fault {
                file: path,
                fault: format!("was built from {}, not from {source}", binary.source),
            });
        }
        return Ok(package);
    }
    let bytes = disk::read_bounded(&file, prepare::MAX_DSC).doing("read", &file_path)?;
    let dsc = prepare::parse_dsc(&name, &bytes)?;
    let mut files = vec![(name.clone(), sums(&name)?)];
    for listed in &dsc.files {
        let sums = sums(&listed.name)?;
        listed.compare(&sums).map_err(|fault| Error::Checksum {
            file: listed.name.clone(),
            fault,
            dsc: name.clone(),
        })?;
        files.push((listed.name.clone(), sums));
    }
    prepare::source(&dsc, &name, Some(&component), &files)
}

/// Path of the .dsc or .deb.
fn main_file(archive: &ArchiveDir, row: &Row) -> Result<String, Error> {
    let is_main = |path: &&String| {
        let extension = Path::new(path).extension();
        row.kind != "dsc" || extension.is_some_and(|extension| extension == "dsc")
    };
    if let Some(path) = row.files.iter().find(is_main) {
        return Ok(path.clone());
    }
    // Forgotten: by the name that it must have.
    let version = row
        .version
        .split_once(':')
        .map_or(&*row.version, |(_, rest)| rest);
    let name = match row.kind.as_str() {
        "dsc" => format!("{}_{version}.dsc", row.name),
        kind => format!("{}_{version}_{}.{kind}", row.name, row.architecture),
    };
    let found = archive.store.read(|tx| {
        tx.sql()
            .prepare_cached(
                "SELECT path FROM pool_file WHERE repository = ? AND source = ? AND name = ?",
            )
            .and_then(|mut query| {
                let key = (archive.repository.as_str(), &row.source, &name);
                query.query_row(key, |row| row.get(0)).optional()
            })
            .during("look for a file in the pool")
    })?;
    found.ok_or(Error::Unprepared { path: name })
}

/// Tells whether it is the same package at the same place.
fn is_same(row: &Row, read: &Package) -> bool {
    (
        &*row.kind,
        &*row.name,
        &*row.version,
        &*row.architecture,
        &*row.component,
    ) == (
        read.kind.as_str(),
        read.name.as_str(),
        read.version.as_str(),
        read.architecture.as_str(),
        read.component.as_str(),
    )
}

fn differences(row: &Row, read: &Package) -> Vec<&'static str> {
    let mut files: Vec<&String> = read.files.iter().map(|(path, _)| path).collect();
    files.sort_unstable();
    let same = [
        (
            "name, version, architecture or component",
            is_same(row, read),
        ),
        ("section", row.section == read.section),
        ("priority", row.priority == read.priority),
        ("stanza", row.stanza == read.stanza),
        ("list of files", row.file_list == read.file_list.join("\n")),
        ("files in the pool", files.into_iter().eq(&row.files)),
    ];
    let other = same.into_iter().filter(|(_, same)| !same);
    other.map(|(what, _)| what).collect()
}

/// Writes a package as its files make it; `false`: they don't.
pub(super) fn read_anew(
    archive: &ArchiveDir,
    tx: &Transaction<'_>,
    id: i64,
) -> Result<bool, Error> {
    let Some(row) = row(tx, id)? else {
        return Ok(false);
    };
    let read = read(archive, &row)?;
    if !is_same(&row, &read) {
        return Ok(false);
    }
    let write = || {
        let sql = tx.sql();
        sql.execute(
            "UPDATE package SET section = ?, priority = ?, stanza = ?, file_list = ? WHERE id = ?",
            (
                &read.section,
                &read.priority,
                &read.stanza,
                read.file_list.join("\n"),
                id,
            ),
        )?;
        sql.execute("DELETE FROM package_file WHERE package = ?", [id])?;
        for (path, _) in &read.files {
            let key = (id, archive.repository.as_str(), path);
            sql.execute(
                "INSERT INTO package_file (package, repository, path) VALUES (?, ?, ?)",
                key,
            )?;
            sql.execute(
                "UPDATE pool_file SET unused_since = NULL WHERE repository = ? AND path = ?",
                (key.1, path),
            )?;
        }
        // All that shows it is made anew.
        let shows = "IN (SELECT dist FROM slot WHERE package = ?)";
        for sql in [
            format!("UPDATE index_file SET input = '' WHERE retired IS NULL AND dist {shows}"),
            format!("UPDATE snapshot SET published = 0 WHERE dist {shows}"),
            format!("UPDATE dist SET dirty = dirty + 1 WHERE id {shows}"),
        ] {
            tx.sql().execute(&sql, [id])?;
        }
        Ok(())
    };
    write().during("write a package")?;
    Ok(true)
}
