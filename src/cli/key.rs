//! `mini-buildd key`: which keys sign, and how another one takes their place; one file a subcommand.
mod export;
mod import;
mod list;
mod rotate;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

use crate::home::Home;
use crate::keys::{self, KeySet};
use crate::pgp::SigningKey;
use crate::repositories::dists;
use crate::store::Store;

use super::{Failure, output};

/// The keys that sign the repositories: list, replace, import, export.
///
/// Works beside a running daemon, as its user.
#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Options),
    Rotate(rotate::Options),
    Import(import::Options),
    Export(export::Options),
}

/// How long the former key goes on.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
struct Window {
    /// Days for which both keys sign; clients and other instances need the new one by then.
    #[arg(
        long = "window",
        value_name = "DAYS",
        default_value = "30",
        value_parser = clap::value_parser!(u32).range(1..=3650)
    )]
    days: u32,
}

impl Window {
    fn end(self, now: Timestamp) -> Timestamp {
        now + SignedDuration::from_hours(i64::from(self.days) * 24)
    }
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    match &options.command {
        Command::List(options) => list::run(options),
        Command::Rotate(options) => rotate::run(options),
        Command::Import(options) => import::run(options),
        Command::Export(options) => export::run(options),
    }
}

/// Lets a key sign until it takes the place of ours, publishes by it, and says what comes next.
fn begin(home: &Home, key: &SigningKey, until: Timestamp) -> Result<(), Failure> {
    // Homes of earlier versions lack a directory.
    home.create()?;
    keys::begin(home, key, until, Timestamp::now())?;
    publish(home)
}

/// Publishes by the keys of now, and says which ones these are.
fn publish(home: &Home) -> Result<(), Failure> {
    let store = Arc::new(Store::open(&home.database())?);
    dists::publish(home, &store)?;
    output::write(&situation(home.root(), &KeySet::load(home)?))?;
    Ok(())
}

fn situation(root: &Path, keys: &KeySet) -> String {
    let primary = keys.primary().fingerprint();
    let Some(next) = &keys.next else {
        return format!("{primary} signs.\n");
    };
    format!(
        "{primary} and {next} sign until {until}, then {next} alone.\n\
         Clients and other instances need both keys by then: mini-buildd key export --home {root}\n",
        next = next.key.fingerprint(),
        until = next.until.strftime("%F"),
        root = root.display()
    )
}
