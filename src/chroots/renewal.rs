//! Renewal of a base: a new one is made beside it, and then takes its place.
//!
//! ```text
//! CODENAME/ARCHITECTURE/renewed        its time tells when the base was made
//! CODENAME/ARCHITECTURE/renewal/       a chroot that has the new base
//! CODENAME/ARCHITECTURE/renewal/ready  the new base is whole
//! CODENAME/ARCHITECTURE/renewal.lock   locked by who renews
//! ```
//! Until then the old base, if it can be used, is; a renewal that fails changes nothing.
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use backends::Backend;
use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use super::upkeep::Policy;
use super::{Chroots, Error, failed};
use crate::model::{Chroot, Source};

const READY: &str = "ready";

/// Why a base is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Somebody wants it.
    Asked,
    /// It is not what it was when it was made.
    Damaged,
    /// It is gone.
    Missing,
    Old,
}

/// The right to renew one chroot's base, which nobody else has.
#[derive(Debug)]
pub struct Renewal<'a> {
    chroots: &'a Chroots,
    chroot: &'a Chroot,
    _lock: File,
}

impl Chroots {
    /// Tells whether the base should be renewed.
    pub fn needs_renewal(
        &self,
        chroot: &Chroot,
        policy: &Policy,
        now: SystemTime,
    ) -> Result<Option<Reason>, Error> {
        let backend = self.backend(chroot);
        let renewed = self.renewed(chroot);
        if !backend.exists() {
            return Ok(renewed.map(|_time| Reason::Missing));
        }
        match backend.verify(None) {
            Ok(_) => {}
            Err(backends::Error::Damaged { .. }) => return Ok(Some(Reason::Damaged)),
            Err(backends::Error::InUse { .. }) => return Ok(None),
            Err(error) => return Err(failed("verify", chroot)(error)),
        }
        let age = renewed.and_then(|renewed| now.duration_since(renewed).ok());
        let is_old = age
            .zip(policy.base_age)
            .is_some_and(|(age, most)| age > most);
        Ok(is_old.then_some(Reason::Old))
    }

    /// When the base was made.
    pub fn renewed(&self, chroot: &Chroot) -> Option<SystemTime> {
        fs::metadata(self.beside(chroot, "renewed"))
            .and_then(|found| found.modified())
            .ok()
    }

    /// Waits until nobody else renews the base.
    pub fn renewal<'a>(&'a self, chroot: &'a Chroot) -> Result<Renewal<'a>, Error> {
        let path = self.beside(chroot, "renewal.lock");
        let lock = || -> io::Result<File> {
            let lock = File::options().create(true).append(true).open(&path)?;
            retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))?;
            Ok(lock)
        };
        Ok(Renewal {
            chroots: self,
            chroot,
            _lock: lock().map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?,
        })
    }

    pub(super) fn note_renewal(&self, chroot: &Chroot) -> Result<(), Error> {
        write(self.beside(chroot, "renewed"))
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

    fn beside(&self, chroot: &Chroot, name: &str) -> PathBuf {
        let directory = self.home.chroot(&chroot.codename, &chroot.architecture);
        directory.join(name)
    }
}

impl Renewal<'_> {
    /// Tells whether there is a new base.
    pub fn is_made(&self) -> bool {
        self.directory().join(READY).exists()
    }

    /// Makes the new base, unless an earlier renewal did.
    pub fn make(
        &self,
        source: &Source,
        extra: &[(Source, i32)],
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        if self.is_made() {
            return Ok(());
        }
        let (chroots, backend) = (self.chroots, self.backend());
        // An earlier one was broken off.
        backend.remove().map_err(failed("remove", self.chroot))?;
        chroots.bootstrap_in(backend.as_ref(), self.chroot, source, extra, progress)?;
        write(self.directory().join(READY))
    }

    /// Puts the new base in the place of the old one, whose layers go; fails while a session uses it.
    pub fn finish(self) -> Result<(), Error> {
        let (chroots, chroot) = (self.chroots, self.chroot);
        chroots.forget_memo(chroot)?;
        let backend = chroots.backend(chroot);
        let taken = backend.take_over(&self.directory());
        taken.map_err(failed("renew", chroot))?;
        chroots.note_renewal(chroot)
    }

    fn directory(&self) -> PathBuf {
        self.chroots.beside(self.chroot, "renewal")
    }

    fn backend(&self) -> Box<dyn Backend> {
        let directory = self.directory();
        self.chroots.backend_in(self.chroot.backend, directory)
    }
}

fn write(path: PathBuf) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(&path);
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&path, ""))
        .map_err(|source| Error::Write { path, source })
}
