//! pool/COMPONENT/PREFIX/SOURCE/: where a file goes, what is there, and how it gets there.
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::{OptionalExtension, Row};

use crate::deb::{Checksums, Component, FileName, PackageName};
use crate::model::repository::Identity;
use crate::store::{During, Transaction};

use super::disk::{self, Doing, Scratch, Unsynced, has_size, link_or_copy};
use super::{ArchiveDir, Error, PoolFile};

/// Beginning of the names of directories in which files wait for their place.
pub(super) const SCRATCH_PREFIX: &str = ".prepare-";

/// A verified file, and what the pool is to call it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) source: PackageName,
    pub(super) name: FileName,
    pub(super) directory: String,
    pub(super) file: File,
    pub(super) checksums: Checksums,
}

impl Incoming {
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.directory, self.name)
    }
}

/// Directory of a source package: `pool/main/libf/libfoo`.
pub(super) fn directory(component: &Component, source: &PackageName) -> String {
    let name = source.as_str();
    let letters = if name.starts_with("lib") && name.len() > 3 {
        4
    } else {
        1
    };
    // Package names are ASCII.
    let prefix = &name[..letters];
    format!("pool/{component}/{prefix}/{name}")
}

/// A file of a source package, whatever its component; one that a package has goes first.
pub(super) fn find(
    tx: &Transaction<'_>,
    repository: &Identity,
    source: &PackageName,
    name: &FileName,
) -> Result<Option<PoolFile>, Error> {
    let found = tx
        .sql()
        .prepare_cached(
            "SELECT path, size, md5, sha1, sha256 FROM pool_file
             WHERE repository = ? AND source = ? AND name = ?
             ORDER BY unused_since IS NOT NULL, path LIMIT 1",
        )
        .and_then(|mut query| {
            let key = (repository.as_str(), source.as_str(), name.as_str());
            query.query_row(key, pool_file).optional()
        })
        .during("look for a file in the pool")?;
    Ok(found)
}

fn pool_file(row: &Row<'_>) -> Result<PoolFile, rusqlite::Error> {
    let path: String = row.get(0)?;
    Ok(PoolFile {
        path: PathBuf::from(path),
        checksums: Checksums {
            size: row.get::<_, i64>(1)?.cast_unsigned(),
            md5: row.get(2)?,
            sha1: row.get(3)?,
            sha256: row.get(4)?,
        },
    })
}

/// What the database says about a path.
struct Present {
    file: PoolFile,
    has_package: bool,
}

fn present(
    tx: &Transaction<'_>,
    repository: &Identity,
    path: &str,
) -> Result<Option<Present>, Error> {
    let found = tx
        .sql()
        .prepare_cached(
            "SELECT path, size, md5, sha1, sha256,
                    EXISTS (SELECT 1 FROM package_file AS of
                            WHERE of.repository = pool_file.repository AND of.path = pool_file.path)
             FROM pool_file WHERE repository = ? AND path = ?",
        )
        .and_then(|mut query| {
            query
                .query_row((repository.as_str(), path), |row| {
                    Ok(Present {
                        file: pool_file(row)?,
                        has_package: row.get(5)?,
                    })
                })
                .optional()
        })
        .during("look into the pool")?;
    Ok(found)
}

/// Tells whether the database knows a path of the pool.
pub(super) fn is_noted(
    tx: &Transaction<'_>,
    repository: &Identity,
    path: &str,
) -> Result<bool, Error> {
    Ok(present(tx, repository, path)?.is_some())
}

/// Tells whether the pool has the file; one that a package needs is never replaced by another.
fn is_there(
    archive: &ArchiveDir,
    tx: &Transaction<'_>,
    incoming: &Incoming,
) -> Result<bool, Error> {
    let path = incoming.path();
    let Some(present) = present(tx, &archive.repository, &path)? else {
        // Without a row a file is what a crash left.
        return Ok(false);
    };
    if present.file.checksums == incoming.checksums {
        // One that no package has may be deleted at any time: it is placed again.
        return Ok(present.has_package
            && has_size(&archive.directory.join(&path), incoming.checksums.size));
    }
    if !present.has_package {
        return Ok(false);
    }
    Err(Error::OtherContent {
        path,
        present: present.file.checksums.sha256,
        wanted: incoming.checksums.sha256.clone(),
    })
}

