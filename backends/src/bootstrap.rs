//! debootstrap, unpatched, into a base chroot, inside a session.
use std::path::PathBuf;

use sandbox::Launcher;

use crate::{Backend, Error};

/// What to bootstrap, from where.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    pub codename: String,
    pub architecture: String,
    /// URI of the archive.
    pub mirror: String,
    /// Keyring file that the archive's signature is checked against.
    pub keyring: PathBuf,
    /// debootstrap's variant; a build chroot is `buildd`.
    pub variant: String,
    pub components: Vec<String>,
    /// Extra options for debootstrap.
    pub options: Vec<String>,
    /// Where downloaded .debs are kept for the next time.
    pub cache: PathBuf,
    /// Where debootstrap's output goes.
    pub log: PathBuf,
}

/// Makes the base chroot of `backend`; `progress` gets each of debootstrap's `I: …` messages.
pub fn bootstrap(
    _launcher: &Launcher,
    _backend: &dyn Backend,
    _what: &Bootstrap,
    _progress: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    todo!()
}
