//! Tar archives: a snapshot is an unpacked archive, a layer an archive of all that a session left.
//!
//! ```text
//! base/root.tar.EXTENSION        the base
//! base/tree                      there only while the base is being changed
//! layers/KEY/root.tar.EXTENSION  base and differences
//! ```
//! Slower than the others, but it works wherever files can be written: neither overlayfs nor a certain
//! file system is needed, and sessions may be in memory.
//! The base is compressed as configured. Layers are made while a build waits, so they get the fastest.
mod compression;
mod entry;
mod pack;
mod unpack;

use std::ffi::OsStr;
use std::fs::{self, File as OpenFile};
use std::io::{self, BufReader, BufWriter};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbox::Launcher;

use crate::lock::make_locked_directory;
use crate::storage::{Below, Root, Storage, TREE, root};
use crate::trash::Trash;
use crate::tree_command::{self, Role};
use crate::{Config, Error, directory, tool};

pub use compression::Compression;
pub(crate) use entry::Fault;

/// Between a process and an archive.
const BUFFER: usize = 1 << 20;

pub(crate) struct File {
    pub(crate) config: Config,
    pub(crate) compression: Compression,
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) trash: Arc<Trash>,
    /// For sessions on a file system of their own.
    pub(crate) session_trash: Arc<Trash>,
}

impl File {
    fn of_layers(&self) -> Compression {
        match self.compression {
            Compression::None => Compression::None,
            Compression::Gzip | Compression::Bzip2 | Compression::Xz | Compression::Zstd => {
                Compression::Zstd
            }
        }
    }

    /// Packs the root below `tree` into the archive in `directory`, which gets it whole or not at all.
    fn pack(&self, tree: &Path, directory: &Path, compression: Compression) -> Result<(), Error> {
        let path = directory.join(compression.archive());
        let new = directory.join("new.tar");
        let failed = |source| Error::io("make", &new)(source);
        let archive = OpenFile::create(&new).map_err(failed)?;
        let to = archive.try_clone().map_err(failed)?;
        let mut command = tree_command::command(&self.launcher, Role::Pack);
        command.arg(compression.as_str()).arg(tree.join("root"));
        tool::run(command.stdout(to))?;
        archive
            .sync_all()
            .and_then(|()| fs::rename(&new, &path))
            .map_err(Error::io("make", &path))
    }

    /// Unpacks the archive in `directory` as the root below `tree`.
    fn unpack(&self, directory: &Path, tree: &Path) -> Result<(), Error> {
        let (path, compression) = archive(directory)?;
        let from = OpenFile::open(&path).map_err(Error::io("open", &path))?;
        self.make_tree(tree)?;
        let mut command = tree_command::command(&self.launcher, Role::Unpack);
        command.arg(compression.as_str()).arg(tree.join("root"));
        tool::run(command.stdin(from)).map_err(|error| Error::Archive {
            path,
            source: Box::new(error),
        })
    }

    fn try_archive(&self, sessions: &Path) -> Result<(), Error> {
        let (first, second) = (sessions.join("first"), sessions.join("second"));
        self.make_tree(&first)?;
        let mut make = self.launcher.storage_command("mkdir");
        tool::run(make.arg("-p").arg(first.join("root/directory")))?;
        self.pack(&first, sessions, self.compression)?;
        self.unpack(sessions, &second)
    }
}

/// The archive in `directory`; its compression may be another than what is configured by now.
fn archive(directory: &Path) -> Result<(PathBuf, Compression), Error> {
    let mut all = Compression::ALL.into_iter();
    all.find_map(|compression| {
        let path = directory.join(compression.archive());
        path.exists().then_some((path, compression))
    })
    .ok_or_else(|| Error::NoArchive {
        directory: directory.to_owned(),
    })
}

/// Packs the tree at `root` to standard output.
pub(crate) fn pack_here(compression: &OsStr, root: &Path) -> Result<(), Fault> {
    let to = OpenFile::from(io::stdout().as_fd().try_clone_to_owned()?);
    let to = BufWriter::with_capacity(BUFFER, to);
    named(compression)?.write(to, |to| pack::pack(root, to))
}

/// Unpacks standard input as the tree at `root`.
pub(crate) fn unpack_here(compression: &OsStr, root: &Path) -> Result<(), Fault> {
    // Modes are as in the archive.
    rustix::process::umask(rustix::fs::Mode::empty());
    let from = OpenFile::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut from = named(compression)?.reader(BufReader::with_capacity(BUFFER, from))?;
    unpack::unpack(&mut from, root)?;
    // What is behind the archive is checked with it.
    io::copy(&mut from, &mut io::sink())?;
    Ok(())
}

fn named(compression: &OsStr) -> io::Result<Compression> {
    let name = compression.to_string_lossy();
    name.parse().map_err(io::Error::other)
}

impl Storage for File {
    fn check(&self) -> Result<(), Error> {
        let sessions = &self.config.sessions;
        directory::make_private_all(sessions).map_err(Error::io("make directory", sessions))?;
        let (path, _lock) = make_locked_directory(sessions, "check-")?;
        let tried = self.try_archive(&path);
        self.trash.put_or(&path, &self.session_trash)?;
        tried
    }

    fn make_tree(&self, tree: &Path) -> Result<(), Error> {
        directory::make_open_to_all(tree).map_err(Error::io("make directory", tree))
    }

    fn open_base(&self, base: &Path) -> Result<(), Error> {
        // What a process left that was killed while it changed the base.
        self.trash.put(&base.join(TREE))?;
        self.unpack(base, &base.join(TREE))
    }

    fn close_base(&self, base: &Path) -> Result<(), Error> {
        let tree = base.join(TREE);
        self.pack(&tree, base, self.compression)?;
        for other in Compression::ALL {
            let path = base.join(other.archive());
            if other != self.compression && path.exists() {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        self.trash.put(&tree)
    }

    fn start(&self, below: &Below, changes: &Path) -> Result<Root, Error> {
        let of = below.layers.first().unwrap_or(&below.base);
        self.unpack(of, &changes.join(TREE))?;
        Ok(Root::Tree(root(changes)))
    }

    fn finish(&self, _changes: &Path) -> Result<bool, Error> {
        Ok(false)
    }

    fn copy(&self, changes: &Path, layer: &Path) -> Result<(), Error> {
        self.pack(&changes.join(TREE), layer, self.of_layers())
    }

    fn kept_base(&self, base: &Path) -> Result<PathBuf, Error> {
        Ok(archive(base)?.0)
    }

    fn kept_layer(&self, layer: &Path) -> Result<PathBuf, Error> {
        Ok(archive(layer)?.0)
    }
}
