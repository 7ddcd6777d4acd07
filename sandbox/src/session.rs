use std::fs::File;
use std::path::Path;

use crate::{Error, Exit, Process, Stdio};

/// Namespaces and mounts that outlive the processes run in them; dropping ends all of it.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// Starts a process; several may run side by side.
    pub fn run(&self, _process: &Process, _stdio: Stdio) -> Result<Running, Error> {
        todo!()
    }

    /// Opens a regular file below the session's root for reading, following no link on the way.
    pub fn open(&self, _path: &Path) -> Result<File, Error> {
        todo!()
    }

    /// Kills all processes and waits until the kernel has taken the namespaces down.
    pub fn end(self) -> Result<(), Error> {
        todo!()
    }
}

/// A process that was started in a session; the session's end ends it.
#[derive(Debug)]
pub struct Running {}

impl Running {
    pub fn wait(self) -> Result<Exit, Error> {
        todo!()
    }

    pub fn kill(&self, _signal: i32) -> Result<(), Error> {
        todo!()
    }
}
