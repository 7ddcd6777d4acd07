//! `mini-buildd archive`: the repositories of an instance from the administrator's shell, beside its daemon.
mod import;

use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Failure, home};
use crate::archive::{ArchiveDir, Difference, Listed};
use crate::deb::{PackageName, Version};
use crate::home::Home;
use crate::model::Diststr;
use crate::model::snapshot::SnapshotName;
use crate::pgp::SigningKey;
use crate::repositories::Repositories;
use crate::store::Store;

/// Lists and changes what is in the repositories of an instance.
///
/// Works beside a running daemon, by the same rules: each change is all or nothing, is published at once, and is told
/// as an event by the daemon.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    home: home::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(Ls),
    Show(Show),
    Include(Include),
    Import(import::Options),
    Copy(Copy),
    Migrate(Migrate),
    Remove(Remove),
    Rollback(Rollback),
    Diff(Diff),
    Log(Log),
    #[command(subcommand)]
    Snapshot(Snapshot),
    Publish(Publish),
    Clean(Clean),
}

/// Lists source packages with their versions, by distribution.
#[derive(Args, Debug)]
struct Ls {
    /// Only this source package.
    source: Option<PackageName>,
    /// Only this distribution.
    #[arg(short, long, value_name = "DIST")]
    distribution: Option<Diststr>,
    /// Rollbacks too.
    #[arg(short, long)]
    rollbacks: bool,
    #[arg(long)]
    json: bool,
}

/// Shows all about a source package: versions, architectures, where its .dsc is.
#[derive(Args, Debug)]
struct Show {
    source: PackageName,
    #[arg(long)]
    json: bool,
}

/// Installs packages from files into a distribution.
///
/// What was there moves into the rollbacks, as with an upload. Whoever has this shell needs no signature, but the
/// suite's rule for versions holds. May be repeated: what is there already changes nothing.
#[derive(Args, Debug)]
struct Include {
    distribution: Diststr,
    /// .changes, or .dsc with its .debs.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Copies a source package with its binaries into any distribution of the same repository.
#[derive(Args, Debug)]
struct Copy {
    from: Diststr,
    to: Diststr,
    source: PackageName,
    /// Which, where there are several.
    #[arg(short = 'V', long)]
    version: Option<Version>,
}

/// Migrates a source package with its binaries to where its suite migrates; from a rollback, back into its suite.
#[derive(Args, Debug)]
struct Migrate {
    source: PackageName,
    /// From here.
    distribution: Diststr,
    /// Migrate all the way up.
    #[arg(short = 'F', long)]
    full: bool,
    /// Which, where there are several.
    #[arg(short = 'V', long)]
    version: Option<Version>,
}

/// Removes a source package with its binaries: from a suite into its rollbacks, or out of a rollback.
#[derive(Args, Debug)]
struct Remove {
    source: PackageName,
    distribution: Diststr,
    /// Don't keep it in the rollbacks.
    #[arg(long)]
    without_rollback: bool,
    /// Which, where there are several.
    #[arg(short = 'V', long)]
    version: Option<Version>,
}

/// Makes a distribution hold what it held at a time; the way back is the same.
#[derive(Args, Debug)]
struct Rollback {
    distribution: Diststr,
    /// Like 2026-11-22T05:40Z.
    time: Timestamp,
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
}

/// Lists what is other in a distribution now (or at a later time) than at a time.
#[derive(Args, Debug)]
struct Diff {
    distribution: Diststr,
    /// Like 2026-11-22T05:40Z.
    time: Timestamp,
    later: Option<Timestamp>,
    #[arg(long)]
    json: bool,
}

/// Lists changes with their times, newest first; each time is one that `rollback`, `diff` and apt take.
#[derive(Args, Debug)]
struct Log {
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
enum Snapshot {
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

/// Publishes what is not yet published.
#[derive(Args, Debug)]
struct Publish {
    /// Publish everything anew, snapshots included.
    #[arg(long)]
    all: bool,
}

/// Forgets past states that are too old, and deletes pool files that nothing names; the daemon does so each day.
#[derive(Args, Debug)]
struct Clean {}

/// An instance whose repositories are worked on.
struct Instance {
    home: Home,
    store: Arc<Store>,
    repositories: Repositories,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let instance = Instance::open(options.home.home()?)?;
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
    }?;
    Ok(ExitCode::SUCCESS)
}

impl Instance {
    fn open(home: Home) -> Result<Instance, Failure> {
        home.refuse_stock()?;
        if !home.database().is_file() {
            let home = home.root().display();
            return Err(format!(
                "{home} holds no instance; make one with: mini-buildd up --home {home}"
            )
            .into());
        }
        let store = Arc::new(Store::open(&home.database())?);
        Ok(Instance {
            repositories: Repositories::new(home.clone(), Arc::clone(&store)),
            home,
            store,
        })
    }

    /// Publishes; a change that is made stays made, and the daemon publishes it where this can't.
    fn publish(&self) -> Result<(), Failure> {
        let key = SigningKey::load(&self.home.signing_key())?;
        self.repositories.publish(&key, Timestamp::now())?;
        Ok(())
    }

    fn archive_of(&self, diststr: &Diststr) -> Result<ArchiveDir, Failure> {
        let diststr = self.repositories.resolve(&diststr.to_string())?;
        Ok(self.repositories.archive(&diststr.repository))
    }

