//! Finds and makes paths below a root that may set traps.
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2};
use rustix::io::Errno;

/// What a mount point must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
}

pub(crate) fn kind(of: BorrowedFd<'_>) -> io::Result<Kind> {
    let mode = fstat(of)?.st_mode;
    Ok(match FileType::from_raw_mode(mode) {
        FileType::Directory => Kind::Directory,
        _ => Kind::File,
    })
}

/// Opens what is at `path` below `root`; a link on the way, or there, is refused.
pub(crate) fn find(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let path = path.strip_prefix("/").unwrap_or(path);
    // A link in the tree could lead the mount to a place that its name does not show.
    let found = openat2(
        root,
        if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        },
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    // With O_PATH and O_NOFOLLOW a link as last component is opened itself.
    if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Symlink {
        return Err(Errno::LOOP.into());
    }
    Ok(found)
}

/// Opens `path` below `root`, making what is missing.
pub(crate) fn find_or_make(root: BorrowedFd<'_>, path: &Path, kind: Kind) -> io::Result<OwnedFd> {
    match find(root, path) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
        found => return found,
    }
    let relative = path.strip_prefix("/").unwrap_or(path);
    let mut made = PathBuf::new();
    let count = relative.components().count();
    let mut parent = find(root, Path::new("/"))?;
    for (index, component) in relative.components().enumerate() {
        made.push(component);
        let is_last = index + 1 == count;
        let result = if is_last && kind == Kind::File {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(
                &parent,
                component.as_os_str(),
                flags,
                Mode::from_bits_truncate(0o644),
            )
            .map(drop)
        } else {
            mkdirat(
                &parent,
                component.as_os_str(),
                Mode::from_bits_truncate(0o755),
            )
        };
        match result {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        parent = find(root, &made)?;
    }
    Ok(parent)
}

/// Opens a path of the host as the caller sees it.
pub(crate) fn open_host(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(
        CWD.as_fd(),
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}
