use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::{Failure, output};

/// Writes a completion script for a shell to standard output.
///
/// For bash: mini-buildd completion bash > ~/.local/share/bash-completion/completions/mini-buildd
#[derive(Args, Debug)]
pub(super) struct Options {
    shell: Shell,
}

pub(super) fn run(options: &Options, command: &mut clap::Command) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, command, "mini-buildd", &mut script);
    output::write(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
