//! `mini-buildd internals`: what stock lets people do by hand.
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::{Failure, output};
use crate::model::setup_block::{DEFAULT, SETUP_BLOCKS, find};

/// What builders do by themselves, to be seen and done by hand.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows or runs what stock's builders do in a chroot before a build.
    ///
    /// A distribution names them in its field sbuild_setup_blocks. Builders of this program set apt up themselves and run
    /// none of them.
    SbuildSetupBlocks(Blocks),
}

#[derive(Args, Debug)]
struct Blocks {
    /// Without it, all are listed.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(SETUP_BLOCKS.map(|block| block.name)))]
    name: Option<String>,
    /// Print the script.
    #[arg(short = 'C', long, requires = "name")]
    cat: bool,
    /// Run it here and now, as root; meant for the inside of a chroot.
    #[arg(short = 'R', long, requires = "name", conflicts_with = "cat")]
    run: bool,
    /// Directory .config of an unpacked buildrequest, for the blocks that read it.
    #[arg(long, value_name = "DIR", default_value = ".config", requires = "run")]
    config: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("can't run sh for {name}")]
    Shell {
        name: &'static str,
        source: std::io::Error,
    },
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let Action::SbuildSetupBlocks(options) = &options.action;
    let Some(block) = options.name.as_deref().and_then(find) else {
        return listed();
    };
    if options.cat {
        output::write(&format!("#!/bin/sh -e\n{}", block.script))?;
    } else if options.run {
        let status = Command::new("/bin/sh")
            .args(["-e", "-c", block.script, block.name])
            .env("CONFIG", &options.config)
            .status()
            .map_err(|source| Error::Shell {
                name: block.name,
                source,
            })?;
        if !status.success() {
            return Err(format!("{} ended with {status}", block.name).into());
        }
    } else {
        output::write(&format!("{}: {}\n", block.name, block.description))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn listed() -> Result<ExitCode, Failure> {
    let mut text =
        format!("sbuild_setup_blocks, in order, separated by blanks; by default: {DEFAULT}\n\n");
    let names = SETUP_BLOCKS.iter().map(|block| block.name.len());
    let width = names.max().unwrap_or_default();
    for block in &SETUP_BLOCKS {
        let is_default = DEFAULT.split(' ').any(|name| name == block.name);
        let kind = if is_default { "default" } else { "extra" };
        let (name, description) = (block.name, block.description);
        let _ = writeln!(text, "{name:<width$}: [{kind}] {description}");
    }
    output::write(&text)?;
    Ok(ExitCode::SUCCESS)
}
