use std::sync::Arc;

use sandbox::Launcher;

use crate::{Access, Backend, Config, Error, Layer, LayerKey, Rootfs};

/// overlayfs on a directory.
pub(crate) struct Dir {
    config: Config,
    launcher: Arc<Launcher>,
}

impl Dir {
    pub(crate) fn new(config: Config, launcher: Arc<Launcher>) -> Self {
        Dir { config, launcher }
    }
}

impl Backend for Dir {
    fn check(&self) -> Result<(), Error> {
        todo!()
    }
    fn exists(&self) -> bool {
        todo!()
    }
    fn create(&self) -> Result<(), Error> {
        todo!()
    }
    fn open(&self, _access: Access, _layer: Option<&LayerKey>) -> Result<Box<dyn Rootfs>, Error> {
        todo!()
    }
    fn layers(&self) -> Result<Vec<Layer>, Error> {
        todo!()
    }
    fn drop_layer(&self, _layer: &LayerKey) -> Result<(), Error> {
        todo!()
    }
    fn remove(&self) -> Result<(), Error> {
        todo!()
    }
    fn clean(&self) -> Result<(), Error> {
        todo!()
    }
}
