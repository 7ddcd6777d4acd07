//! Publishes what is dirty, by the keys that sign now; other processes may change both.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use crate::archive;
use crate::keys::KeySet;
use crate::store::event_log;

use super::{Error, Parts};

/// Between two warnings of the same.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Publication {
    parts: Arc<Parts>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Those that signed all that is published.
    keys: Option<Arc<KeySet>>,
    warned: Option<Instant>,
}

impl Publication {
    pub fn new(parts: Arc<Parts>) -> Publication {
        Publication {
            parts,
            known: Mutex::default(),
        }
    }

    /// Publishes every dirty dist, and all that other keys signed, then tells of what is published.
    pub fn publish(&self) -> Result<(), Error> {
        let now = Timestamp::now();
        let known = self.parts.keys.settled(now);
        let keys = known.signing();
        let is_new = !self.is_known(&known);
        // What comes meanwhile, from another process too, may miss this publication.
        let upto = self.parts.store.read(event_log::last)?;
        for repository in self.parts.store.read(archive::repositories)? {
            let archive = self.parts.archive(&repository);
            if is_new {
                archive.resign(&keys)?;
            }
            let published = archive.publish(&keys, now)?;
            if published.is_empty() {
                continue;
            }
            let signers = keys.fingerprints().join(",");
            info!(%repository, dists = published.len(), %signers, "published");
        }
        self.known().keys = Some(known);
        Ok(self.parts.events.flush_published(upto)?)
    }

    /// Tells whether there is something to publish or to tell; once a day it warns of what is coming.
    pub(super) fn is_due(&self) -> Result<bool, Error> {
        let now = Timestamp::now();
        let keys = self.parts.keys.settled(now);
        self.warn(&keys, now);
        let store = &self.parts.store;
        Ok(!self.is_known(&keys)
            || store.read(archive::is_dirty)?
            || store.read(event_log::is_unwritten)?)
    }

    fn is_known(&self, keys: &Arc<KeySet>) -> bool {
        let known = self.known();
        known
            .keys
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, keys))
    }

    fn warn(&self, keys: &KeySet, now: Timestamp) {
        let mut known = self.known();
        if known.warned.is_some_and(|warned| warned.elapsed() < DAY) {
            return;
        }
        known.warned = Some(Instant::now());
        for warning in keys.warnings(now) {
            warn!(remedy = warning.remedy(), "{warning}");
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
