//! Files, and when they are safe: regular files only, hard links where possible, syncs in batches.
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags};

use crate::deb::Checksums;
use crate::fault;

use super::Error;

/// From so many on, one sync of the whole file system is cheaper than one of each.
const MANY: usize = 32;

/// Says what was tried on which file.
pub(super) trait Doing<T> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::File {
            action,
            path: path.to_owned(),
            source: source.into(),
        })
    }
}

/// Opens a regular file; follows no link and waits for no FIFO.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("not a regular file"))
}

pub(super) fn checksums(file: &File) -> io::Result<Checksums> {
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    Checksums::of(&mut file)
}

/// Reads a file of at most `limit` bytes.
pub(super) fn read_bounded(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Gives an open file the name `to`, or a copy of it where the file system allows no link; everyone may read it.
pub(super) fn link_or_copy(file: &File, to: &Path) -> io::Result<()> {
    // Through /proc, so that it is the file that was verified, whatever its name means by now.
    let verified = format!("/proc/self/fd/{}", file.as_raw_fd());
    fault::point("link", to)?;
    match rustix::fs::linkat(CWD, verified, CWD, to, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => {
            let mode = file.metadata()?.mode();
            if mode & 0o444 != 0o444 {
                fault::point("set mode", to)?;
                file.set_permissions(Permissions::from_mode(mode | 0o444))?;
            }
            Ok(())
        }
        Err(rustix::io::Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => {
            let mut from = file;
            from.seek(SeekFrom::Start(0))?;
            let mut copy = create(to)?;
            fault::point("copy", to)?;
            io::copy(&mut from, &mut copy)?;
            Ok(())
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    fault::point("create", path)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
}

pub(super) fn write_new(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut file = create(path)?;
    fault::write(&mut file, path, content)?;
    Ok(file)
}

/// Writes on at the end of a file.
pub(super) fn append(file: &mut File, path: &Path, content: &[u8]) -> Result<(), Error> {
    fault::write(file, path, content).doing("write", path)
}

/// Writes on with a part of another file, without reading it where the kernel can do that.
pub(super) fn copy_range(
    from: &File,
    mut offset: u64,
    (to, path): (&mut File, &Path),
    mut length: u64,
) -> io::Result<()> {
    fault::point("copy", path)?;
    while length > 0 {
        let most = usize::try_from(length).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from, Some(&mut offset), &*to, None, most) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => length -= copied as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(
                rustix::io::Errno::XDEV | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP,
            ) => {
                let mut from = from;
                from.seek(SeekFrom::Start(offset))?;
                let copied = io::copy(&mut from.take(length), to)?;
                if copied < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(super) fn write_new_dated(path: &Path, content: &[u8], modified: SystemTime) -> io::Result<()> {
    let file = write_new(path, content)?;
    fault::point("date", path)?;
    file.set_modified(modified)
}

/// Dates a file or directory.
pub(super) fn date(path: &Path, modified: SystemTime) -> io::Result<()> {
    fault::point("date", path)?;
    File::open(path)?.set_modified(modified)
}

pub(super) fn link(from: &Path, to: &Path) -> io::Result<()> {
    fault::point("link", to)?;
    fs::hard_link(from, to)
}

/// Gives the file another name at once, whatever had it before.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fault::point("rename", to)?;
    fs::rename(from, to)
}

pub(super) fn sync(path: &Path) -> io::Result<()> {
    fault::point("sync", path)?;
    File::open(path)?.sync_all()
}

/// Tells whether both names are of one file.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// Tells whether there is a regular file of this size.
pub(super) fn has_size(path: &Path, size: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == size)
}

/// Removes a file; that it is gone already is fine.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    fault::point("remove", path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes the directories above a removed file that hold nothing else, up to `root`.
pub(super) fn remove_empty_parents(path: &Path, root: &Path) {
    for parent in path.ancestors().skip(1) {
        if parent == root || fs::remove_dir(parent).is_err() {
            return;
        }
    }
}

/// Removes a tree, or what else has its name; that it is gone already is fine.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    fault::point("remove tree", path)?;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => remove_file(path),
        result => result,
    }
}

/// Waits until no other thread or process publishes or cleans; the kernel ends the lock with the file.
pub(super) fn lock(directory: &Path) -> Result<File, Error> {
    let mut unsynced = Unsynced::default();
    unsynced.directory(directory)?;
    unsynced.sync(directory)?;
    let handle = File::open(directory).doing("open", directory)?;
    rustix::fs::flock(&handle, FlockOperation::LockExclusive).doing("lock", directory)?;
    Ok(handle)
}

/// What has to reach the disk before the next step.
#[derive(Default)]
pub(super) struct Unsynced {
    paths: BTreeSet<PathBuf>,
    directories: HashSet<PathBuf>,
}

impl Unsynced {
    /// Notes a file whose content, or a directory whose names, changed.
    pub(super) fn add(&mut self, path: &Path) {
        // Of more, none is named any more.
        if self.paths.len() < MANY && !self.paths.contains(path) {
            self.paths.insert(path.to_owned());
        }
    }

    /// Makes a directory with its parents where they are missing.
    pub(super) fn directory(&mut self, path: &Path) -> Result<(), Error> {
        if self.directories.contains(path) {
            return Ok(());
        }
        let make = || {
            fault::point("make directory", path)?;
            fs::DirBuilder::new().mode(0o755).create(path)
        };
        match make() {
            Ok(()) => {
                if let Some(parent) = path.parent() {
                    self.add(parent);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = path.parent().ok_or(error).doing("make directory", path)?;
                self.directory(parent)?;
                return self.directory(path);
            }
            Err(error) => return Err(error).doing("make directory", path),
        }
        self.directories.insert(path.to_owned());
        Ok(())
    }

    /// Syncs all that was noted; `root` is on the same file system.
    pub(super) fn sync(&mut self, root: &Path) -> Result<(), Error> {
        let paths = std::mem::take(&mut self.paths);
        if paths.len() >= MANY {
            let handle = File::open(root).doing("open", root)?;
            fault::point("sync all", root).doing("sync the file system of", root)?;
            return rustix::fs::syncfs(handle).doing("sync the file system of", root);
        }
        for path in &paths {
            sync(path).doing("sync", path)?;
        }
        Ok(())
    }
}

/// A directory that goes away with its value.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty one, removing what a crash left under this name.
    pub(super) fn fresh(path: PathBuf) -> Result<Scratch, Error> {
        remove_tree(&path).doing("remove", &path)?;
        Unsynced::default().directory(&path)?;
        Ok(Scratch(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "can't remove a scratch directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "content").unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(open_regular(&file).is_ok());
        assert!(open_regular(&link).is_err());
        assert!(open_regular(directory.path()).is_err());
        assert!(open_regular(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn the_verified_file_is_linked_though_its_name_changed_hands() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("name");
        fs::write(&name, "verified").unwrap();
        let file = open_regular(&name).unwrap();
        fs::rename(&name, directory.path().join("moved")).unwrap();
        fs::write(&name, "other").unwrap();
        let to = directory.path().join("to");
        link_or_copy(&file, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "verified");
        assert!(is_same_file(&to, &directory.path().join("moved")));
        assert!(link_or_copy(&file, &to).is_err());
    }

    #[test]
    fn a_file_of_another_file_system_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let file = open_regular(Path::new("/proc/self/status")).unwrap();
        let to = directory.path().join("to");
        link_or_copy(&file, &to).unwrap();
        assert!(fs::read_to_string(&to).unwrap().starts_with("Name:"));
    }

    #[test]
    fn missing_parents_are_made_and_synced() {
        let directory = tempfile::tempdir().unwrap();
        let mut unsynced = Unsynced::default();
        unsynced.directory(&directory.path().join("a/b/c")).unwrap();
        assert!(directory.path().join("a/b/c").is_dir());
        assert!(unsynced.paths.contains(&directory.path().join("a/b")));
        assert!(unsynced.paths.contains(directory.path()));
        unsynced.sync(directory.path()).unwrap();
        assert!(unsynced.paths.is_empty());
    }
}
