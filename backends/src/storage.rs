//! What kinds of storage do differently; `chroot` does the rest.
use std::path::{Path, PathBuf};

use crate::Error;

/// Holds the root of a base or of a snapshot; open to all ids, unlike what it is in.
pub(crate) const TREE: &str = "tree";

/// The root below a directory that holds a tree of its own.
pub(crate) fn root(directory: &Path) -> PathBuf {
    directory.join(TREE).join("root")
}

/// One way to keep bases, layers and snapshots.
pub(crate) trait Storage: Send + Sync {
    /// Tells whether it works here; if not, what is missing and how to get it.
    fn check(&self) -> Result<(), Error>;

    /// Makes `tree`, in which a session makes a new base's root.
    fn make_tree(&self, tree: &Path) -> Result<(), Error>;

    /// Sees to it that a whole base has its tree, for changes.
    fn open_base(&self, base: &Path) -> Result<(), Error>;

    /// Keeps a base's tree: from now on it is whole.
    fn close_base(&self, base: &Path) -> Result<(), Error>;

    /// Makes in the directory `changes` what a snapshot of `below` starts with.
    fn start(&self, below: &Below, changes: &Path) -> Result<Root, Error>;

    /// Makes a snapshot's `changes` complete; tells whether the directory itself may become a layer.
    fn finish(&self, changes: &Path) -> Result<bool, Error>;

    /// Puts what a layer holds of a snapshot's `changes` into the directory `layer`.
    fn copy(&self, changes: &Path, layer: &Path) -> Result<(), Error>;

    /// The file or the tree that is a base's content.
    fn kept_base(&self, base: &Path) -> Result<PathBuf, Error>;

    /// The file or the tree that is a layer's content.
    fn kept_layer(&self, layer: &Path) -> Result<PathBuf, Error>;
}

/// What a snapshot stands on.
#[derive(Clone, Debug)]
pub(crate) struct Below {
    pub(crate) base: PathBuf,
    /// Directories of layers, topmost first.
    pub(crate) layers: Vec<PathBuf>,
}

/// What a session has as its root.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    /// Changes to `lowers`, topmost first, go to `upper`.
    Overlay {
        lowers: Vec<PathBuf>,
        upper: PathBuf,
    },
    /// A whole tree of its own.
    Tree(PathBuf),
}
