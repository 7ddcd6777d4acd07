//! What a base or a layer is known by, in a file beside it.
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::digest::Digest;
use crate::layers::boot;

pub(crate) const DIGESTS: &str = "digests";
/// After this time all is read again.
const OLD: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digests {
    pub(crate) state: String,
    pub(crate) content: String,
    /// On disk, in bytes.
    size: u64,
    /// When all was read last, and in which boot (random(4), boot_id).
    read: SystemTime,
    boot: String,
}

impl Digests {
    pub(crate) fn are_old(&self, now: SystemTime, boot: &str) -> bool {
        // A clock that was put back makes them old.
        self.boot != boot || now.duration_since(self.read).is_ok_and(|age| age > OLD)
    }

    /// What a tree that was read just now is known by.
    pub(crate) fn now(state: Digest, content: Digest) -> Result<Digests, Error> {
        Ok(Digests {
            state: state.hash,
            size: content.size,
            content: content.hash,
            read: SystemTime::now(),
            boot: boot()?,
        })
    }

    pub(crate) fn read(directory: &Path) -> Option<Digests> {
        serde_json::from_slice(&fs::read(directory.join(DIGESTS)).ok()?).ok()
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(DIGESTS);
        let new = directory.join(format!("{DIGESTS}.{}", std::process::id()));
        let text = serde_json::to_vec(self).map_err(std::io::Error::from);
        text.and_then(|text| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(Error::io("write", &path))
    }
}

/// Size on disk of the layer in `directory`; 0 until it is known.
pub(crate) fn size(directory: &Path) -> u64 {
    Digests::read(directory).map_or(0, |digests| digests.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_read_once_a_boot_and_once_a_week() {
        let now = SystemTime::now();
        let digests = Digests {
            state: String::new(),
            content: String::new(),
            size: 0,
            read: now,
            boot: "this".to_owned(),
        };
        assert!(!digests.are_old(now, "this"));
        assert!(digests.are_old(now, "next"));
        assert!(digests.are_old(now + OLD + Duration::from_secs(1), "this"));
    }
}
