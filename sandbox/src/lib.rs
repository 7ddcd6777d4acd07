//! Processes in Linux namespaces of their own, without root.
//!
//! Reading order: [`Launcher`] begins a [`Session`]; a session runs [`Process`]es.
mod idmap;
mod launcher;
mod process;
mod session;

pub use idmap::{IdMap, IdRange};
pub use launcher::{Launcher, helper_main};
pub use process::{Exit, Network, Process, Rlimit, Stdio, User};
pub use session::{Running, Session};

/// What went wrong, on what, and where known the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}
