//! Rows only: a prepared package enters a dist.
use rusqlite::OptionalExtension;

use crate::deb::{PackageName, Version};
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::store::{During, Transaction};

use super::dist::{self, Dist};
use super::membership::{Member, Source};
use super::moment::Change;
use super::prepare::Package;
use super::{Error, Prepared, pool};

pub(super) fn install(
    tx: &Transaction<'_>,
    repository: &Identity,
    prepared: &Prepared,
    diststr: &Diststr,
    rollbacks: u32,
) -> Result<bool, Error> {
    let dist = dist::get(tx, repository, diststr)?;
    for package in &prepared.packages {
        let place = (package.component.as_str(), package.index_name());
        check_place(&dist, place.0, &place.1, || package.title())?;
    }
    let built_from = (&prepared.source, &prepared.version);
    let mut members = prepared
        .packages
        .iter()
        .map(|package| {
            Ok(Member {
                component: package.component.to_string(),
                index_name: package.index_name(),
                name: package.name.to_string(),
                package: put_package(tx, repository, built_from, package)?,
            })
        })
        .collect::<Result<Vec<Member>, Error>>()?;
    members.sort();
    let action = format!(
        "install {} {} into {diststr}",
        prepared.source, prepared.version
    );
    let change = Change::new(tx, repository, action);
    let source = Source {
        change: &change,
        name: &prepared.source,
    };
    let component = prepared.component.as_str();
    source.enter(&dist, component, &prepared.version, &members, rollbacks)
}

/// The dist must publish what the package is for, or it would vanish unseen.
pub(super) fn check_place(
    dist: &Dist,
    component: &str,
    index_name: &str,
    package: impl Fn() -> String,
) -> Result<(), Error> {
    let settings = &dist.settings;
    let missing = |what: &str, word: &str| Error::NotInDist {
        diststr: settings.diststr.clone(),
        missing: format!("{what} {word}, which {} needs", package()),
    };
    if !settings
        .components
        .iter()
        .any(|known| known.as_str() == component)
    {
        return Err(missing("component", component));
    }
    let Some((_, architecture)) = index_name.split_once("binary-") else {
        return Ok(());
    };
    let is_published = architecture == "all"
        || settings
            .architectures
            .iter()
            .any(|known| known.as_str() == architecture);
    if !is_published {
        return Err(missing("architecture", architecture));
    }
    Ok(())
}

/// Gives the id of a package's row, made where there is none; one with other files is refused.
pub(super) fn put_package(
    tx: &Transaction<'_>,
    repository: &Identity,
    source: (&PackageName, &Version),
    package: &Package,
) -> Result<i64, Error> {
    for (path, sha256) in &package.files {
        pool::take(tx, repository, path, sha256)?;
    }
    if let Some(id) = find_package(tx, repository, package)? {
        let mut files: Vec<&str> = package
            .files
            .iter()
            .map(|(path, _)| path.as_str())
            .collect();
        files.sort_unstable();
        if package_files(tx, id)? == files {
            return Ok(id);
        }
        return Err(Error::OtherFiles {
            package: package.title(),
        });
    }
    let id = insert_package(tx, repository, source, package)?;
    for (path, _) in &package.files {
        tx.sql()
            .prepare_cached("INSERT INTO package_file (package, repository, path) VALUES (?, ?, ?)")
            .and_then(|mut insert| insert.execute((id, repository.as_str(), path)))
            .during("note the files of a package")?;
    }
    Ok(id)
}

fn find_package(
    tx: &Transaction<'_>,
    repository: &Identity,
    package: &Package,
) -> Result<Option<i64>, Error> {
    let id = tx
        .sql()
        .prepare_cached(
            "SELECT id FROM package
             WHERE repository = ? AND kind = ? AND name = ? AND version = ? AND architecture = ?",
        )
        .and_then(|mut query| {
            let key = (
                repository.as_str(),
                package.kind.as_str(),
                package.name.as_str(),
                package.version.as_str(),
                package.architecture.as_str(),
            );
            query.query_row(key, |row| row.get(0)).optional()
        })
        .during("look for a package")?;
    Ok(id)
}

fn package_files(tx: &Transaction<'_>, package: i64) -> Result<Vec<String>, Error> {
    let files = tx
        .sql()
        .prepare_cached("SELECT path FROM package_file WHERE package = ? ORDER BY path")
        .and_then(|mut query| query.query_map([package], |row| row.get(0))?.collect())
        .during("read the files of a package")?;
    Ok(files)
}

fn insert_package(
    tx: &Transaction<'_>,
    repository: &Identity,
    (source, source_version): (&PackageName, &Version),
    package: &Package,
) -> Result<i64, Error> {
    let id = tx
        .sql()
        .prepare_cached(
            "INSERT INTO package (repository, kind, name, version, architecture, source,
                                  source_version, component, section, priority, stanza, file_list)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .and_then(|mut insert| {
            insert.insert((
                repository.as_str(),
                package.kind.as_str(),
                package.name.as_str(),
                package.version.as_str(),
                package.architecture.as_str(),
                source.as_str(),
                source_version.as_str(),
                package.component.as_str(),
                &package.section,
                &package.priority,
                &package.stanza,
                package.file_list.join("\n"),
            ))
        })
        .during("write a package")?;
    Ok(id)
}

#[cfg(test)]
mod tests;
