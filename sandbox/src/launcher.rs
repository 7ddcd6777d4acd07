use std::path::PathBuf;
use std::process::Command;

use oci_spec::runtime::Spec;

use crate::{Error, IdMap, Session};

/// Starts sessions: the helper program and the ids they get.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// Program that calls [`helper_main`] when its first argument is `sandbox-helper`.
    pub helper: PathBuf,
    pub ids: IdMap,
}

impl Launcher {
    /// Starts holder and init, makes namespaces and mounts.
    ///
    /// An overlay's missing upper and work directories are made; their parent must be writable for all.
    pub fn begin(&self, _spec: &Spec) -> Result<Session, Error> {
        todo!()
    }

    /// A host program that will run as root of a user namespace, in the host's file system view,
    /// where the ids of the sessions and the caller's own are mapped:
    /// for making, syncing and deleting the trees that sessions live in.
    pub fn storage_command(&self, _program: &str) -> Command {
        todo!()
    }
}

/// Runs the helper's part when `arguments` (without the program name) begin with `sandbox-helper`.
///
/// Must be called first thing in `main`, before any thread exists; returns only when not meant.
pub fn helper_main(_arguments: impl Iterator<Item = std::ffi::OsString>) {
    todo!()
}
