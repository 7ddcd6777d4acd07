//! Files below a root, found without ever leaving it.
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags};

/// What a path names.
#[derive(Debug)]
pub(super) enum Node {
    File {
        file: File,
        size: u64,
        modified: Timestamp,
    },
    /// Sorted by name.
    Directory(Vec<Entry>),
}

/// Regular file or directory in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) name: OsString,
    /// `None`: a directory.
    pub(super) size: Option<u64>,
    pub(super) modified: Timestamp,
}

/// Opens what the names lead to; links are not followed, and what is neither file nor directory is not found.
pub(super) fn open(root: &Path, names: &[OsString]) -> io::Result<Node> {
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, OFlags::PATH | directory, Mode::empty())?;
    let path = match names {
        [] => OsString::from("."),
        names => names.join(OsStr::from_bytes(b"/")),
    };
    // NONBLOCK: opening a FIFO must not wait for its other end.
    let found = rustix::fs::openat2(
        &root,
        &path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    let file = File::from(found);
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return entries(&file).map(Node::Directory);
    }
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Node::File {
        size: metadata.len(),
        modified: modified(&metadata),
        file,
    })
}

fn entries(directory: &File) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        entries.extend(describe(directory, name)?);
    }
    entries.sort();
    Ok(entries)
}

fn describe(directory: &File, name: &OsStr) -> io::Result<Option<Entry>> {
    let status = match rustix::fs::statat(directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => status,
        // Gone since it was listed.
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let size = match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => u64::try_from(status.st_size).ok(),
        FileType::Directory => None,
        _ => return Ok(None),
    };
    Ok(Some(Entry {
        name: name.to_owned(),
        size,
        modified: Timestamp::from_second(status.st_mtime).unwrap_or(Timestamp::UNIX_EPOCH),
    }))
}

fn modified(metadata: &fs::Metadata) -> Timestamp {
    let time = metadata.modified().ok();
    time.and_then(|time| Timestamp::try_from(time).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(path: &str) -> Vec<OsString> {
        path.split('/').map(OsString::from).collect()
    }

    #[test]
    fn links_are_neither_followed_nor_listed() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        fs::create_dir_all(root.join("d")).unwrap();
        fs::write(place.path().join("secret"), "s").unwrap();
        fs::write(root.join("d/file"), "f").unwrap();
        symlink("../secret", root.join("link")).unwrap();
        symlink("d", root.join("inner")).unwrap();
        symlink("..", root.join("up")).unwrap();
        for path in ["link", "inner/file", "up/secret", "../secret"] {
            assert!(open(&root, &names(path)).is_err(), "{path}");
        }
        let Node::Directory(entries) = open(&root, &[]).unwrap() else {
            panic!("no directory")
        };
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].name, "d");
        assert!(matches!(
            open(&root, &names("d/file")).unwrap(),
            Node::File { size: 1, .. }
        ));
    }

    #[test]
    fn fifo_is_not_found_at_once() {
        let root = tempfile::tempdir().unwrap();
        let fifo = root.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let error = open(root.path(), &names("fifo")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
