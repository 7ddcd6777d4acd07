//! The process that owns a running build: started in a session of its own (setsid), it outlives the daemon and ends
//! with the build. It holds a lock in the build's directory; the kernel frees it when the process ends.
use std::path::Path;
use std::process::Child;

use super::{Assignment, Verdict};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

/// What a directory tells about its build.
#[derive(Debug)]
pub enum State {
    /// No supervisor ever ran, or it died before its verdict.
    NotRunning,
    Running,
    Ended(Box<Verdict>),
}

/// Writes the assignment and starts the supervisor (this program again).
pub fn start(_assignment: &Assignment) -> Result<Child, Error> {
    todo!()
}

pub fn state(_directory: &Path) -> Result<State, Error> {
    todo!()
}

/// Waits until no supervisor holds the directory; its verdict if it left one. Synchronous.
pub fn wait(_directory: &Path) -> Result<Option<Verdict>, Error> {
    todo!()
}

/// The supervisor's own main function: runs the assignment of `directory`, returns the exit code.
pub fn main(_directory: &Path) -> i32 {
    todo!()
}
