//! Subvolumes of btrfs, as ordinary users may make, copy and delete them (btrfs-subvolume(8)).
//!
//! Only the owner of a subvolume's top directory may copy it; that is the caller, no id of a session.
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, open, statfs};

use crate::syscall::{self, Subvolume};

/// Inode number of every subvolume's top directory (btrfs_tree.h, BTRFS_FIRST_FREE_OBJECTID).
const TOP: u64 = 256;

/// Tells whether there is a btrfs at `path` (statfs(2), BTRFS_SUPER_MAGIC).
pub fn is_btrfs(path: &Path) -> io::Result<bool> {
    Ok(statfs(path)?.f_type.cast_unsigned() == 0x9123_683e)
}

/// Tells whether `path` is the top directory of a subvolume.
pub fn is_subvolume(path: &Path) -> io::Result<bool> {
    let directory = directory(path)?;
    Ok(fstat(&directory)?.st_ino == TOP && is_btrfs(path)?)
}

/// Makes an empty subvolume that belongs to the caller.
pub fn create(path: &Path) -> io::Result<()> {
    let (parent, name) = place(path)?;
    syscall::subvolume(parent.as_fd(), Subvolume::Create, &name)
}

/// Makes `path` a writable copy of the subvolume `of`; subvolumes below it are empty directories there.
pub fn snapshot(of: &Path, path: &Path) -> io::Result<()> {
    let of = directory(of)?;
    let (parent, name) = place(path)?;
    syscall::subvolume(parent.as_fd(), Subvolume::Copy(of.as_raw_fd()), &name)
}

/// Deletes a subvolume with all in it, at once; the kernel frees its blocks later.
///
/// Ordinary users need the mount option `user_subvol_rm_allowed`.
pub fn delete(path: &Path) -> io::Result<()> {
    let (parent, name) = place(path)?;
    syscall::subvolume(parent.as_fd(), Subvolume::Delete, &name)
}

fn place(path: &Path) -> io::Result<(File, CString)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    Ok((directory(parent)?, CString::new(name.as_bytes())?))
}

fn directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(open(path, flags, Mode::empty())?.into())
}
