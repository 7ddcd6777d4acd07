//! From a tar stream to a tree, by our own loop: the `tar` crate would make empty files of special ones
//! and follow links; here nothing leads out of the root.
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
    chmodat, chownat, fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, open, openat,
    openat2, symlinkat, utimensat,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::entry::{Fault, MOST_ENTRIES, XATTR, inside, is_kept};

const BLOCK: usize = 64 << 10;

/// Makes the directory `root` of the archive's entries.
pub(super) fn unpack(from: impl Read, root: &Path) -> Result<(), Fault> {
    std::fs::create_dir(root).map_err(Fault::file("make", root))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut unpacking = Unpacking {
        root: open(root, flags, Mode::empty()).map_err(Fault::file("open", root))?,
        parent: None,
        times: Vec::new(),
    };
    let mut archive = Archive::new(from);
    for (number, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        let path = inside(&entry.path()?)?;
        if number >= MOST_ENTRIES {
            let why = "there are too many";
            return Err(Fault::Refused { path, why });
        }
        unpacking.add(&path, &mut entry)?;
    }
    unpacking.set_times()
}

struct Unpacking {
    root: OwnedFd,
    /// The directory that was used last: entries of one follow each other.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Of directories: whatever is made in them changes theirs.
    times: Vec<(PathBuf, Timestamps)>,
}

/// What an entry says of a file beside its content.
struct Attributes {
    owner: Uid,
    group: Gid,
    mode: Mode,
    times: Timestamps,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Attributes {
    fn of(entry: &mut Entry<'_, impl Read>) -> Result<Attributes, Fault> {
        let mut xattrs = Vec::new();
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(XATTR))
                else {
                    continue;
                };
                if is_kept(name) {
                    xattrs.push((name.to_owned(), extension.value_bytes().to_vec()));
                }
            }
        }
        let header = entry.header();
        let time = Timespec {
            tv_sec: i64::try_from(header.mtime()?).unwrap_or(0),
            tv_nsec: 0,
        };
        let id = |id: u64| u32::try_from(id).map_err(io::Error::other);
        Ok(Attributes {
            owner: Uid::from_raw(id(header.uid()?)?),
            group: Gid::from_raw(id(header.gid()?)?),
            mode: Mode::from_bits_truncate(header.mode()? & 0o7777),
            times: Timestamps {
                last_access: time,
                last_modification: time,
            },
            xattrs,
        })
    }

    /// In this order: a new owner takes set-id bits and capabilities away.
    fn set(&self, file: impl AsFd) -> Result<(), Errno> {
        fchown(&file, Some(self.owner), Some(self.group))?;
        fchmod(&file, self.mode)?;
        for (name, value) in &self.xattrs {
            fsetxattr(&file, name.as_str(), value, XattrFlags::empty())?;
        }
        Ok(())
    }
}

impl Unpacking {
    fn add(&mut self, path: &Path, entry: &mut Entry<'_, impl Read>) -> Result<(), Fault> {
        let attributes = Attributes::of(entry)?;
        let kind = entry.header().entry_type();
        let Some(name) = path.file_name() else {
            if kind != EntryType::Directory {
                let why = "the root is a directory";
                let path = path.to_owned();
                return Err(Fault::Refused { path, why });
            }
            self.times.push((path.to_owned(), attributes.times.clone()));
            return attributes
                .set(&self.root)
                .map_err(Fault::file("set up", path));
        };
        let target = match kind {
            EntryType::Link | EntryType::Symlink => entry.link_name()?.map(Cow::into_owned),
            _ => None,
        };
        if kind == EntryType::Directory {
            self.times.push((path.to_owned(), attributes.times.clone()));
        }
        let linked = match &target {
            Some(target) if kind == EntryType::Link => Some(inside(target)?),
            _ => None,
        };
        let linked = linked.map(|to| self.open_parent(&to).map(|parent| (parent, to)));
        let linked = linked.transpose()?;
        let parent = self.parent(path)?;
        let made = match kind {
            EntryType::Directory => make_directory(parent, name, &attributes),
            EntryType::Regular | EntryType::Continuous => {
                make_file(parent, name, entry, &attributes, false)
            }
            EntryType::GNUSparse => make_file(parent, name, entry, &attributes, true),
            EntryType::Symlink => {
                make_symlink(parent, name, target.as_deref().unwrap_or(path), &attributes)
            }
            EntryType::Link => match &linked {
                Some((directory, to)) => make_link(directory, to, parent, name),
                None => Err(Errno::INVAL.into()),
            },
            EntryType::Fifo => make_fifo(parent, name, &attributes),
            // Nobody can make them in a user namespace; a session gets the host's.
            EntryType::Char | EntryType::Block => Ok(()),
            _ => {
                let why = "there are no such files";
                let path = path.to_owned();
                return Err(Fault::Refused { path, why });
            }
        };
        made.map_err(Fault::file("make", path))
    }

