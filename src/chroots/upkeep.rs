//! Upkeep: what is superfluous goes, what is damaged is made anew, what is old is upgraded.
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use backends::LayerKey;

use super::debs::Debs;
use super::{Chroots, Error, failed};
use crate::model::{Chroot, Source};

/// What is kept for how long.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// After this time without use, a layer goes.
    pub layer_unused: Duration,
    /// After this time without use, a downloaded .deb goes.
    pub deb_unused: Duration,
    /// Bytes that are to be free: else layers go that were used the longest ago.
    pub free: u64,
    /// After this time, a base is upgraded: builds begin with less on top of it.
    pub base_age: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            layer_unused: 14 * DAY,
            deb_unused: 30 * DAY,
            free: 5 << 30,
            base_age: 14 * DAY,
        }
    }
}

/// Why a base is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not what it was when it was made.
    Damaged,
    /// An earlier renewal was broken off.
    Missing,
    Old,
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

    /// Tells whether the base should be renewed.
    pub fn needs_renewal(
        &self,
        chroot: &Chroot,
        policy: &Policy,
        now: SystemTime,
    ) -> Result<Option<Reason>, Error> {
        let backend = self.backend(chroot);
        let renewed = fs::metadata(self.renewed(chroot)).and_then(|found| found.modified());
        if !backend.exists() {
            return Ok(renewed.is_ok().then_some(Reason::Missing));
        }
        match backend.verify(None) {
            Ok(_) => {}
            Err(backends::Error::Damaged { .. }) => return Ok(Some(Reason::Damaged)),
            Err(backends::Error::InUse { .. }) => return Ok(None),
            Err(error) => return Err(failed("verify", chroot)(error)),
        }
        let age = renewed.map(|renewed| now.duration_since(renewed));
        let is_old = age.is_ok_and(|age| age.is_ok_and(|age| age > policy.base_age));
        Ok(is_old.then_some(Reason::Old))
    }

    /// Upgrades an old base, or makes it anew where it is damaged or can't be upgraded.
    ///
    /// Fails while a session uses it.
    pub fn renew(
        &self,
        chroot: &Chroot,
        source: &Source,
        extra: &[(Source, i32)],
        reason: Reason,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let backend = self.backend(chroot);
        if reason == Reason::Old {
            match self.upgrade_base(chroot, source, extra, progress) {
                Err(Error::Rootfs { source, action }) => {
                    return Err(Error::Rootfs { source, action });
                }
                Err(error) => progress(&format!("W: {}", crate::cause::with_causes(&error))),
                Ok(()) => return Ok(()),
            }
        }
        if backend.exists() {
            backend.remove().map_err(failed("remove", chroot))?;
        }
        // The directory went with the base; should this be broken off, the next upkeep goes on.
        self.note_renewal(chroot)?;
        self.bootstrap(chroot, source, extra, progress)
    }

    fn upgrade_base(
        &self,
        chroot: &Chroot,
        source: &Source,
        extra: &[(Source, i32)],
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        progress("I: Upgrading the base...");
        self.prepare_base(chroot, self.backend(chroot).as_ref(), source, extra)?;
        self.forget_memo(chroot)?;
        self.note_renewal(chroot)
    }

    pub(super) fn note_renewal(&self, chroot: &Chroot) -> Result<(), Error> {
        let path = self.renewed(chroot);
        let directory = path.parent().unwrap_or(&path);
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, ""))
            .map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })
    }

    /// Drops what was found out on an earlier base.
    pub(super) fn forget_memo(&self, chroot: &Chroot) -> Result<(), Error> {
        let path = self.memo(chroot);
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::Remove { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Its time tells when the base was made or upgraded last.
    fn renewed(&self, chroot: &Chroot) -> PathBuf {
        let directory = self.home.chroot(&chroot.codename, &chroot.architecture);
        directory.join("renewed")
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
