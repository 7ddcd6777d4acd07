//! What nobody can want any more: by-hash files, the forgotten past and its pool files, and what crashes left.
//!
//! A pool file goes when no package has it, and a package when no dist, snapshot or remembered time shows it; then the
//! file stays for a while more, for a client that read an index before.
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rusqlite::Connection;

use crate::store::{During, Transaction};

use super::disk::{self, Doing};
use super::publish::{self, BY_HASH, by_hashes};
use super::{ArchiveDir, Error, pool, state, times};

/// Generations of Release whose files stay, the newest included.
const GENERATIONS: i64 = 3;
/// Files stay so long after the last Release that lists them was replaced.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// A preparation does not take longer.
pub(super) const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);
/// Beginning of the names of what a repair moved aside.
pub(super) const OBSTACLE_PREFIX: &str = ".obstacle-";
/// So many rows are forgotten at once.
const PART: u32 = 1000;

/// How long what is not shown any more is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Past states of dists.
    pub history: Duration,
    /// Pool files that nothing names any more.
    pub grace: Duration,
}

/// Forgets the past that is too old, and deletes pool files that nothing names.
pub(super) fn expire(
    archive: &ArchiveDir,
    retention: Retention,
    now: Timestamp,
) -> Result<Expired, Error> {
    let before = |age: Duration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
    let mut expired = Expired::default();
    let horizon = before(retention.history);
    // In parts, so that nobody waits long for the writer.
    loop {
        let forgotten = archive
            .store
            .write(|tx| forget(archive, tx, horizon, now))?;
        expired.packages += forgotten.packages;
        if forgotten.slots < PART as usize {
            break;
        }
    }
    let grace = before(retention.grace);
    loop {
        let forgotten = archive
            .store
            .write(|tx| forget_unlisted(archive, tx, grace, now))?;
        expired.packages += forgotten;
        if forgotten < PART as usize {
            break;
        }
    }
    loop {
        let deleted = archive.store.write(|tx| delete(archive, tx, grace))?;
        expired.files += deleted;
        if deleted < PART as usize {
            return Ok(expired);
        }
    }
}

/// What was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Packages that nothing shows any more.
    pub packages: usize,
    /// Files of the pool.
    pub files: usize,
}

/// What one part of the past held.
#[derive(Default)]
struct Forgotten {
    slots: usize,
    packages: usize,
}

/// Forgets memberships that ended before the horizon, and packages that have none.
///
/// What is not published yet is kept: the next publication looks for what changed.
fn forget(
    archive: &ArchiveDir,
    tx: &Transaction<'_>,
    horizon: Timestamp,
    now: Timestamp,
) -> Result<Forgotten, Error> {
    let repository = archive.repository.as_str();
    let forget = || {
        let sql = tx.sql();
        let before: i64 = sql.query_row(
            "SELECT coalesce(max(id), 0) FROM moment WHERE repository = ? AND at < ?",
            (repository, horizon.as_millisecond()),
            |row| row.get(0),
        )?;
        let ended: Vec<[i64; 4]> = sql
            .prepare_cached(
                "SELECT slot.id, slot.package, slot.dist, slot.removed
                 FROM slot JOIN dist ON dist.id = slot.dist
                 WHERE slot.removed <= ?1 AND slot.removed IS NOT NULL AND dist.repository = ?2
                   AND (slot.removed <= dist.published OR dist.removed_at IS NOT NULL AND dist.dirty = 0)
                   AND NOT EXISTS (SELECT 1 FROM snapshot
                                   WHERE snapshot.dist = slot.dist AND snapshot.removed = 0
                                     AND slot.added <= moment AND slot.removed > moment)
                 LIMIT ?3",
            )?
            .query_map((before, repository, PART), |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
            })?
            .collect::<Result<_, _>>()?;
        let mut forgotten = Forgotten::default();
        for [slot, package, dist, removed] in ended {
            sql.prepare_cached("DELETE FROM slot WHERE id = ?")?
                .execute([slot])?;
            sql.prepare_cached("UPDATE dist SET forgotten = max(forgotten, ?) WHERE id = ?")?
                .execute((removed, dist))?;
            forgotten.slots += 1;
            let is_shown: bool = sql
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM slot WHERE package = ?)")?
                .query_row([package], |row| row.get(0))?;
            if !is_shown {
                forget_package(sql, repository, package, now)?;
                forgotten.packages += 1;
            }
        }
        Ok(forgotten)
    };
    Ok(forget().during("forget what was in dists")?)
}

