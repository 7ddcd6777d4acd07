//! `mini-buildd setup`: what is configured, as a file that is kept elsewhere.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::configured::{Opened, text};
use super::{Failure, output};
use crate::api::json;
use crate::setup::distributions::Database;
use crate::setup::host_facts;
use crate::setup::inspection::summary;
use crate::setup::run::{Selection, Setup};
use crate::setup::site::Site;

/// Compares what is configured with a file, and applies it.
///
/// Without a file, tells how what is there differs from what would be made of it today. The call `setup` (mini-buildd api
/// setup) does the same by options.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Write all that is configured as such a file to standard output.
    #[arg(long, conflicts_with_all = ["file", "apply"])]
    export: bool,
    /// File in TOML; - is standard input. What it does not name stays as it is.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Write what differs, all of it or nothing, and prepare, check and activate it.
    #[arg(long)]
    apply: bool,
    /// All that stock's call answers, as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: super::home::Options,
    /// Host name in the Origin of Release files, unless a daemon runs, which knows it [default: the system's].
    #[arg(short = 'N', long, value_name = "FQDN")]
    hostname: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{path}: {fault}", path = path.display())]
    Malformed { path: PathBuf, fault: String },
    #[error(
        "{0} items could not be made active; what is said above is to be mended, then: mini-buildd setup --apply …"
    )]
    Failed(usize),
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let opened = Opened::new(&options.home, options.hostname.as_deref())?;
    let (facts, database) = (
        host_facts(opened.lifecycle.hostname.clone())?,
        Database::of_today(),
    );
    let setup = Setup {
        lifecycle: &opened.lifecycle,
        facts: &facts,
        database: &database,
    };
    if options.export {
        output::write(&setup.export()?.to_toml()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let site = match &options.file {
        Some(path) => read(path)?,
        None => setup.present()?,
    };
    let all = if options.apply {
        Selection::All
    } else {
        Selection::None
    };
    let outcome = setup.run(site, &all, &all, &mut |step| eprintln!("{step}"))?;
    if options.json {
        let answer: Value = outcome.to_json();
        output::write(&(json::plain(&answer) + "\n"))?;
    } else {
        let lines = summary(&outcome.instances);
        let rows: Vec<Vec<String>> = lines
            .into_iter()
            .map(|(item, what, differences)| vec![item, what, differences])
            .collect();
        if rows.is_empty() {
            output::write("All is as it should be.\n")?;
        } else {
            output::write(&output::table(&rows))?;
        }
    }
    match outcome.failed.len() {
        0 => Ok(ExitCode::SUCCESS),
        count => Err(Error::Failed(count).into()),
    }
}

fn read(path: &Path) -> Result<Site, Failure> {
    let text = text(path)?;
    Site::parse(&text).map_err(|fault| {
        let path = path.to_owned();
        Error::Malformed { path, fault }.into()
    })
}
