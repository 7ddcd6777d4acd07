//! flock(2): who uses what, across processes; the kernel frees a lock when its holder dies.
//!
//! Directories are locked themselves, so a lock needs no file that could be left behind.
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat};
use rustix::io::{Errno, retry_on_intr};

use crate::{Error, directory};

/// Lock on a file or directory; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Lock {
    descriptor: OwnedFd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Shared,
    Exclusive,
}

/// What came of trying to lock something.
#[derive(Debug)]
pub(crate) enum Attempt {
    Locked(Lock),
    /// Another holds it.
    Busy,
    /// There is nothing at that path (any more).
    Missing,
}

impl Lock {
    /// Locks what is at `path` if nobody is in the way.
    pub(crate) fn attempt(path: &Path, sharing: Sharing) -> Result<Attempt, Error> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let descriptor = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(descriptor) => descriptor,
            Err(Errno::NOENT) => return Ok(Attempt::Missing),
            Err(errno) => return Err(failed(path, errno)),
        };
        let operation = match sharing {
            Sharing::Shared => FlockOperation::NonBlockingLockShared,
            Sharing::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        match retry_on_intr(|| flock(&descriptor, operation)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Attempt::Busy),
            Err(errno) => return Err(failed(path, errno)),
        }
        let lock = Lock { descriptor };
        // Between open and flock its former holder may have renamed it away.
        if is_at(&lock.descriptor, path)? {
            Ok(Attempt::Locked(lock))
        } else {
            Ok(Attempt::Missing)
        }
    }

    /// Waits for the exclusive lock on the file `path`, which is made when missing.
    pub(crate) fn wait(path: &Path) -> Result<Lock, Error> {
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let descriptor = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
                .map_err(|errno| failed(path, errno))?;
            retry_on_intr(|| flock(&descriptor, FlockOperation::LockExclusive))
                .map_err(|errno| failed(path, errno))?;
            let lock = Lock { descriptor };
            if is_at(&lock.descriptor, path)? {
                return Ok(lock);
            }
        }
    }

    /// Gives a child process, as one of its standard descriptors, a share in the lock:
    /// should this process be killed, the lock is held until the child has ended.
    pub(crate) fn share(&self) -> io::Result<Stdio> {
        self.descriptor.try_clone().map(Stdio::from)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would not do: a child of another thread has the descriptor until it execs.
        let _ = flock(&self.descriptor, FlockOperation::Unlock);
    }
}

fn is_at(descriptor: &OwnedFd, path: &Path) -> Result<bool, Error> {
    let locked = fstat(descriptor).map_err(|errno| failed(path, errno))?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (locked.st_dev, locked.st_ino)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

fn failed(path: &Path, errno: Errno) -> Error {
    Error::io("lock", path)(errno.into())
}

/// Makes a directory that nobody else uses below `parent`, and locks it.
///
/// Its name begins with `prefix`; only its owner may enter it.
pub(crate) fn make_locked_directory(parent: &Path, prefix: &str) -> Result<(PathBuf, Lock), Error> {
    let process = std::process::id();
    let mut number = 0u64;
    loop {
        let path = parent.join(format!("{prefix}{process}-{number}"));
        number += 1;
        match directory::make_private(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(Error::io("make directory", &path)(error)),
        }
        // A cleaner that came before the lock takes the directory for an abandoned one.
        if let Attempt::Locked(lock) = Lock::attempt(&path, Sharing::Exclusive)? {
            return Ok((path, lock));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_writer_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::attempt(directory.path(), Sharing::Shared).unwrap();
        let second = Lock::attempt(directory.path(), Sharing::Shared).unwrap();
        let writer = Lock::attempt(directory.path(), Sharing::Exclusive).unwrap();

        assert!(matches!(first, Attempt::Locked(_)));
        assert!(matches!(second, Attempt::Locked(_)));
        assert!(matches!(writer, Attempt::Busy));
    }

    #[test]
    fn a_dropped_lock_is_free() {
        let directory = tempfile::tempdir().unwrap();
        drop(Lock::attempt(directory.path(), Sharing::Exclusive).unwrap());
        let next = Lock::attempt(directory.path(), Sharing::Exclusive).unwrap();

        assert!(matches!(next, Attempt::Locked(_)));
    }

    #[test]
    fn what_was_renamed_away_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let attempt = Lock::attempt(&directory.path().join("gone"), Sharing::Shared).unwrap();

        assert!(matches!(attempt, Attempt::Missing));
    }

    #[test]
    fn two_locked_directories_have_two_names() {
        let directory = tempfile::tempdir().unwrap();
        let (first, _lock) = make_locked_directory(directory.path(), "new-").unwrap();
        let (second, _lock) = make_locked_directory(directory.path(), "new-").unwrap();

        assert_ne!(first, second);
    }
}
