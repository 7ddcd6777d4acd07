//! `mini-buildd key export`
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;

use crate::cli::{Failure, home, output};
use crate::keys::KeySet;

/// Prints the public keys that sign the repositories: all of them, while one takes the place of another.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    home: home::Options,
    /// Not armored, as Signed-By files and /etc/apt/trusted.gpg.d/*.gpg of apt before 1.4.
    #[arg(long)]
    binary: bool,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let keys = KeySet::load(&options.home.own()?)?.signing();
    if options.binary {
        let mut output = io::stdout().lock();
        output.write_all(&keys.public_binary()?)?;
        output.flush()?;
    } else {
        output::write(&keys.public_armored()?)?;
    }
    Ok(ExitCode::SUCCESS)
}
