//! What others ask of the builder while it works.
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::phases::Spent;
use super::{Error, Parts, upkeep};
use crate::model::Chroot;

#[derive(Clone)]
pub struct Builder {
    pub(super) parts: Arc<Parts>,
    pub(super) slots: Arc<Semaphore>,
}

impl Builder {
    pub fn new(parts: Arc<Parts>) -> Builder {
        Builder {
            slots: Arc::new(Semaphore::new(parts.load.slots())),
            parts,
        }
    }

    /// Queued and running builds per slot, rounded to two digits; -1 when stopped.
    pub fn load(&self) -> f64 {
        self.parts.load.value()
    }

    pub fn start(&self) {
        self.parts.load.start();
    }

    pub fn stop(&self) {
        self.parts.load.stop();
    }

    pub fn slots(&self) -> usize {
        self.parts.load.slots()
    }

    /// Queued and running builds.
    pub fn builds(&self) -> usize {
        self.parts.load.builds()
    }

    /// What phases of builds took since the start, by their names.
    pub fn phases(&self) -> BTreeMap<String, Spent> {
        self.parts.phases.all()
    }

    /// Makes the base of a chroot anew, which then takes the place of the old one as soon as no build runs.
    pub async fn remake(&self, chroot: Chroot) -> Result<(), Error> {
        upkeep::remake(&self.parts, &self.slots, chroot).await
    }
}
