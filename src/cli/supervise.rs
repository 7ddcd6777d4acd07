use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::build::supervisor;

/// Owns one build; the daemon starts it.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Directory of the build.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run(options: &Options) -> ExitCode {
    let code = supervisor::main(&options.directory);
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
