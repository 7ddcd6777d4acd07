use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Mount;

use super::Parts;
use crate::layers::sync_file_system;
use crate::lock::Lock;
use crate::storage::root;
use crate::{Error, LayerKey, Rootfs, overlay};

/// Beside an unfinished base.
pub(super) const NOTHING: &str = "nothing";
pub(super) const SCRATCH: &str = "scratch";

/// The base itself.
pub(super) struct Source {
    parts: Arc<Parts>,
    /// What holds the tree: `base`, or `base.new` as long as it is not whole.
    directory: PathBuf,
    root: PathBuf,
    /// Where an unfinished base goes when it is whole.
    place: Option<PathBuf>,
    _lock: Lock,
}

impl Source {
    /// The tree in `directory`, which moves to `place` when it is whole.
    pub(super) fn new(
        parts: Arc<Parts>,
        directory: PathBuf,
        place: Option<PathBuf>,
        lock: Lock,
    ) -> Source {
        Source {
            parts,
            root: root(&directory),
            directory,
            place,
            _lock: lock,
        }
    }
}

impl Rootfs for Source {
    fn path(&self) -> &Path {
        &self.root
    }

    fn mounts(&self) -> Vec<Mount> {
        if self.place.is_none() {
            return Vec::new();
        }
        let (nothing, scratch) = (self.directory.join(NOTHING), self.directory.join(SCRATCH));
        overlay::volatile(&self.root, &nothing, &scratch)
            .into_iter()
            .collect()
    }

    fn freeze(self: Box<Self>, _layer: &LayerKey) -> Result<(), Error> {
        Err(Error::NoSnapshot)
    }

    fn close(mut self: Box<Self>) -> Result<(), Error> {
        if self.place.is_some() {
            for name in [NOTHING, SCRATCH] {
                self.parts.trash.put(&self.directory.join(name))?;
            }
        }
        self.parts.storage.close_base(&self.directory)?;
        sync_file_system(&self.directory)?;
        if let Some(place) = &self.place {
            std::fs::rename(&self.directory, place).map_err(Error::io("make base", place))?;
            let parent = place.parent().unwrap_or(place);
            File::open(parent)
                .and_then(|directory| directory.sync_all())
                .map_err(Error::io("sync", parent))?;
        }
        self.place = None;
        let parts = Arc::clone(&self.parts);
        // What is locked is passed over.
        drop(self);
        parts.settle.wake();
        Ok(())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if self.place.is_some()
            && let Err(error) = self.parts.trash.put(&self.directory)
        {
            // The next start takes it away.
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "can't remove an unfinished base chroot");
        }
    }
}
