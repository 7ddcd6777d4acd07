//! Base chroots, and layers on top of them, on one kind of storage each.
pub mod bootstrap;
mod dir;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Mount;
use sandbox::Launcher;
use serde::{Deserialize, Serialize};

pub use bootstrap::{Bootstrap, bootstrap};

/// Keeps base chroots, and layers on top of them, on one kind of storage.
pub trait Backend: Send + Sync {
    /// Tells whether tools, kernel and file system allow this backend here.
    fn check(&self) -> Result<(), Error>;
    /// Tells whether there is a whole base chroot.
    fn exists(&self) -> bool;
    /// Makes an empty base chroot for a bootstrap to fill; what a broken-off one left goes away.
    ///
    /// The base is whole, and `exists`, once the `Rootfs` opened with [`Access::Source`] is closed.
    fn create(&self) -> Result<(), Error>;
    /// Opens the base, or a copy of the base with `layer` on it.
    fn open(&self, access: Access, layer: Option<&LayerKey>) -> Result<Box<dyn Rootfs>, Error>;
    fn layers(&self) -> Result<Vec<Layer>, Error>;
    fn drop_layer(&self, layer: &LayerKey) -> Result<(), Error>;
    /// Removes base and layers.
    fn remove(&self) -> Result<(), Error>;
    /// Removes what ended sessions and killed processes left behind; called at start.
    fn clean(&self) -> Result<(), Error>;
}

/// Root file system a session can run in.
pub trait Rootfs: Send {
    /// Root of the tree, as [`oci_spec::runtime::Root`] names it.
    fn path(&self) -> &Path;
    /// Mounts that make up the tree, done by the sandbox in its user namespace, before all others.
    fn mounts(&self) -> Vec<Mount>;
    /// Makes the changes so far a read-only layer that later snapshots start from.
    ///
    /// The session must have ended. When another process made the same layer meanwhile, its is kept.
    fn freeze(self: Box<Self>, layer: &LayerKey) -> Result<(), Error>;
    /// Throws a snapshot away in the background; keeps the changes of [`Access::Source`].
    fn close(self: Box<Self>) -> Result<(), Error>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Changes stay.
    Source,
    /// A copy of its own; changes go away on close.
    Snapshot,
}

/// Name of a layer: hexadecimal digest of what it was made from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LayerKey(pub String);

impl fmt::Display for LayerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Debug)]
pub struct Layer {
    pub key: LayerKey,
    pub parent: Option<LayerKey>,
    pub made: std::time::SystemTime,
    pub used: std::time::SystemTime,
}

/// Kind of storage, as the administrator names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Dir,
}

/// Where one chroot lives.
#[derive(Clone, Debug)]
pub struct Config {
    pub kind: Kind,
    /// Base and layers.
    pub directory: PathBuf,
    /// Snapshots of running sessions; same file system as `directory`, or tmpfs.
    pub sessions: PathBuf,
    /// Where trees wait for their deletion; same file system as `directory`.
    pub trash: PathBuf,
}

pub fn open(config: &Config, launcher: &Arc<Launcher>) -> Box<dyn Backend> {
    match config.kind {
        Kind::Dir => Box::new(dir::Dir::new(config.clone(), Arc::clone(launcher))),
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
}
