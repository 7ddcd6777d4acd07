//! What was, and the way back to it.
use std::io::{Write, stdout};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::super::confirm::is_confirmed;
use super::{Failure, Instance, print_json, print_table};
use crate::archive::Difference;
use crate::model::Diststr;
use crate::model::snapshot::SnapshotName;

/// Makes a distribution hold what it held at a time; the way back is the same.
#[derive(Args, Debug)]
pub(super) struct Rollback {
    distribution: Diststr,
    /// Like 2026-11-22T05:40Z.
    time: Timestamp,
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
}

/// Lists what is other in a distribution now (or at a later time) than at a time.
#[derive(Args, Debug)]
pub(super) struct Diff {
    distribution: Diststr,
    /// Like 2026-11-22T05:40Z.
    time: Timestamp,
    later: Option<Timestamp>,
    #[arg(long)]
    json: bool,
}

/// Lists changes, newest first, with times that `rollback`, `diff` and apt (as DIST@TIME) take: after the change, and before.
#[derive(Args, Debug)]
pub(super) struct Log {
    /// Only changes of this distribution.
    distribution: Option<Diststr>,
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 50)]
    number: u32,
    #[arg(long)]
    json: bool,
}

/// Keeps what distributions are under names.
#[derive(Debug, Subcommand)]
pub(super) enum Snapshot {
    /// Lists the snapshots of a distribution.
    Ls {
        distribution: Diststr,
        #[arg(long)]
        json: bool,
    },
    /// Keeps what a distribution is now, as the apt source DIST/snapshots/NAME.
    Create {
        distribution: Diststr,
        name: SnapshotName,
    },
    /// Gives up a snapshot.
    Delete {
        distribution: Diststr,
        name: SnapshotName,
    },
}

impl Instance {
    pub(super) fn rollback(&self, options: &Rollback) -> Result<(), Failure> {
        let archive = self.archive_of(&options.distribution)?;
        let differences = self
            .store
            .read(|tx| archive.diff(tx, &options.distribution, options.time, None))?;
        if differences.is_empty() {
            writeln!(stdout(), "{} is as it was", options.distribution)?;
            return Ok(());
        }
        if !options.yes {
            print_differences(&differences, ["now", "then"], true)?;
            ask(&format!("Roll {} back", options.distribution))?;
        }
        let (moment, _) = self
            .repositories
            .roll_back(&options.distribution, options.time)?;
        self.publish()?;
        writeln!(
            stdout(),
            "{} is as it was at {}",
            options.distribution,
            moment.name()
        )?;
        Ok(())
    }

    pub(super) fn diff(&self, options: &Diff) -> Result<(), Failure> {
        let archive = self.archive_of(&options.distribution)?;
        let differences = self
            .store
            .read(|tx| archive.diff(tx, &options.distribution, options.time, options.later))?;
        if options.json {
            let rows = differences.iter().map(|difference| {
                json!({
                    "component": difference.component,
                    "index": difference.index_name,
                    "name": difference.name,
                    "before": difference.before,
                    "after": difference.after,
                })
            });
            return print_json(&rows.collect());
        }
        print_differences(&differences, ["before", "after"], false)
    }

    pub(super) fn log(&self, options: &Log) -> Result<(), Failure> {
        let archives = match &options.distribution {
            Some(diststr) => vec![self.archive_of(diststr)?],
            None => self.repositories.archives()?,
        };
        let mut moments = Vec::new();
        for archive in archives {
            let found = self
                .store
                .read(|tx| archive.moments(tx, options.distribution.as_ref(), options.number))?;
            moments.extend(
                found
                    .into_iter()
                    .map(|moment| (archive.identity().to_string(), moment)),
            );
        }
        moments.sort_by_key(|(_, moment)| std::cmp::Reverse(moment.at));
        moments.truncate(usize::try_from(options.number)?);
        if options.json {
            let rows = moments.iter().map(|(repository, moment)| {
                json!({
                    "time": moment.name(),
                    "before": moment.name_before(),
                    "repository": repository,
                    "action": moment.action,
                })
            });
            return print_json(&rows.collect());
        }
        let at = |time: String| match &options.distribution {
            Some(diststr) => format!("{diststr}@{time}"),
            None => time,
        };
        let mut rows = vec![["after", "before", "repository", "change"].map(str::to_owned)];
        rows.extend(moments.into_iter().map(|(repository, moment)| {
            let [after, before] = [moment.name(), moment.name_before()].map(at);
            [after, before, repository, moment.action]
        }));
        print_table(rows)
    }

    pub(super) fn snapshot(&self, command: &Snapshot) -> Result<(), Failure> {
        match command {
            Snapshot::Ls { distribution, json } => {
                let archive = self.archive_of(distribution)?;
                let snapshots = self.store.read(|tx| archive.snapshots(tx, distribution))?;
                if *json {
                    let rows = snapshots.iter().map(|snapshot| {
                        json!({
                            "name": snapshot.name,
                            "created": snapshot.created.to_string(),
                        })
                    });
                    return print_json(&rows.collect());
                }
                let rows = snapshots
                    .into_iter()
                    .map(|snapshot| [snapshot.name.to_string(), snapshot.created.to_string()]);
                print_table(rows.collect())
            }
            Snapshot::Create { distribution, name } => {
                let archive = self.archive_of(distribution)?;
                let now = Timestamp::now();
                self.store
                    .write(|tx| archive.create_snapshot(tx, distribution, name, now))?;
                self.publish()
            }
            Snapshot::Delete { distribution, name } => {
                let archive = self.archive_of(distribution)?;
                self.store
                    .write(|tx| archive.delete_snapshot(tx, distribution, name))?;
                self.publish()
            }
        }
    }
}

/// One line a package: what it is, its versions at both times.
fn print_differences(
    differences: &[Difference],
    [before, after]: [&str; 2],
    turned: bool,
) -> Result<(), Failure> {
    let versions = |versions: &[String]| match versions {
        [] => "-".to_owned(),
        versions => versions.join(", "),
    };
    let mut rows = vec![["", "package", before, after].map(str::to_owned)];
    rows.extend(differences.iter().map(|difference| {
        let sides = [versions(&difference.before), versions(&difference.after)];
        let [one, other] = sides;
        let [one, other] = if turned { [other, one] } else { [one, other] };
        [
            format!("{}/{}", difference.component, difference.index_name),
            difference.name.clone(),
            one,
            other,
        ]
    }));
    print_table(rows)
}

fn ask(what: &str) -> Result<(), Failure> {
    if is_confirmed(&format!("{what}?")) {
        return Ok(());
    }
    Err("nothing was changed; to go on without being asked, add --yes".into())
}