/// Puts files in their places, all of them safe on disk before their names, and notes them as not yet used.
pub(super) fn place(archive: &ArchiveDir, files: &[&Incoming]) -> Result<(), Error> {
    let root = &archive.directory;
    let mut unsynced = Unsynced::default();
    unsynced.directory(root)?;
    let scratch = scratch(archive)?;
    let missing: Vec<bool> = archive.store.read(|tx| {
        files
            .iter()
            .map(|file| Ok(!is_there(archive, tx, file)?))
            .collect::<Result<_, Error>>()
    })?;
    let mut waiting = BTreeMap::new();
    for (number, file) in files
        .iter()
        .enumerate()
        .filter(|(number, _)| missing[*number])
    {
        let path = scratch.path().join(number.to_string());
        link_or_copy(&file.file, &path).doing("place", &path)?;
        unsynced.add(&path);
        let directory = root.join(&file.directory);
        unsynced.directory(&directory)?;
        waiting.insert(number, path);
    }
    unsynced.sync(root)?;
    // Those that are there too: whoever placed them may have been stopped before this.
    for file in files {
        unsynced.add(&root.join(&file.directory));
    }
    archive.store.write(|tx| {
        for (number, file) in files.iter().enumerate() {
            // Under the writer's lock nobody else places files.
            note(tx, &archive.repository, file)?;
            if let Some(path) = waiting.get(&number) {
                let to = root.join(file.path());
                put(root, path, &to)?;
                unsynced.add(&root.join(&file.directory));
            }
        }
        Ok::<(), Error>(())
    })?;
    unsynced.sync(root)
}

/// Gives a file its name in the pool.
fn put(root: &Path, from: &Path, to: &Path) -> Result<(), Error> {
    match disk::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The clean-up takes away empty directories.
            let parent = to.parent().unwrap_or(to);
            let mut again = Unsynced::default();
            again.directory(parent)?;
            again.sync(root)?;
            disk::rename(from, to).doing("place", to)
        }
        result => result.doing("place", to),
    }
}

pub(super) fn scratch(archive: &ArchiveDir) -> Result<Scratch, Error> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "{SCRATCH_PREFIX}{}-{}",
        process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    );
    Scratch::fresh(archive.directory.join(name))
}

/// Writes the row of a file; one that a package needs is never replaced by another.
fn note(tx: &Transaction<'_>, repository: &Identity, file: &Incoming) -> Result<(), Error> {
    let noted = tx
        .sql()
        .prepare_cached(
            "INSERT INTO pool_file (repository, path, source, name, size, md5, sha1, sha256)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET
                 size = excluded.size, md5 = excluded.md5, sha1 = excluded.sha1, sha256 = excluded.sha256,
                 unused_since = CASE WHEN unused_since IS NULL THEN NULL ELSE unixepoch() END
             WHERE sha256 = excluded.sha256
                OR NOT EXISTS (SELECT 1 FROM package_file AS of
                               WHERE of.repository = pool_file.repository AND of.path = pool_file.path)",
        )
        .and_then(|mut insert| {
            insert.execute((
                repository.as_str(),
                file.path(),
                file.source.as_str(),
                file.name.as_str(),
                file.checksums.size.cast_signed(),
                &file.checksums.md5,
                &file.checksums.sha1,
                &file.checksums.sha256,
            ))
        })
        .during("note a file of the pool")?;
    if noted == 0 {
        return refuse(tx, repository, &file.path(), &file.checksums.sha256);
    }
    Ok(())
}

/// Says why the row of a path is not one of this content.
fn refuse(
    tx: &Transaction<'_>,
    repository: &Identity,
    path: &str,
    wanted: &str,
) -> Result<(), Error> {
    let path = path.to_owned();
    Err(match present(tx, repository, &path)? {
        None => Error::Unprepared { path },
        Some(present) => Error::OtherContent {
            path,
            present: present.file.checksums.sha256,
            wanted: wanted.to_owned(),
        },
    })
}

/// Marks a prepared file as used; it must still be the one that was prepared.
pub(super) fn take(
    tx: &Transaction<'_>,
    repository: &Identity,
    path: &str,
    sha256: &str,
) -> Result<(), Error> {
    let taken = tx
        .sql()
        .prepare_cached(
            "UPDATE pool_file SET unused_since = NULL
             WHERE repository = ? AND path = ? AND sha256 = ?",
        )
        .and_then(|mut update| update.execute((repository.as_str(), path, sha256)))
        .during("mark a file of the pool as used")?;
    if taken == 0 {
        return refuse(tx, repository, path, sha256);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_have_directories_by_four_letters() {
        let main = "main".parse().unwrap();
        for (source, expected) in [
            ("hello", "pool/main/h/hello"),
            ("libfoo", "pool/main/libf/libfoo"),
            ("lib3", "pool/main/lib3/lib3"),
            ("7zip", "pool/main/7/7zip"),
        ] {
            assert_eq!(directory(&main, &source.parse().unwrap()), expected);
        }
    }
}
