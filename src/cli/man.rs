use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use clap::Args;

use super::Failure;

/// Writes the manual pages of all commands into a directory.
///
/// To read them: mini-buildd man ~/.local/share/man/man1 && man -M ~/.local/share/man mini-buildd
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Directory for the pages; made if it isn't there.
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
    let made = fs::create_dir_all(&options.directory);
    made.and_then(|()| clap_mangen::generate_to(command, &options.directory))
        .map_err(|source| Error {
            directory: options.directory.clone(),
            source,
        })?;
    Ok(ExitCode::SUCCESS)
}
