//! Plain directories: a snapshot is an overlay (overlayfs), a layer a frozen upper directory.
//!
//! ```text
//! base/tree/root    the base
//! layers/KEY/upper  the differences
//! ```
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbox::Launcher;

use crate::storage::{Below, Root, Storage, root};
use crate::{Config, Error, directory, overlay, tool};

const UPPER: &str = "upper";

pub(crate) struct Dir {
    pub(crate) config: Config,
    pub(crate) launcher: Arc<Launcher>,
}

impl Storage for Dir {
    fn check(&self) -> Result<(), Error> {
        overlay::check(&self.launcher, &self.config)
    }

    fn make_tree(&self, tree: &Path) -> Result<(), Error> {
        directory::make_open_to_all(tree).map_err(Error::io("make directory", tree))
    }

    fn open_base(&self, _base: &Path) -> Result<(), Error> {
        Ok(())
    }

    fn close_base(&self, _base: &Path) -> Result<(), Error> {
        Ok(())
    }

    fn start(&self, below: &Below, changes: &Path) -> Result<Root, Error> {
        let layers = below.layers.iter().map(|layer| layer.join(UPPER));
        Ok(Root::Overlay {
            lowers: layers.chain([root(&below.base)]).collect(),
            upper: changes.join(UPPER),
        })
    }

    fn finish(&self, changes: &Path) -> Result<bool, Error> {
        let upper = changes.join(UPPER);
        // The first session would have made it.
        if !upper.exists() {
            let mut command = self.launcher.storage_command("mkdir");
            tool::run(command.arg("--mode=755").arg(upper))?;
        }
        Ok(true)
    }

    fn copy(&self, changes: &Path, layer: &Path) -> Result<(), Error> {
        let mut command = self.launcher.storage_command("cp");
        tool::run(
            command
                .args(["-a", "--"])
                .arg(changes.join(UPPER))
                .arg(layer),
        )
    }

    fn kept_base(&self, base: &Path) -> Result<PathBuf, Error> {
        Ok(root(base))
    }

    fn kept_layer(&self, layer: &Path) -> Result<PathBuf, Error> {
        Ok(layer.join(UPPER))
    }
}
