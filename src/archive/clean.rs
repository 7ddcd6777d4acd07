//! By-hash files that no client can still want, and what crashes left.
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::store::{During, Transaction};

use super::disk::{self, Doing};
use super::publish::{self, by_hash};
use super::{ArchiveDir, Error, pool};

/// Generations of Release whose files stay, the newest included.
const GENERATIONS: i64 = 3;
/// Files stay so long after the last Release that lists them was replaced.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// A preparation does not take longer.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn clean(archive: &ArchiveDir, now: Timestamp) -> Result<(), Error> {
    let lock = disk::lock(&archive.directory)?;
    archive.store.write(|tx| forget_retired(archive, tx, now))?;
    let (dists, wanted) = archive
        .store
        .read(|tx| Ok::<_, Error>((settled(archive, tx)?, listed(archive, tx)?)))?;
    let now = SystemTime::from(now);
    for dist in dists {
        for directory in by_hash_directories(&dist)? {
            for (path, age) in entries(&directory, now)? {
                if age >= GRACE && !wanted.contains(&path) {
                    disk::remove_file(&path).doing("remove", &path)?;
                }
            }
        }
    }
    for (path, age) in entries(&archive.directory, now)? {
        let is_scratch = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(pool::SCRATCH_PREFIX));
        if is_scratch && age >= ABANDONED {
            disk::remove_tree(&path).doing("remove", &path)?;
        }
    }
    // Nobody publishes meanwhile: this is what a crash left.
    let scratch = archive.directory.join(publish::SCRATCH);
    disk::remove_tree(&scratch).doing("remove", &scratch)?;
    drop(lock);
    Ok(())
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
    let rows: Vec<[String; 3]> = tx
        .sql()
        .prepare_cached(
            "SELECT dist.name, path, sha256 FROM index_file JOIN dist ON dist.id = dist
             WHERE dist.repository = ?",
        )
        .and_then(|mut query| {
            query
                .query_map([archive.repository.as_str()], |row| {
                    Ok([row.get(0)?, row.get(1)?, row.get(2)?])
                })?
                .collect()
        })
        .during("list index files")?;
    let dists = archive.directory.join("dists");
    Ok(rows
        .iter()
        .map(|[dist, path, sha256]| by_hash(&dists.join(dist), path, sha256))
        .collect())
}

/// All directories `by-hash/SHA256` below.
fn by_hash_directories(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in read_directory(&directory)? {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name() == "by-hash" {
                found.push(entry.path().join("SHA256"));
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

fn read_directory(directory: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    match fs::read_dir(directory).and_then(Iterator::collect) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result.doing("list", directory),
    }
}
