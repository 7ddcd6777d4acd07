//! Rename away now, delete later.
//!
//! Deleting a tree takes seconds where renaming it takes microseconds, and most of its files belong
//! to ids that only exist in a user namespace: so trees wait in a directory of their own until a
//! thread has them deleted, one at a time, with low priority and about half of the time.
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sandbox::{Launcher, subvolume};

use crate::lock::Lock;
use crate::storage::TREE;
use crate::tree_command::{self, Role};
use crate::worker::Worker;
use crate::{Error, directory, tool};

/// Held while trees are deleted, by whichever process does it.
const LOCK: &str = ".lock";
/// Trees that one command deletes; making its user namespace costs more than a small tree.
const AT_ONCE: usize = 100;

/// Where subvolumes are in what is thrown away.
const SUBVOLUMES: [&str; 2] = [TREE, "layer/tree"];

/// Directory in which trees wait for their deletion.
pub(crate) struct Trash {
    directory: PathBuf,
    deleter: Worker,
}

impl Trash {
    pub(crate) fn new(directory: PathBuf, launcher: Arc<Launcher>) -> Trash {
        let deleter = Worker::new("trash", {
            let directory = directory.clone();
            move || {
                if let Err(error) = empty(&directory, &launcher) {
                    warn(&error, &directory);
                }
            }
        });
        Trash { directory, deleter }
    }

    /// Takes the tree at `path` away at once; what is not there is no error.
    pub(crate) fn put(&self, path: &Path) -> Result<(), Error> {
        directory::make_private_all(&self.directory)
            .map_err(Error::io("make directory", &self.directory))?;
        let name = path.file_name().unwrap_or_default();
        let mut number = 0u64;
        loop {
            let mut place = name.to_owned();
            place.push(format!(".{number}"));
            let place = self.directory.join(place);
            match renameat_with(CWD, path, CWD, &place, RenameFlags::NOREPLACE) {
                Ok(()) => break,
                Err(Errno::EXIST) => number += 1,
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(Error::io("move to the trash", path)(errno.into())),
            }
        }
        self.delete();
        Ok(())
    }

    /// As [`Trash::put`]; what is on another file system goes to the trash there.
    pub(crate) fn put_or(&self, path: &Path, there: &Trash) -> Result<(), Error> {
        match self.put(path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::CrossesDevices => {
                there.put(path)
            }
            result => result,
        }
    }

    /// Goes on deleting what an earlier process left.
    pub(crate) fn delete(&self) {
        self.deleter.wake();
    }
}

/// Deletes what waits; what can't be deleted waits for the next start.
fn empty(directory: &Path, launcher: &Launcher) -> Result<(), Error> {
    if waiting(directory)?.is_empty() {
        return Ok(());
    }
    let lock_file = directory.join(LOCK);
    let lock = Lock::wait(&lock_file)?;
    let has_subvolumes = subvolume::is_btrfs(directory).map_err(Error::io("look at", directory))?;
    for paths in waiting(directory)?.chunks(AT_ONCE) {
        if has_subvolumes {
            for path in paths {
                delete_subvolumes(path);
            }
        }
        let mut command = deletion(launcher, paths, has_subvolumes);
        // Should this process end before the child, no other deletes beside it.
        command.stdin(lock.share().map_err(Error::io("share lock", &lock_file))?);
        if let Err(error) = tool::run(&mut command) {
            warn(&error, directory);
        }
    }
    Ok(())
}

fn waiting(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let names = directory::names_if_any(directory).map_err(Error::io("list", directory))?;
    Ok(names.iter().map(|name| directory.join(name)).collect())
}

/// Deletes the subvolumes of a base, a layer or a session at once, where the file system lets its
/// users do that; else they are emptied and removed as directories are.
fn delete_subvolumes(path: &Path) {
    for place in SUBVOLUMES {
        let place = path.join(place);
        if subvolume::is_subvolume(&place).is_ok_and(|found| found) {
            // What this can't do, rm does.
            let _ = subvolume::delete(&place);
        }
    }
}

fn deletion(launcher: &Launcher, paths: &[PathBuf], has_subvolumes: bool) -> Command {
    let mut command = tree_command::idle_command(launcher, Role::Delete);
    // To rm, a subvolume is another file system.
    if !has_subvolumes {
        command.arg("--one-file-system");
    }
    command.arg("--").args(paths);
    command
}

fn warn(error: &Error, directory: &Path) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, directory = %directory.display(), "can't empty the trash");
}