    /// The directory that holds `path`.
    fn parent(&mut self, path: &Path) -> Result<BorrowedFd<'_>, Fault> {
        let wanted = path.parent().unwrap_or(Path::new(""));
        let known = self.parent.take().filter(|(path, _)| path == wanted);
        let parent = match known {
            Some(parent) => parent,
            None => (wanted.to_owned(), self.open_parent(path)?),
        };
        Ok(self.parent.insert(parent).1.as_fd())
    }

    fn open_parent(&self, path: &Path) -> Result<OwnedFd, Fault> {
        let parent = path.parent().unwrap_or(Path::new(""));
        self.open_directory(parent)
            .map_err(Fault::file("find", parent))
    }

    fn open_directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = Path::new(".").join(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(&self.root, &path, flags, Mode::empty(), resolve)
    }

    fn set_times(self) -> Result<(), Fault> {
        for (path, times) in self.times.iter().rev() {
            self.open_directory(path)
                .and_then(|directory| futimens(directory, times))
                .map_err(Fault::file("set the time of", path))?;
        }
        Ok(())
    }
}

fn make_directory(parent: BorrowedFd<'_>, name: &OsStr, attributes: &Attributes) -> io::Result<()> {
    mkdirat(parent, name, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(attributes.set(openat(parent, name, flags, Mode::empty())?)?)
}

fn make_file(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    content: &mut impl Read,
    attributes: &Attributes,
    sparse: bool,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
    if sparse {
        copy_sparse(content, &mut file)?;
    } else {
        io::copy(content, &mut file)?;
    }
    attributes.set(&file)?;
    Ok(futimens(file, &attributes.times)?)
}

/// Leaves blocks of zeros out.
fn copy_sparse(content: &mut impl Read, file: &mut File) -> io::Result<()> {
    let zeros = vec![0; BLOCK];
    let mut block = zeros.clone();
    let mut length = 0;
    loop {
        let count = content.read(&mut block)?;
        let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        length += count as u64;
        if zeros.starts_with(read) {
            file.seek(SeekFrom::Start(length))?;
        } else {
            file.write_all(read)?;
        }
    }
    file.set_len(length)
}

fn make_symlink(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    to: &Path,
    attributes: &Attributes,
) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let Attributes { owner, group, .. } = *attributes;
    symlinkat(to, parent, name)?;
    chownat(parent, name, Some(owner), Some(group), flags)?;
    Ok(utimensat(parent, name, &attributes.times, flags)?)
}

fn make_link(
    directory: &OwnedFd,
    to: &Path,
    parent: BorrowedFd<'_>,
    name: &OsStr,
) -> io::Result<()> {
    let to = to.file_name().ok_or(Errno::INVAL)?;
    Ok(linkat(directory, to, parent, name, AtFlags::empty())?)
}

fn make_fifo(parent: BorrowedFd<'_>, name: &OsStr, attributes: &Attributes) -> io::Result<()> {
    let Attributes {
        owner, group, mode, ..
    } = *attributes;
    mknodat(parent, name, FileType::Fifo, Mode::RUSR, 0)?;
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    chownat(parent, name, Some(owner), Some(group), flags)?;
    chmodat(parent, name, mode, AtFlags::empty())?;
    Ok(utimensat(parent, name, &attributes.times, flags)?)
}
