//! Runs a host command; an error carries the command line and what it said.
use std::process::{Command, Output};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("can't run {command}")]
    Start {
        command: String,
        source: std::io::Error,
    },
    #[error("{command} ended with {status}: {stderr}")]
    Failed {
        command: String,
        status: std::process::ExitStatus,
        stderr: String,
    },
}

/// Runs to the end with closed stdin; anything but success is an error.
pub fn run(_command: &mut Command) -> Result<Output, Error> {
    todo!()
}