/// Forgets packages that an import took in and then put nowhere, as it was cut off; returns how many.
fn forget_unlisted(
    archive: &ArchiveDir,
    tx: &Transaction<'_>,
    before: Timestamp,
    now: Timestamp,
) -> Result<usize, Error> {
    let repository = archive.repository.as_str();
    let forget = || {
        let sql = tx.sql();
        let unlisted: Vec<i64> = sql
            .prepare_cached(
                "SELECT id FROM package
                 WHERE repository = ?1
                   AND NOT EXISTS (SELECT 1 FROM slot WHERE slot.package = package.id)
                   AND NOT EXISTS (SELECT 1 FROM package_file AS of JOIN pool_file USING (repository, path)
                                   WHERE of.package = package.id AND added_at > ?2)
                 LIMIT ?3",
            )?
            .query_map((repository, before.as_second(), PART), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for package in &unlisted {
            forget_package(sql, repository, *package, now)?;
        }
        Ok(unlisted.len())
    };
    Ok(forget().during("forget what is in no dist")?)
}

fn forget_package(
    sql: &Connection,
    repository: &str,
    package: i64,
    now: Timestamp,
) -> Result<(), rusqlite::Error> {
    let files: Vec<String> = sql
        .prepare_cached("SELECT path FROM package_file WHERE package = ?")?
        .query_map([package], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    sql.prepare_cached("DELETE FROM package_file WHERE package = ?")?
        .execute([package])?;
    sql.prepare_cached("DELETE FROM package WHERE id = ?")?
        .execute([package])?;
    for path in files {
        sql.prepare_cached(
            "UPDATE pool_file SET unused_since = ?1
             WHERE repository = ?2 AND path = ?3
               AND NOT EXISTS (SELECT 1 FROM package_file AS of
                               WHERE of.repository = ?2 AND of.path = ?3)",
        )?
        .execute((now.as_second(), repository, path))?;
    }
    Ok(())
}

/// Deletes files of the pool that no package has had for a while; returns how many.
fn delete(archive: &ArchiveDir, tx: &Transaction<'_>, before: Timestamp) -> Result<usize, Error> {
    let repository = archive.repository.as_str();
    let paths: Vec<String> = tx
        .sql()
        .prepare_cached(
            "SELECT path FROM pool_file
             WHERE repository = ?1 AND unused_since IS NOT NULL AND unused_since <= ?2
               AND NOT EXISTS (SELECT 1 FROM package_file AS of
                               WHERE of.repository = ?1 AND of.path = pool_file.path)
             LIMIT ?3",
        )
        .and_then(|mut query| {
            query
                .query_map((repository, before.as_second(), PART), |row| row.get(0))?
                .collect()
        })
        .during("look for unused files of the pool")?;
    for path in &paths {
        // The file first: without a row it would be forgotten, without a file the row is of one that is missing.
        let file = archive.directory.join(path);
        disk::remove_file(&file).doing("remove", &file)?;
        disk::remove_empty_parents(&file, &archive.directory);
        tx.sql()
            .prepare_cached("DELETE FROM pool_file WHERE repository = ? AND path = ?")
            .and_then(|mut delete| delete.execute((repository, path)))
            .during("forget a file of the pool")?;
    }
    Ok(paths.len())
}

pub(super) fn clean(archive: &ArchiveDir, now: Timestamp) -> Result<(), Error> {
    let lock = disk::lock(&archive.directory)?;
    archive.store.write(|tx| forget_retired(archive, tx, now))?;
    let (dists, wanted) = archive
        .store
        .read(|tx| Ok::<_, Error>((settled(archive, tx)?, listed(archive, tx)?)))?;
    for dist in dists {
        for directory in by_hash_directories(&dist)? {
            for (path, age) in entries(&directory, now.into())? {
                if age >= GRACE && !wanted.contains(&path) {
                    disk::remove_file(&path).doing("remove", &path)?;
                }
            }
        }
    }
    for entry in read_directory(&archive.directory)? {
        let path = entry.path();
        if is_scratch(&path) && is_old(&path, now) {
            disk::remove_tree(&path).doing("remove", &path)?;
        }
    }
    // Nobody publishes meanwhile: this is what a crash left.
    let scratch = archive.directory.join(publish::SCRATCH);
    disk::remove_tree(&scratch).doing("remove", &scratch)?;
    drop(lock);
    times::clean(archive)
}

/// Tells whether somebody works in it, or was cut short.
pub(super) fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [pool::SCRATCH_PREFIX, state::SCRATCH_PREFIX, OBSTACLE_PREFIX]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// When what nothing knows may be deleted; `None`: it is gone.
pub(super) fn deletable_from(path: &Path) -> Option<Timestamp> {
    // Of the inode: a file that was linked here keeps the time of its content.
    let changed = Timestamp::from_second(fs::symlink_metadata(path).ok()?.ctime()).ok()?;
    Some(changed.saturating_add(ABANDONED).unwrap_or(Timestamp::MAX))
}

pub(super) fn is_old(path: &Path, now: Timestamp) -> bool {
    deletable_from(path).is_some_and(|from| from <= now)
}

/// Rows go first: a file without a row is removed in this run or the next.
fn forget_retired(archive: &ArchiveDir, tx: &Transaction<'_>, now: Timestamp) -> Result<(), Error> {
    // Retired in generation N: the last Release to list it was N - 1.
    tx.sql()
        .prepare_cached(
            "DELETE FROM index_file WHERE (dist, path, sha256) IN
                (SELECT dist, path, sha256 FROM index_file JOIN dist ON dist.id = dist
                 WHERE dist.repository = ? AND retired <= dist.serial - ? AND retired_at <= ?)",
        )
        .and_then(|mut delete| {
            let before = now.as_second() - GRACE.as_secs().cast_signed();
            delete.execute((archive.repository.as_str(), GENERATIONS - 1, before))
        })
        .during("forget old index files")?;
    Ok(())
}

/// Directories of dists whose last publication is known; that of a dirty one may have been cut short after InRelease.
fn settled(archive: &ArchiveDir, tx: &Transaction<'_>) -> Result<Vec<PathBuf>, Error> {
    let names: Vec<String> = tx
        .sql()
        .prepare_cached("SELECT name FROM dist WHERE repository = ? AND dirty = 0")
        .and_then(|mut query| {
            query
                .query_map([archive.repository.as_str()], |row| row.get(0))?
                .collect()
        })
        .during("list dists")?;
    let dists = archive.directory.join("dists");
    Ok(names.iter().map(|name| dists.join(name)).collect())
}

/// By-hash paths of all files that rows know.
fn listed(archive: &ArchiveDir, tx: &Transaction<'_>) -> Result<HashSet<PathBuf>, Error> {
    let rows: Vec<([String; 3], Option<String>)> = tx
        .sql()
        .prepare_cached(
            "SELECT dist.name, path, sha256, sha512 FROM index_file JOIN dist ON dist.id = dist
             WHERE dist.repository = ?",
        )
        .and_then(|mut query| {
            query
                .query_map([archive.repository.as_str()], |row| {
                    let names = [row.get(0)?, row.get(1)?, row.get(2)?];
                    Ok((names, row.get(3)?))
                })?
                .collect()
        })
        .during("list index files")?;
    let dists = archive.directory.join("dists");
    Ok(rows
        .iter()
        .flat_map(|([dist, path, sha256], sha512)| {
            by_hashes(&dists.join(dist), path, sha256, sha512.as_deref())
        })
        .collect())
}

/// All directories `by-hash/SHA256` and like below.
fn by_hash_directories(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in read_directory(&directory)? {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name() == "by-hash" {
                found.extend(BY_HASH.map(|kind| entry.path().join(kind)));
            } else {
                open.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Paths in a directory, and how long ago each was written.
fn entries(directory: &Path, now: SystemTime) -> Result<Vec<(PathBuf, Duration)>, Error> {
    let mut entries = Vec::new();
    for entry in read_directory(directory)? {
        let path = entry.path();
        let modified = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .doing("examine", &path)?;
        entries.push((path, now.duration_since(modified).unwrap_or_default()));
    }
    Ok(entries)
}

pub(super) fn read_directory(directory: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    match fs::read_dir(directory).and_then(Iterator::collect) {
        // Of what stands there instead, a check tells.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        result => result.doing("list", directory),
    }
}

#[cfg(test)]
mod tests;
