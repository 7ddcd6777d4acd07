//! Upkeep: what is superfluous goes.
use std::time::{Duration, SystemTime};

use backends::LayerKey;

use super::debs::Debs;
use super::{Chroots, Error, failed};
use crate::model::Chroot;

/// What is kept for how long.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// After this time without use, a layer goes.
    pub layer_unused: Duration,
    /// After this time without use, a downloaded .deb goes.
    pub deb_unused: Duration,
    /// Bytes that are to be free: else layers go that were used the longest ago.
    pub free: u64,
    /// After this time, a base is made anew: builds begin with less on top of it. `None`: never.
    pub base_age: Option<Duration>,
}

pub const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            layer_unused: 14 * DAY,
            deb_unused: 30 * DAY,
            free: 5 << 30,
            base_age: Some(14 * DAY),
        }
    }
}

impl Chroots {
    /// Drops layers that are not worth their space; those in use stay.
    pub fn drop_superfluous(
        &self,
        chroot: &Chroot,
        policy: &Policy,
        now: SystemTime,
    ) -> Result<Vec<LayerKey>, Error> {
        let backend = self.backend(chroot);
        let layers = backend.layers().map_err(failed("list layers of", chroot))?;
        let missing = policy.free.saturating_sub(self.free()?);
        let superfluous = backends::superfluous(&layers, now, policy.layer_unused, missing);
        let mut dropped = Vec::new();
        for layer in superfluous {
            match backend.drop_layer(&layer) {
                Ok(()) => dropped.push(layer),
                // It went with its parent.
                Err(backends::Error::InUse { .. } | backends::Error::NoLayer { .. }) => {}
                Err(error) => return Err(failed("drop a layer of", chroot)(error)),
            }
        }
        Ok(dropped)
    }

    /// Removes downloaded .debs that no session got for long; how many.
    pub fn drop_debs(&self, policy: &Policy, now: SystemTime) -> Result<usize, Error> {
        let path = self.home.debs();
        Debs::new(path.clone())
            .expire(policy.deb_unused, now)
            .map_err(|source| Error::Remove { path, source })
    }

    fn free(&self) -> Result<u64, Error> {
        let path = self.home.chroots();
        let space = rustix::fs::statvfs(&path).map_err(|errno| Error::Look {
            path,
            source: errno.into(),
        })?;
        Ok(space.f_bavail * space.f_frsize)
    }
}
