//! Whether all is as it should be, and what is done where it isn't.
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::super::progress::Progress;
use super::{Failure, Instance, print_json};
use crate::archive::{ArchiveDir, Problem, Told, check_database};
use crate::deb::Checksums;
use crate::keys::KeySet;
use crate::model::Diststr;
use crate::pgp::SigningKeys;

/// A repaired file may bring to light what its fault had hidden.
const ROUNDS: usize = 3;

/// Verifies every sum, signature and reference; mends what can be mended.
///
/// Reads everything: the database, the pool, what is published, snapshots. Works beside a running daemon. Lists what
/// is wrong on standard output, each with what can be done; the exit status is 1 while anything is.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Only these distributions (with their packages) and repositories.
    #[arg(value_name = "DIST|REPOSITORY")]
    only: Vec<String>,
    /// Mend: make published files anew, read packages anew, take lost files from where else they are, delete what is
    /// left over for more than a day. Nothing that a package needs is deleted.
    #[arg(long)]
    repair: bool,
    /// Take lost files from this directory too.
    #[arg(long, value_name = "DIR", requires = "repair")]
    from: Vec<PathBuf>,
    #[arg(long)]
    json: bool,
}

/// A repository, or one distribution of it, and what is wrong there.
struct Target {
    archive: ArchiveDir,
    diststr: Option<Diststr>,
    problems: Vec<Problem>,
}

impl Instance {
    pub(super) fn check(&self, options: &Options) -> Result<ExitCode, Failure> {
        let keys = KeySet::load(&self.home)?.signing();
        let mut progress = Progress::new();
        let mut targets = self.targets(&options.only)?;
        let mut rounds = if options.repair { ROUNDS } else { 0 };
        let database = loop {
            let database = check_database(&self.store)?;
            for target in &mut targets {
                target.check(&keys, &mut progress, options.repair)?;
            }
            let is_sound = targets.iter().all(|target| target.problems.is_empty());
            if rounds == 0 || is_sound || !self.repair(&targets, options, &keys, &mut progress)? {
                break database;
            }
            rounds -= 1;
        };
        let problems: Vec<(&str, &Problem)> = database
            .iter()
            .map(|problem| ("", problem))
            .chain(targets.iter().flat_map(Target::named))
            .collect();
        print(&problems, options.json)?;
        for target in &targets {
            for diststr in target.archive.unpublished()? {
                if target.diststr.as_ref().is_none_or(|only| *only == diststr) {
                    let what = format!("{diststr} is not yet published as it is");
                    writeln!(
                        stderr(),
                        "{what}; without a daemon: mini-buildd archive publish"
                    )?;
                }
            }
        }
        Ok(if problems.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn targets(&self, only: &[String]) -> Result<Vec<Target>, Failure> {
        let mut archives = self.repositories.archives()?;
        let target = |archive, diststr| Target {
            archive,
            diststr,
            problems: Vec::new(),
        };
        if only.is_empty() {
            let all = archives.into_iter().map(|archive| target(archive, None));
            return Ok(all.collect());
        }
        let mut targets = Vec::new();
        for name in only {
            let is_named = |archive: &ArchiveDir| archive.identity().as_str() == name;
            if let Some(position) = archives.iter().position(is_named) {
                targets.push(target(archives.swap_remove(position), None));
            } else {
                let diststr = self.repositories.resolve(name)?;
                let archive = self.repositories.archive(&diststr.repository);
                targets.push(target(archive, Some(diststr)));
            }
        }
        Ok(targets)
    }

    /// Tells whether anything was mended.
    fn repair(
        &self,
        targets: &[Target],
        options: &Options,
        keys: &SigningKeys,
        progress: &mut Progress,
    ) -> Result<bool, Failure> {
        progress.begin("repair", "Repair");
        let problems = targets.iter().flat_map(|target| &target.problems);
        let wanted: Vec<Checksums> = problems.filter_map(Problem::wanted).cloned().collect();
        let found = self.repositories.search(&wanted, &options.from);
        let mut mended = 0;
        for target in targets {
            if !target.problems.is_empty() {
                let now = Timestamp::now();
                mended += target.archive.repair(&target.problems, &found, keys, now)?;
            }
        }
        progress.end(&format!("{mended} mended"));
        Ok(mended > 0)
    }
}

impl Target {
    /// Finds out what is wrong; `aloud` says it at once, for what is mended is not listed at the end.
    fn check(
        &mut self,
        keys: &SigningKeys,
        progress: &mut Progress,
        aloud: bool,
    ) -> Result<(), Failure> {
        let name = match &self.diststr {
            Some(diststr) => diststr.to_string(),
            None => self.archive.identity().to_string(),
        };
        progress.begin("check", &format!("Checking {name}"));
        let mut phase = "";
        let mut tell = |told: Told<'_>| match told {
            Told::Phase(title) => phase = title,
            Told::At(what) => progress.detail(&format!("{phase}: {what}")),
            Told::Problem(Problem { subject, fault, .. }) if aloud => {
                progress.note(&format!("{subject}: {fault}"));
            }
            Told::Problem(_) => {}
        };
        let now = Timestamp::now();
        let checked = self
            .archive
            .check(self.diststr.as_ref(), keys, now, &mut tell);
        self.problems = checked?;
        progress.end(&match self.problems.len() {
            0 => "nothing is wrong".to_owned(),
            1 => "1 problem".to_owned(),
            number => format!("{number} problems"),
        });
        Ok(())
    }

    fn named(&self) -> impl Iterator<Item = (&str, &Problem)> {
        let name = self.archive.identity().as_str();
        self.problems.iter().map(move |problem| (name, problem))
    }
}

fn print(problems: &[(&str, &Problem)], json: bool) -> Result<(), Failure> {
    if json {
        let rows = problems.iter().map(|(repository, problem)| {
            json!({
                "repository": (!repository.is_empty()).then_some(repository),
                "subject": problem.subject,
                "fault": problem.fault,
                "remedy": problem.remedy,
            })
        });
        return print_json(&rows.collect());
    }
    let mut out = stdout().lock();
    for (repository, problem) in problems {
        let place = if repository.is_empty() {
            "instance"
        } else {
            repository
        };
        let Problem {
            subject,
            fault,
            remedy,
            ..
        } = problem;
        writeln!(out, "{place}: {subject}: {fault}\n    {remedy}")?;
    }
    Ok(())
}
