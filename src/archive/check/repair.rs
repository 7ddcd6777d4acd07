//! Mends: rows and pool first, then what is published from them, what is left over last.
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use rusqlite::Row;

use crate::deb::Checksums;
use crate::deb::release::IndexFile;
use crate::pgp::SigningKeys;
use crate::store::{During, Transaction};

use super::super::clean::{OBSTACLE_PREFIX, is_old};
use super::super::disk::{self, Doing, Unsynced};
use super::super::pieces::Form;
use super::super::publish;
use super::super::{ArchiveDir, Error, dist, pool as places, times};
use super::{Copy, Problem, Repair, files, leftovers, packages, pool};

pub(super) fn repair(
    archive: &ArchiveDir,
    problems: &[Problem],
    found: &HashMap<String, Copy>,
    keys: &SigningKeys,
    now: Timestamp,
) -> Result<usize, Error> {
    let mut order: Vec<&Problem> = problems.iter().collect();
    order.sort_by_key(|problem| rank(&problem.repair));
    let mut mended = 0;
    let mut is_published = false;
    for problem in order {
        // Whatever is deleted is deleted after what is published no longer needs it.
        if matches!(problem.repair, Repair::Delete { .. }) && !is_published {
            archive.publish(keys, now)?;
            is_published = true;
        }
        make_way(archive, problem)?;
        let repair = Mending {
            archive,
            found,
            now,
        };
        if repair.mend(&problem.repair)? {
            mended += 1;
        }
    }
    if !is_published {
        archive.publish(keys, now)?;
    }
    Ok(mended)
}

fn rank(repair: &Repair) -> u8 {
    match repair {
        Repair::None | Repair::Reference { .. } => 0,
        Repair::Sums { .. } | Repair::Content { .. } => 1,
        Repair::Package { .. } => 2,
        Repair::Use { .. } => 3,
        Repair::Index { .. } | Repair::Generation { .. } => 4,
        Repair::Publish { .. } | Repair::Snapshot { .. } => 5,
        Repair::Delete { .. } => 6,
    }
}

/// Moves aside what is no file, or no directory, where one will be written.
fn make_way(archive: &ArchiveDir, problem: &Problem) -> Result<(), Error> {
    let path = archive.directory.join(&problem.subject);
    match &problem.repair {
        Repair::Content { .. } | Repair::Index { .. } | Repair::Generation { .. } => {
            move_aside(archive, &path, files::is_regular)
        }
        Repair::Publish { .. } => {
            move_aside(archive, &path, files::is_regular)?;
            // A check tells only of the first signed file that is wrong.
            let directory = path.parent().unwrap_or(&path);
            for name in publish::SIGNED {
                move_aside(archive, &directory.join(name), files::is_regular)?;
            }
            Ok(())
        }
        // The directory is made anew as a whole.
        Repair::Snapshot { name, .. } if path.ends_with(name) => {
            move_aside(archive, &path, files::is_directory)
        }
        _ => Ok(()),
    }
}

/// Gives what is in the way, at a path or above it, a name under which a clean-up deletes it after a day.
fn move_aside(archive: &ArchiveDir, path: &Path, is_right: fn(&Path) -> bool) -> Result<(), Error> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let root = &archive.directory;
    let below = path.strip_prefix(root).unwrap_or(path);
    let above = below.ancestors().skip(1).map(|above| root.join(above));
    let mut above: Vec<PathBuf> = above.collect();
    above.reverse();
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    let obstacle = above
        .iter()
        .find(|above| is_there(above) && !above.is_dir())
        .map(PathBuf::as_path)
        .or_else(|| (is_there(path) && !is_right(path)).then_some(path));
    let Some(obstacle) = obstacle else {
        return Ok(());
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let aside = root.join(format!("{OBSTACLE_PREFIX}{}-{number}", process::id()));
    disk::rename(obstacle, &aside).doing("move aside", obstacle)?;
    tracing::warn!(obstacle = %obstacle.display(), aside = %aside.display(), "moved aside");
    Ok(())
}

