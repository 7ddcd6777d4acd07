//! One session's copy of the base, possibly with layers on it.
//!
//! ```text
//! sessions/NAME/          locked by the process that opened it
//! sessions/NAME/root      mount point of an overlay
//! sessions/NAME/layer     the changes; where the storage allows it, a frozen one becomes a layer's directory
//! sessions/NAME/nothing   below a tree that is an overlay only to be `volatile`
//! sessions/NAME/scratch   overlayfs' work directories
//! ```
//! What is in `layer` and `scratch` is made by the session, with its own root's id, so these two are
//! open to all ids; NAME itself is not.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Mount;

use super::Parts;
use crate::layers::Added;
use crate::lock::{Lock, make_locked_directory};
use crate::overlay::{self, overlay};
use crate::storage::{Below, Root};
use crate::{Error, LayerKey, Rootfs, directory};

const CHANGES: &str = "layer";

pub(super) struct Snapshot {
    parts: Arc<Parts>,
    /// `None` when it was thrown away.
    directory: Option<PathBuf>,
    root: Root,
    /// The tree itself, or where it is mounted.
    path: PathBuf,
    parent: Option<LayerKey>,
    _session: Lock,
    _below: Vec<Lock>,
}

impl Snapshot {
    pub(super) fn new(
        parts: Arc<Parts>,
        sessions: &Path,
        below: &Below,
        locks: Vec<Lock>,
        parent: Option<LayerKey>,
    ) -> Result<Snapshot, Error> {
        directory::make_private_all(sessions).map_err(Error::io("make directory", sessions))?;
        let (path, session) = make_locked_directory(sessions, "")?;
        let made = make_directories(&path)
            .map_err(Error::io("make directories in", &path))
            .and_then(|()| parts.storage.start(below, &path.join(CHANGES)));
        let root = match made {
            Ok(root) => root,
            Err(error) => {
                parts.throw_away(&path)?;
                return Err(error);
            }
        };
        let mut snapshot = Snapshot {
            parts,
            root,
            path: path.join("root"),
            directory: Some(path),
            parent,
            _session: session,
            _below: locks,
        };
        if let (Root::Tree(tree), None) = (&snapshot.root, snapshot.mount()) {
            snapshot.path = tree.clone();
        }
        Ok(snapshot)
    }

    fn mount(&self) -> Option<Mount> {
        let directory = self.directory.as_ref()?;
        let scratch = directory.join("scratch");
        match &self.root {
            Root::Overlay { lowers, upper } => Some(overlay(lowers, upper, &scratch)),
            Root::Tree(tree) => overlay::volatile(tree, &directory.join("nothing"), &scratch),
        }
    }

    fn throw_away(&mut self) -> Result<(), Error> {
        match self.directory.take() {
            Some(path) => self.parts.throw_away(&path),
            None => Ok(()),
        }
    }

    /// Makes `changes`, or a copy on the layers' file system, a layer.
    fn add_layer(&self, changes: &Path, layer: &LayerKey) -> Result<(), Error> {
        let layers = &self.parts.layers;
        if layers.exists(layer)? {
            return Ok(());
        }
        let may_move = self.parts.storage.finish(changes)?;
        if may_move && self.add(changes, layer)? != Added::OtherFileSystem {
            return Ok(());
        }
        let (copy, _lock) = make_locked_directory(layers.directory(), "copy-")?;
        let copied = self.parts.storage.copy(changes, &copy);
        match copied.and_then(|()| self.add(&copy, layer)) {
            Ok(Added::Layer) => Ok(()),
            added => {
                self.parts.trash.put(&copy)?;
                added.map(|_exists| ())
            }
        }
    }

    /// Makes `tree` a layer, unless there is one; a broken one in its place goes away.
    fn add(&self, tree: &Path, layer: &LayerKey) -> Result<Added, Error> {
        let layers = &self.parts.layers;
        let parent = self.parent.as_ref();
        let added = layers.add(tree, layer, parent)?;
        if added != Added::Exists || layers.exists(layer)? {
            return Ok(added);
        }
        layers.drop_broken(&self.parts.trash)?;
        layers.add(tree, layer, parent)
    }
}

impl Rootfs for Snapshot {
    fn path(&self) -> &Path {
        &self.path
    }

    fn mounts(&self) -> Vec<Mount> {
        self.mount().into_iter().collect()
    }

    fn freeze(mut self: Box<Self>, layer: &LayerKey) -> Result<(), Error> {
        if let Some(directory) = &self.directory {
            let layers = self.parts.layers.directory();
            directory::make_private_all(layers).map_err(Error::io("make directory", layers))?;
            self.add_layer(&directory.join(CHANGES), layer)?;
            self.parts.settle.wake();
        }
        self.throw_away()
    }

    fn close(mut self: Box<Self>) -> Result<(), Error> {
        self.throw_away()
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Err(error) = self.throw_away() {
            // The next start takes it away.
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "can't remove a session's snapshot");
        }
    }
}

/// Makes what is in a session's directory before it begins.
fn make_directories(session: &Path) -> io::Result<()> {
    directory::make_private(&session.join("root"))?;
    directory::make_open_to_all(&session.join(CHANGES))?;
    directory::make_open_to_all(&session.join("nothing"))?;
    directory::make_open_to_all(&session.join("scratch"))
}
