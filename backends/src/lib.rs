//! Base chroots, and layers on top of them, on one kind of storage each.
//!
//! A [`Backend`] hands out data, a path and mounts; the sandbox mounts.
//! Several processes may use one chroot at the same time: every lock is flock(2)'s.
//!
//! Reading order: `chroot` is what all backends share, with `layers`, `digest` and `trash`; `storage`
//! says what differs between them: `dir` (with `overlay`), `btrfs` and `file`. `bootstrap` fills a base,
//! with the programs of the host that `host` shows it, under the `personality` of its architecture;
//! `tree_command`, `lock`, `worker`, `directory`, `pace` and `tool` serve them.
pub mod bootstrap;
mod btrfs;
mod chroot;
mod digest;
mod digests;
mod dir;
mod directory;
mod file;
mod host;
mod layers;
mod lock;
mod overlay;
mod pace;
mod personality;
mod storage;
mod tool;
mod trash;
mod tree_command;
mod worker;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use oci_spec::runtime::Mount;
use sandbox::Launcher;
use serde::{Deserialize, Serialize};

pub use bootstrap::{Bootstrap, bootstrap};
pub use file::Compression;
pub use layers::{Claim, Making, superfluous};
pub use personality::set_personality;

/// Keeps base chroots, and layers on top of them, on one kind of storage.
pub trait Backend: Send + Sync {
    /// Tells whether tools, kernel and file system allow this backend here.
    fn check(&self) -> Result<(), Error>;
    /// Tells whether there is a whole base chroot.
    fn exists(&self) -> bool;
    /// Makes an empty base chroot for a bootstrap to fill; what a broken-off one left goes away.
    ///
    /// The base is whole, and `exists`, once the `Rootfs` that this value opens next with
    /// [`Access::Source`] is closed; dropped without, it goes away.
    fn create(&self) -> Result<(), Error>;
    /// Opens the base, or a copy of the base with `layer` on it.
    ///
    /// The base itself is opened while no session uses it, and loses its layers: they hold
    /// differences to what it was.
    fn open(&self, access: Access, layer: Option<&LayerKey>) -> Result<Box<dyn Rootfs>, Error>;
    fn layers(&self) -> Result<Vec<Layer>, Error>;
    /// Tells whether `layer` must be made; waits while another process, or thread, makes it.
    fn claim(&self, layer: &LayerKey) -> Result<Claim, Error>;
    /// Tells whether base, `layer` and those below it are what they were when they were made.
    ///
    /// `false`: the layer is gone and can be made anew. A damaged base is an error, until its layers
    /// are dropped with it. What is verified once is not looked at again by the same value.
    fn verify(&self, layer: Option<&LayerKey>) -> Result<bool, Error>;
    /// Drops a layer and those made on it, unless a session uses one of them.
    fn drop_layer(&self, layer: &LayerKey) -> Result<(), Error>;
    /// Takes the base of the chroot in `directory`, which is of the same kind and on the same file system, in the place
    /// of its own; its layers go.
    ///
    /// Fails while a session uses one of the two bases.
    fn take_over(&self, directory: &Path) -> Result<(), Error>;
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
    ///
    /// For one session: a later one asks again.
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
    /// On disk, in bytes; 0 until it is known.
    pub size: u64,
}

/// Kind of storage, as the administrator names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// overlayfs on directories.
    Dir,
    /// Tar archives.
    File(Compression),
    /// Snapshots of btrfs.
    Btrfs,
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
    Box::new(chroot::Chroot::new(config.clone(), Arc::clone(launcher)))
}

/// Runs the sandbox's helper, a tree command or an answer to debootstrap when `arguments` (without the program name) say so.
///
/// Must be called first thing in `main`, before any thread exists; returns only when not meant.
pub fn helper_main(arguments: impl Iterator<Item = OsString>) {
    let arguments: Vec<OsString> = arguments.collect();
    sandbox::helper_main(arguments.iter().cloned());
    tree_command::main(&arguments);
    bootstrap::pkgdetails::main(&arguments);
}

/// What went wrong, on what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    #[error("can't {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("can't run {command}")]
    StartTool { command: String, source: io::Error },
    #[error("{command}: {status}: {stderr}")]
    Tool {
        command: String,
        status: ExitStatus,
        stderr: String,
    },
    #[error("there is no base chroot in {directory}")]
    NoBase { directory: PathBuf },
    #[error("there is a base chroot in {directory} already")]
    BaseExists { directory: PathBuf },
    #[error("{path} is in use")]
    InUse { path: PathBuf },
    #[error("there is no layer {layer}")]
    NoLayer { layer: LayerKey },
    #[error("layer key {key} is not a hexadecimal digest")]
    LayerKey { key: LayerKey },
    #[error("the base chroot {path} is not what it was when it was made; it must be made anew")]
    Damaged { path: PathBuf },
    #[error("only a snapshot can be frozen, or opened on a layer")]
    NoSnapshot,
    #[error(
        "overlayfs does not work for sessions in {directory}: {said}; \
         have them on ext4, XFS, btrfs or tmpfs, or use the backend file"
    )]
    Overlay { directory: PathBuf, said: String },
    #[error(
        "{directory} is not on btrfs; have the home on one, as root for example: \
         truncate --size=50G IMAGE && mkfs.btrfs IMAGE && \
         mount -o loop,user_subvol_rm_allowed IMAGE DIRECTORY"
    )]
    NoBtrfs { directory: PathBuf },
    #[error("{sessions} is on another file system than {directory}: have both on one btrfs")]
    OtherBtrfs {
        directory: PathBuf,
        sessions: PathBuf,
    },
    #[error("there is no archive in {directory}")]
    NoArchive { directory: PathBuf },
    #[error("can't unpack {path}")]
    Archive { path: PathBuf, source: Box<Error> },
    #[error("debootstrap failed ({exit:?}), see {log}: {said}")]
    Debootstrap {
        exit: sandbox::Exit,
        log: PathBuf,
        /// The last lines of its output.
        said: String,
    },
}

impl Error {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