struct Mending<'a> {
    archive: &'a ArchiveDir,
    found: &'a HashMap<String, Copy>,
    now: Timestamp,
}

impl Mending<'_> {
    /// Tells whether it was done.
    fn mend(&self, repair: &Repair) -> Result<bool, Error> {
        let archive = self.archive;
        let write =
            |work: &dyn Fn(&Transaction<'_>) -> Result<bool, Error>| archive.store.write(work);
        match repair {
            Repair::None => Ok(false),
            Repair::Sums { path, sums } => write(&|tx| {
                // It may have changed since.
                let is_so = pool::sums_of(archive, path).is_ok_and(|actual| actual == *sums);
                if is_so {
                    pool::note(archive, tx, path, sums)?;
                }
                Ok(is_so)
            }),
            Repair::Content { path, sums } => match self.found.get(&sums.sha256) {
                Some(copy) => self.replace(path, sums, copy),
                None => Ok(false),
            },
            Repair::Use { path } => {
                let now = self.now.as_second();
                write(&|tx| pool::settle_use(archive, tx, path, now).map(|()| true))
            }
            Repair::Reference { package } => write(&|tx| forget_reference(tx, *package)),
            Repair::Package { id } => {
                let is_done = write(&|tx| packages::read_anew(archive, tx, *id))?;
                times::forget(archive)?;
                Ok(is_done)
            }
            Repair::Index { dist, index } => {
                let _lock = disk::lock(&archive.directory)?;
                write(&|tx| self.forget_index(tx, *dist, index))
            }
            Repair::Generation { dist, path, sha256 } => {
                let _lock = disk::lock(&archive.directory)?;
                write(&|tx| self.forget_generation(tx, *dist, path, sha256))
            }
            Repair::Publish { dist } => write(&|tx| dist::touch(tx, *dist).map(|()| true)),
            Repair::Snapshot { dist, name } => write(&|tx| {
                tx.sql()
                    .execute(
                        "UPDATE snapshot SET published = 0 WHERE dist = ? AND name = ?",
                        (dist, name),
                    )
                    .during("mark a snapshot as to be made anew")?;
                dist::touch(tx, *dist).map(|()| true)
            }),
            Repair::Delete { path } => self.delete(path),
        }
    }

    /// Puts a copy in the place of a pool file that is not what its row says.
    fn replace(&self, path: &str, sums: &Checksums, copy: &Copy) -> Result<bool, Error> {
        let archive = self.archive;
        let scratch = places::scratch(archive)?;
        let new = scratch.path().join("copy");
        let from = File::open(&copy.path).doing("open", &copy.path)?;
        let mut to = disk::write_new(&new, &[]).doing("write", &new)?;
        match disk::copy_range(&from, copy.offset, (&mut to, &new), sums.size) {
            // It is not what was found.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            copied => copied.doing("write", &new)?,
        }
        let actual = disk::open_regular(&new).and_then(|file| disk::checksums(&file));
        if actual.doing("read", &new)? != *sums {
            return Ok(false);
        }
        let to = archive.directory.join(path);
        let mut unsynced = Unsynced::default();
        unsynced.add(&new);
        unsynced.sync(&archive.directory)?;
        archive.store.write(|tx| {
            if pool::noted(archive, tx, path)?.as_ref() != Some(sums) {
                return Ok(false);
            }
            let parent = to.parent().unwrap_or(&archive.directory);
            unsynced.directory(parent)?;
            disk::rename(&new, &to).doing("place", &to)?;
            unsynced.add(parent);
            unsynced.sync(&archive.directory)?;
            Ok(true)
        })
    }

    fn directory(&self, tx: &Transaction<'_>, dist: i64) -> Result<PathBuf, Error> {
        let name: String = tx
            .sql()
            .query_row("SELECT name FROM dist WHERE id = ?", [dist], |row| {
                row.get(0)
            })
            .during("read a dist")?;
        Ok(self.archive.directory.join("dists").join(name))
    }

    /// Has an index made anew: its pieces are forgotten, and those of its files that are not what is noted.
    fn forget_index(&self, tx: &Transaction<'_>, dist: i64, index: &str) -> Result<bool, Error> {
        let directory = self.directory(tx, dist)?;
        let live = publish::live(tx, dist)?;
        for form in Form::ALL {
            let Some(live) = live.get(&format!("{index}{}", form.extension())) else {
                continue;
            };
            let IndexFile { path, sha256, .. } = &live.index;
            self.forget_damaged(tx, dist, &directory, &live.index)?;
            tx.sql()
                .execute(
                    "UPDATE index_file SET input = '' WHERE dist = ? AND path = ? AND sha256 = ?",
                    (dist, path, sha256),
                )
                .during("mark an index as to be made anew")?;
        }
        tx.sql()
            .execute(
                "DELETE FROM piece WHERE dist = ? AND path = ?",
                (dist, index),
            )
            .during("forget the pieces of an index")?;
        dist::touch(tx, dist)?;
        Ok(true)
    }

    fn forget_generation(
        &self,
        tx: &Transaction<'_>,
        dist: i64,
        path: &str,
        sha256: &str,
    ) -> Result<bool, Error> {
        let file = |row: &Row<'_>| {
            Ok(IndexFile {
                path: path.to_owned(),
                size: row.get::<_, i64>(0)?.cast_unsigned(),
                md5: row.get(1)?,
                sha256: sha256.to_owned(),
                sha512: row.get(2)?,
            })
        };
        let found: Vec<IndexFile> = tx
            .sql()
            .prepare_cached(
                "SELECT size, md5, sha512 FROM index_file
                 WHERE dist = ? AND path = ? AND sha256 = ? AND retired IS NOT NULL",
            )
            .and_then(|mut query| query.query_map((dist, path, sha256), file)?.collect())
            .during("read older index files")?;
        let directory = self.directory(tx, dist)?;
        for file in &found {
            self.forget_damaged(tx, dist, &directory, file)?;
        }
        Ok(!found.is_empty())
    }

    /// Removes by-hash files that are not as the row says, and then the row.
    #[expect(clippy::unused_self, reason = "reads as one of its kind")]
    fn forget_damaged(
        &self,
        tx: &Transaction<'_>,
        dist: i64,
        directory: &Path,
        listed: &IndexFile,
    ) -> Result<(), Error> {
        let mut damaged = publish::names_of(directory, listed);
        damaged.retain(|hashed| files::examine(hashed, listed).is_err());
        if damaged.is_empty() {
            return Ok(());
        }
        for hashed in &damaged {
            disk::remove_file(hashed).doing("remove", hashed)?;
        }
        tx.sql()
            .execute(
                "DELETE FROM index_file WHERE dist = ? AND path = ? AND sha256 = ?",
                (dist, &listed.path, &listed.sha256),
            )
            .during("forget an index file")?;
        Ok(())
    }

    /// Deletes what is still unknown and old.
    fn delete(&self, path: &Path) -> Result<bool, Error> {
        let archive = self.archive;
        if !is_old(path, self.now) {
            return Ok(false);
        }
        let _lock = disk::lock(&archive.directory)?;
        if !path.starts_with(archive.directory.join("pool")) {
            disk::remove_tree(path).doing("remove", path)?;
            return Ok(true);
        }
        archive.store.write(|tx| {
            let unknown = leftovers::unknown(archive, tx, &[path.to_owned()])?;
            if unknown.is_empty() {
                return Ok(false);
            }
            disk::remove_file(path).doing("remove", path)?;
            disk::remove_empty_parents(path, &archive.directory);
            Ok(true)
        })
    }
}

fn forget_reference(tx: &Transaction<'_>, package: i64) -> Result<bool, Error> {
    let changed = tx
        .sql()
        .execute(
            "DELETE FROM package_file WHERE package = ?1
               AND NOT EXISTS (SELECT 1 FROM package WHERE id = ?1)",
            [package],
        )
        .during("forget the files of a package")?;
    Ok(changed > 0)
}
