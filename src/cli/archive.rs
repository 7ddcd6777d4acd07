//! `mini-buildd archive`: the repositories of an instance from the administrator's shell, beside its daemon.
//!
//! Reading order: `list` answers, `change` and `history` change, `check` verifies and mends.
mod change;
mod check;
mod history;
mod import;
mod list;

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::Value;

use super::{Failure, home};
use crate::archive::ArchiveDir;
use crate::home::Home;
use crate::model::Diststr;
use crate::repositories::{self, Repositories, dists};
use crate::store::Store;

/// Lists and changes what is in the repositories of an instance.
///
/// Works beside a running daemon, by the same rules: each change is all or nothing, is published at once, and is told
/// as an event by the daemon.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    home: home::OfAll,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(list::Ls),
    Show(list::Show),
    Include(change::Include),
    Import(import::Options),
    Copy(change::Copy),
    Migrate(change::Migrate),
    Remove(change::Remove),
    Rollback(history::Rollback),
    Diff(history::Diff),
    Log(history::Log),
    #[command(subcommand)]
    Snapshot(history::Snapshot),
    Publish(Publish),
    Clean(Clean),
    Check(check::Options),
}

/// Publishes what is not yet published.
#[derive(Args, Debug)]
struct Publish {
    /// Publish everything anew, snapshots included.
    #[arg(long)]
    all: bool,
}

/// Forgets past states that are too old, and deletes pool files that nothing names; the daemon does so each hour.
#[derive(Args, Debug)]
struct Clean {}

#[derive(Debug, thiserror::Error)]
#[error("the change is made, but not published; try again with: mini-buildd archive publish")]
struct Unpublished(#[source] repositories::Error);

/// An instance whose repositories are worked on.
struct Instance {
    home: Home,
    store: Arc<Store>,
    repositories: Repositories,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let instance = Instance::open(options.home.own()?)?;
    match &options.command {
        Command::Ls(options) => instance.ls(options),
        Command::Show(options) => instance.show(options),
        Command::Include(options) => instance.include(options),
        Command::Import(options) => return import::run(&instance, options),
        Command::Copy(options) => instance.copy(options),
        Command::Migrate(options) => instance.migrate(options),
        Command::Remove(options) => instance.remove(options),
        Command::Rollback(options) => instance.rollback(options),
        Command::Diff(options) => instance.diff(options),
        Command::Log(options) => instance.log(options),
        Command::Snapshot(command) => instance.snapshot(command),
        Command::Publish(options) => instance.publish_all(options),
        Command::Clean(Clean {}) => instance.clean(),
        Command::Check(options) => return instance.check(options),
    }?;
    Ok(ExitCode::SUCCESS)
}

impl Instance {
    fn open(home: Home) -> Result<Instance, Failure> {
        let store = Arc::new(Store::open(&home.database())?);
        Ok(Instance {
            repositories: Repositories::new(home.clone(), Arc::clone(&store)),
            home,
            store,
        })
    }

    /// Publishes; a change that is made stays made, and the daemon publishes it where this can't.
    fn publish(&self) -> Result<(), Failure> {
        Ok(dists::publish(&self.home, &self.store).map_err(Unpublished)?)
    }

    fn archive_of(&self, diststr: &Diststr) -> Result<ArchiveDir, Failure> {
        let diststr = self.repositories.resolve(&diststr.to_string())?;
        Ok(self.repositories.archive(&diststr.repository))
    }

    fn publish_all(&self, options: &Publish) -> Result<(), Failure> {
        if options.all {
            for archive in self.repositories.archives()? {
                archive.sign_all_anew()?;
            }
        }
        Ok(dists::publish(&self.home, &self.store)?)
    }

    fn clean(&self) -> Result<(), Failure> {
        let now = Timestamp::now();
        self.repositories.expire(now)?;
        self.repositories.clean(now)?;
        Ok(())
    }
}

fn print_json(rows: &Vec<Value>) -> Result<(), Failure> {
    writeln!(stdout(), "{}", serde_json::to_string_pretty(rows)?)?;
    Ok(())
}

/// Columns as wide as their longest word.
fn print_table<const N: usize>(rows: Vec<[String; N]>) -> Result<(), Failure> {
    let mut widths = [0; N];
    for row in &rows {
        for (width, word) in widths.iter_mut().zip(row) {
            *width = word.chars().count().max(*width);
        }
    }
    let mut out = stdout().lock();
    for row in rows {
        let words = row.iter().zip(widths);
        let line: Vec<String> = words
            .map(|(word, width)| format!("{word:width$}"))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}
