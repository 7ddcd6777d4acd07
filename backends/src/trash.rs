//! Rename away now, delete later.
//!
//! Deleting a tree takes seconds where renaming it takes microseconds, and most of its files belong
//! to ids that only exist in a user namespace: so trees wait in a directory of their own until a
//! thread has them deleted, one at a time and with low priority.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sandbox::Launcher;

use crate::lock::Lock;
use crate::worker::Worker;
use crate::{Error, directory, tool};

/// Held while trees are deleted, by whichever process does it.
const LOCK: &str = ".lock";
/// Trees that one command deletes; making its user namespace costs more than a small tree.
const AT_ONCE: usize = 100;

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
    for paths in waiting(directory)?.chunks(AT_ONCE) {
        let mut command = deletion(launcher, paths);
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

/// Deletes trees of any kind: as root of the user namespace rm may enter directories of mode 000,
/// and it walks by descriptor, so that depth is no limit.
fn deletion(launcher: &Launcher, paths: &[PathBuf]) -> Command {
    let mut command = launcher.storage_command("ionice");
    command
        .args([
            "-c3",
            "nice",
            "-n19",
            "rm",
            "-rf",
            "--one-file-system",
            "--",
        ])
        .args(paths);
    command
}

fn warn(error: &Error, directory: &Path) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, directory = %directory.display(), "can't empty the trash");
}
