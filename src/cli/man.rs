use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;

/// Writes the manual pages of all commands into a directory.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("can't write manual pages into {directory}")]
struct Error {
    directory: PathBuf,
    source: io::Error,
}

pub(super) fn run(options: &Options, command: clap::Command) -> Result<ExitCode, Failure> {
    clap_mangen::generate_to(command, &options.directory).map_err(|source| Error {
        directory: options.directory.clone(),
        source,
    })?;
    Ok(ExitCode::SUCCESS)
}
