//! One session's copy of the base, possibly with layers on it.
//!
//! ```text
//! sessions/NAME/              locked by the process that opened it
//! sessions/NAME/root          mount point of the overlay
//! sessions/NAME/layer/upper   the changes; frozen, `layer` becomes the directory of a layer
//! sessions/NAME/scratch     overlayfs' work directories
//! ```
//! What is in `layer` and `scratch` is made by the session, with its own root's id, so these two are
//! open to all ids; NAME itself is not.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Mount;

use super::Parts;
use super::overlay::overlay;
use crate::layers::{Added, Stack, UPPER};
use crate::lock::{Lock, make_locked_directory};
use crate::{Error, LayerKey, Rootfs, directory, tool};

pub(super) struct Snapshot {
    parts: Arc<Parts>,
    /// `None` when it was thrown away.
    directory: Option<PathBuf>,
    root: PathBuf,
    /// Topmost first.
    lowers: Vec<PathBuf>,
    parent: Option<LayerKey>,
    _session: Lock,
    _below: Vec<Lock>,
}

impl Snapshot {
    pub(super) fn new(
        parts: Arc<Parts>,
        sessions: &Path,
        stack: Stack,
        parent: Option<LayerKey>,
    ) -> Result<Snapshot, Error> {
        directory::make_private_all(sessions).map_err(Error::io("make directory", sessions))?;
        let (path, session) = make_locked_directory(sessions, "")?;
        let snapshot = Snapshot {
            parts,
            root: path.join("root"),
            directory: Some(path.clone()),
            lowers: stack.uppers,
            parent,
            _session: session,
            _below: stack.locks,
        };
        make_directories(&path).map_err(Error::io("make directories in", &path))?;
        Ok(snapshot)
    }

    fn throw_away(&mut self) -> Result<(), Error> {
        match self.directory.take() {
            Some(path) => self.parts.throw_away(&path),
            None => Ok(()),
        }
    }

    /// Makes the directory `tree`, or on another file system a copy of it, a layer.
    fn add_layer(&self, tree: &Path, layer: &LayerKey) -> Result<(), Error> {
        let layers = &self.parts.layers;
        let parent = self.parent.as_ref();
        if layers.exists(layer)? {
            return Ok(());
        }
        match layers.add(tree, layer, parent)? {
            Added::Layer => return Ok(()),
            Added::Exists if layers.exists(layer)? => return Ok(()),
            Added::Exists => {
                layers.drop_broken(&self.parts.trash)?;
                if layers.add(tree, layer, parent)? == Added::Layer {
                    return Ok(());
                }
            }
            Added::OtherFileSystem => {}
        }
        let (copy, _lock) = make_locked_directory(layers.directory(), "copy-")?;
        let mut command = self.parts.launcher.storage_command("cp");
        command.args(["-a", "--"]).arg(tree.join(UPPER)).arg(&copy);
        let added = tool::run(&mut command).and_then(|()| layers.add(&copy, layer, parent));
        match added {
            Ok(Added::Layer) => Ok(()),
            added => {
                self.parts.trash.put(&copy)?;
                added.map(|_exists| ())
            }
        }
    }
}

impl Rootfs for Snapshot {
    fn path(&self) -> &Path {
        &self.root
    }

    fn mounts(&self) -> Vec<Mount> {
        let directory = self.directory.iter();
        directory
            .map(|directory| mount(directory, &self.lowers))
            .collect()
    }

    fn freeze(mut self: Box<Self>, layer: &LayerKey) -> Result<(), Error> {
        if let Some(directory) = &self.directory {
            let tree = directory.join("layer");
            let upper = tree.join(UPPER);
            if !upper.exists() {
                let mut command = self.parts.launcher.storage_command("mkdir");
                tool::run(command.arg("--mode=755").arg(upper))?;
            }
            let layers = self.parts.layers.directory();
            directory::make_private_all(layers).map_err(Error::io("make directory", layers))?;
            self.add_layer(&tree, layer)?;
            self.parts.sync.wake();
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
pub(super) fn make_directories(session: &Path) -> io::Result<()> {
    directory::make_private(&session.join("root"))?;
    directory::make_open_to_all(&session.join("layer"))?;
    directory::make_open_to_all(&session.join("scratch"))
}

/// The root mount of a session in this directory.
pub(super) fn mount(session: &Path, lowers: &[PathBuf]) -> Mount {
    let upper = session.join("layer").join(UPPER);
    overlay(lowers, &upper, &session.join("scratch"))
}