    fn ls(&self, options: &Ls) -> Result<(), Failure> {
        let mut listed = self.listed(options.source.as_ref(), options.distribution.as_ref())?;
        let is_wanted = |listed: &Listed| {
            let dist = &listed.diststr;
            options.rollbacks
                || dist.rollback.is_none()
                || options.distribution.as_ref() == Some(dist)
        };
        listed.retain(is_wanted);
        if options.json {
            return print_json(&listed.iter().map(about).collect());
        }
        let rows = listed.iter().map(|listed| {
            [
                listed.diststr.to_string(),
                listed.source.to_string(),
                listed.version.to_string(),
                listed.component.to_string(),
                listed.architectures.join(" "),
            ]
        });
        print_table(rows.collect())
    }

    fn listed(
        &self,
        source: Option<&PackageName>,
        distribution: Option<&Diststr>,
    ) -> Result<Vec<Listed>, Failure> {
        let archives = match distribution {
            Some(diststr) => vec![self.archive_of(diststr)?],
            None => self.repositories.archives()?,
        };
        let mut listed = Vec::new();
        for archive in archives {
            listed.extend(self.store.read(|tx| match source {
                Some(source) => archive.list(tx, source),
                None => archive.list_all(tx, distribution),
            })?);
        }
        listed.retain(|listed| distribution.is_none_or(|diststr| listed.diststr == *diststr));
        Ok(listed)
    }

    fn show(&self, options: &Show) -> Result<(), Failure> {
        let listed = self.listed(Some(&options.source), None)?;
        if options.json {
            return print_json(&listed.iter().map(about).collect());
        }
        if listed.is_empty() {
            return Err(format!("{} is in no repository", options.source).into());
        }
        let mut out = stdout().lock();
        for listed in listed {
            writeln!(out, "Distribution: {}", listed.diststr)?;
            writeln!(out, "Source: {}", listed.source)?;
            writeln!(out, "Version: {}", listed.version)?;
            writeln!(out, "Component: {}", listed.component)?;
            writeln!(out, "Architecture: {}", listed.architectures.join(" "))?;
            writeln!(out, "Dsc: {}\n", listed.dsc.display())?;
        }
        Ok(())
    }

    fn include(&self, options: &Include) -> Result<(), Failure> {
        let mut said = Ok(());
        let included =
            self.repositories
                .include(&options.distribution, &options.files, &mut |included| {
                    let state = if included.changed {
                        "installed"
                    } else {
                        "is there already"
                    };
                    let (source, version) = (included.source, included.version);
                    if said.is_ok() {
                        said = writeln!(stdout(), "{source} {version} {state}");
                    }
                });
        // What came before a fault is installed.
        self.publish()?;
        included?;
        Ok(said?)
    }

    fn copy(&self, options: &Copy) -> Result<(), Failure> {
        let copied = self.repositories.copy(
            &options.source,
            [&options.from, &options.to],
            options.version.as_ref(),
        )?;
        self.publish()?;
        let state = if copied.changed {
            "is now"
        } else {
            "is already"
        };
        writeln!(
            stdout(),
            "{} {} {state} in {}",
            options.source,
            copied.version,
            options.to
        )?;
        Ok(())
    }

    fn migrate(&self, options: &Migrate) -> Result<(), Failure> {
        let went = self.repositories.migrate(
            &options.source,
            &options.distribution,
            options.version.as_ref(),
            options.full,
        )?;
        self.publish()?;
        for (diststr, transferred) in went {
            writeln!(
                stdout(),
                "{} {} is now in {diststr}",
                options.source,
                transferred.version
            )?;
        }
        Ok(())
    }

    fn remove(&self, options: &Remove) -> Result<(), Failure> {
        let removed = self.repositories.remove(
            &options.source,
            &options.distribution,
            options.version.as_ref(),
            options.without_rollback,
        )?;
        self.publish()?;
        writeln!(
            stdout(),
            "{} {} is no longer in {}",
            options.source,
            removed.version,
            options.distribution
        )?;
        Ok(())
    }

    fn rollback(&self, options: &Rollback) -> Result<(), Failure> {
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

    fn diff(&self, options: &Diff) -> Result<(), Failure> {
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

    fn log(&self, options: &Log) -> Result<(), Failure> {
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
                    "repository": repository,
                    "action": moment.action,
                })
            });
            return print_json(&rows.collect());
        }
        let rows = moments
            .into_iter()
            .map(|(repository, moment)| [moment.name(), repository, moment.action]);
        print_table(rows.collect())
    }

    fn snapshot(&self, command: &Snapshot) -> Result<(), Failure> {
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

    fn publish_all(&self, options: &Publish) -> Result<(), Failure> {
        if options.all {
            for archive in self.repositories.archives()? {
                self.store.write(|tx| archive.resign(tx))?;
            }
        }
        self.publish()
    }

    fn clean(&self) -> Result<(), Failure> {
        let now = Timestamp::now();
        self.repositories.expire(now)?;
        for archive in self.repositories.archives()? {
            archive.clean(now)?;
        }
        Ok(())
    }
}

fn about(listed: &Listed) -> Value {
    json!({
        "distribution": listed.diststr.to_string(),
        "source": listed.source.as_str(),
        "version": listed.version.as_str(),
        "component": listed.component.as_str(),
        "architectures": listed.architectures,
        "dsc": listed.dsc,
    })
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
    let refused = || Failure::from("nothing was changed; to go on without being asked, add --yes");
    if !stdin().is_terminal() {
        return Err(refused());
    }
    write!(stderr(), "{what}? Type yes: ")?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(refused())
    }
}
