//! What is on disk and nothing knows.
use std::collections::HashSet;
use std::path::PathBuf;

use crate::store::Transaction;

use super::super::clean::{deletable_from, is_old, is_scratch, read_directory};
use super::super::{ArchiveDir, Error, disk, dist, pool, publish, snapshot};
use super::{Check, Problem, Repair, files};

impl Check<'_> {
    pub(super) fn leftovers(&mut self) -> Result<(), Error> {
        self.phase("Leftovers");
        let mut open = vec![self.archive.directory.join("pool")];
        while let Some(directory) = open.pop() {
            self.at(&self.relative(&directory));
            let mut paths = Vec::new();
            for entry in read_directory(&directory)? {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => open.push(entry.path()),
                    _ => paths.push(entry.path()),
                }
            }
            let archive = self.archive;
            let paths = archive.store.read(|tx| unknown(archive, tx, &paths))?;
            if !paths.is_empty() {
                // Whoever places files holds the writer until they have rows.
                let paths = archive.store.write(|tx| unknown(archive, tx, &paths))?;
                let fault = "is in the pool, but the database does not know it";
                self.left(&paths, fault);
            }
        }
        let paths = self.directories()?;
        if !paths.is_empty() {
            let lock = disk::lock(&self.archive.directory)?;
            let paths = self.directories()?;
            drop(lock);
            self.left(&paths, "is of nothing that the database knows");
        }
        let paths = self.scratch()?;
        self.left(&paths, "was left by something that was cut short");
        Ok(())
    }

    fn left(&mut self, paths: &[PathBuf], fault: &str) {
        let problems = paths.iter().filter_map(|path| {
            let from = deletable_from(path)?;
            let remedy = if from <= self.now {
                "mini-buildd archive check --repair deletes it".to_owned()
            } else {
                format!("mini-buildd archive check --repair deletes it from {from:.0} on")
            };
            let repair = Repair::Delete { path: path.clone() };
            let problem = Problem::new(self.relative(path), fault, repair);
            Some(problem.with_remedy(remedy))
        });
        let problems = problems.collect();
        self.report(problems);
    }

    /// Directories of dists and snapshots that are no longer, or never were.
    fn directories(&self) -> Result<Vec<PathBuf>, Error> {
        let dists = self.archive.directory.join("dists");
        let mut known = HashSet::new();
        let mut parents = vec![dists.clone()];
        self.archive.store.read(|tx| {
            for dist in dist::all(tx, &self.archive.repository)? {
                // That of a dirty one goes with the next publication.
                if dist.removed && dist.dirty == 0 {
                    continue;
                }
                let diststr = &dist.settings.diststr;
                let directory = dists.join(diststr.to_string());
                parents.push(directory.join("snapshots"));
                known.insert(directory);
                for row in snapshot::rows(tx, dist.id)? {
                    known.insert(snapshot::directory(self.archive, diststr, &row.name));
                }
            }
            Ok::<_, Error>(())
        })?;
        let mut found = Vec::new();
        for parent in parents {
            let paths = read_directory(&parent)?
                .into_iter()
                .map(|entry| entry.path());
            found.extend(paths.filter(|path| files::is_directory(path) && !known.contains(path)));
        }
        Ok(found)
    }

    /// Scratch directories that are so old that nobody works in them.
    fn scratch(&self) -> Result<Vec<PathBuf>, Error> {
        let paths = read_directory(&self.archive.directory)?
            .into_iter()
            .map(|entry| entry.path());
        let is_left = |path: &PathBuf| {
            (is_scratch(path) || path.ends_with(publish::SCRATCH)) && is_old(path, self.now)
        };
        Ok(paths.filter(is_left).collect())
    }
}

/// Those of the paths that the pool doesn't know.
pub(super) fn unknown(
    archive: &ArchiveDir,
    tx: &Transaction<'_>,
    paths: &[PathBuf],
) -> Result<Vec<PathBuf>, Error> {
    let mut unknown = Vec::new();
    for path in paths {
        let below = path.strip_prefix(&archive.directory).unwrap_or(path);
        if !pool::is_noted(tx, &archive.repository, &below.to_string_lossy())? {
            unknown.push(path.clone());
        }
    }
    Ok(unknown)
}
