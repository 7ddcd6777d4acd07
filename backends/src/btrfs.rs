//! btrfs: a base is a subvolume, a snapshot a snapshot of it, a layer a kept snapshot.
//!
//! ```text
//! base/tree         a subvolume; the caller's own, else it could not be copied by ordinary users
//! base/tree/root    the base
//! layers/KEY/tree   a snapshot of the base, or of another layer
//! ```
//! Listing subvolumes takes privileges: what is in these places is all there is.
use std::io;
use std::path::{Path, PathBuf};

use sandbox::subvolume;

use crate::lock::make_locked_directory;
use crate::storage::{Below, Root, Storage, TREE, root};
use crate::trash::Trash;
use crate::{Config, Error, directory};

pub(crate) struct Btrfs {
    pub(crate) config: Config,
    pub(crate) trash: std::sync::Arc<Trash>,
}

impl Btrfs {
    /// Makes a subvolume where chroots are and copies it to where sessions are.
    fn try_snapshot(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let (of, copy) = (from.join(TREE), to.join(TREE));
        subvolume::create(&of).map_err(Error::io("make subvolume", &of))?;
        subvolume::snapshot(&of, &copy).map_err(|source| match source.kind() {
            io::ErrorKind::CrossesDevices => Error::OtherBtrfs {
                directory: self.config.directory.clone(),
                sessions: self.config.sessions.clone(),
            },
            _ => Error::io("make snapshot", &copy)(source),
        })
    }
}

impl Storage for Btrfs {
    fn check(&self) -> Result<(), Error> {
        let Config {
            directory: chroot,
            sessions,
            ..
        } = &self.config;
        for path in [chroot, sessions] {
            directory::make_private_all(path).map_err(Error::io("make directory", path))?;
            if !subvolume::is_btrfs(path).map_err(Error::io("look at", path))? {
                return Err(Error::NoBtrfs {
                    directory: path.clone(),
                });
            }
        }
        let (from, _from_lock) = make_locked_directory(chroot, "check-")?;
        let (to, _to_lock) = make_locked_directory(sessions, "check-")?;
        let tried = self.try_snapshot(&from, &to);
        self.trash.put(&from)?;
        self.trash.put(&to)?;
        tried
    }

    fn make_tree(&self, tree: &Path) -> Result<(), Error> {
        subvolume::create(tree)
            .and_then(|()| directory::open_to_all(tree))
            .map_err(Error::io("make subvolume", tree))
    }

    fn open_base(&self, _base: &Path) -> Result<(), Error> {
        Ok(())
    }

    fn close_base(&self, _base: &Path) -> Result<(), Error> {
        Ok(())
    }

    fn start(&self, below: &Below, changes: &Path) -> Result<Root, Error> {
        let of = below.layers.first().unwrap_or(&below.base).join(TREE);
        let tree = changes.join(TREE);
        subvolume::snapshot(&of, &tree).map_err(Error::io("make snapshot", &tree))?;
        Ok(Root::Tree(root(changes)))
    }

    fn finish(&self, _changes: &Path) -> Result<bool, Error> {
        Ok(true)
    }

    fn copy(&self, _changes: &Path, _layer: &Path) -> Result<(), Error> {
        // A snapshot could not have been made across file systems.
        Err(Error::OtherBtrfs {
            directory: self.config.directory.clone(),
            sessions: self.config.sessions.clone(),
        })
    }

    fn kept_base(&self, base: &Path) -> Result<PathBuf, Error> {
        Ok(root(base))
    }

    fn kept_layer(&self, layer: &Path) -> Result<PathBuf, Error> {
        Ok(root(layer))
    }
}
