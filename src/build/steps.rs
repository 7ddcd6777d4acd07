//! What a build does, step by step.
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backends::Backend;
use sandbox::{Exit, Network, Process, Stdio};

use super::log::Log;
use super::memo::Memo;
use super::package::Kind;
use super::stop::{Step, Stop};
use super::usage::{Phases, Timer};
use super::{Assignment, dependencies, package, results, section, upgraded};
use crate::chroots::{self, Chroots};
use crate::deb::{Changes, Dsc, FileName};
use crate::model::Item;

/// One build and what its steps share.
pub(super) struct Build {
    pub(super) assignment: Assignment,
    pub(super) chroots: Chroots,
    pub(super) backend: Box<dyn Backend>,
    pub(super) log: Log,
    pub(super) memo: Memo,
    pub(super) phases: Phases,
    pub(super) cancelled: Arc<AtomicBool>,
    /// Disk space of the build tree in KiB, once built.
    pub(super) space: Option<u64>,
}

impl Build {
    pub(super) fn new(
        assignment: Assignment,
        chroots: Chroots,
        log: Log,
        cancelled: Arc<AtomicBool>,
    ) -> Build {
        let backend = chroots.backend(&assignment.chroot);
        let memo = chroots.memo(&assignment.chroot);
        Build {
            backend,
            memo: Memo::new(memo),
            assignment,
            chroots,
            log,
            phases: Phases::default(),
            cancelled,
            space: None,
        }
    }

    /// Runs all steps; the name of the .changes in `result/`.
    pub(super) fn run(&mut self, dsc: &Dsc) -> Result<FileName, Stop> {
        let request = &self.assignment.request;
        let Some(kind) = Kind::of(dsc, &request.architecture, request.arch_all) else {
            return Err(Stop::NothingToBuild(request.architecture.to_string()));
        };
        if !self.backend.exists() {
            return Err(Stop::NoChroot(Box::new(self.assignment.chroot.clone())));
        }
        let upgraded = self.phase("update", upgraded::find)?;
        let layer = self.phase("dependencies", |build| {
            dependencies::layer(build, dsc, kind, &upgraded)
        })?;
        self.section("Prepare session")?;
        let session = self.phase("session", |build| {
            let name = build.assignment.chroot.name();
            let on = layer.as_ref().map_or("base", |layer| layer.0.as_str());
            build.log.say(&format!("Chroot {name}, layer {on}\n"))?;
            let session = build.chroots.begin(
                &build.assignment.chroot,
                build.backend.as_ref(),
                layer.as_ref(),
                Network::None,
            )?;
            package::prepare(build, &session, dsc)?;
            Ok(session)
        })?;
        self.phase("unpack", |build| package::unpack(build, &session, dsc))?;
        self.phase("build", |build| package::build(build, &session, dsc, kind))?;
        let changes = self.phase("collect", |build| results::collect(build, &session))?;
        self.phase("contents", |build| {
            package::list_contents(build, &session, &changes)
        })?;
        self.phase("end", |_| Ok(session.close()?))?;
        Ok(results::changes_name(&self.assignment.request))
    }

    /// Times a step; a cancelled build goes no further.
    fn phase<T>(
        &mut self,
        name: &'static str,
        step: impl FnOnce(&mut Build) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let timer = Timer::start(name);
        let outcome = step(self);
        self.phases.done.push(timer.stop());
        self.check_cancelled()?;
        outcome
    }

    pub(super) fn check_cancelled(&self) -> Result<(), Stop> {
        if self.cancelled.load(Ordering::SeqCst) {
            return Err(Stop::Cancelled);
        }
        Ok(())
    }

    pub(super) fn section(&self, title: &str) -> Result<(), Stop> {
        Ok(self.log.say(&section::section(title))?)
    }

    pub(super) fn subsection(&self, title: &str) -> Result<(), Stop> {
        Ok(self.log.say(&section::subsection(title))?)
    }

    /// Runs a process whose output goes into the log.
    pub(super) fn run_logged(
        &self,
        session: &chroots::Session,
        process: &Process,
    ) -> Result<Exit, Stop> {
        let (stdout, flow) = self.log.pump()?.split();
        let stderr = stdout.try_clone().map_err(chroots::Error::Pipe)?;
        let stdio = Stdio {
            stdin: None,
            stdout: Some(stdout),
            stderr: Some(stderr),
        };
        let exit = session.run(process, stdio);
        flow.finish()?;
        Ok(exit?)
    }

    /// Runs a process whose exit code decides whether the build goes on.
    pub(super) fn run_step(
        &self,
        session: &chroots::Session,
        step: Step,
        process: &Process,
    ) -> Result<(), Stop> {
        let exit = self.run_logged(session, process)?;
        succeeded(step, exit)
    }

    /// Runs a process whose output is needed; it goes into the log too.
    pub(super) fn run_for_output(
        &self,
        session: &chroots::Session,
        step: Step,
        process: &Process,
    ) -> Result<String, Stop> {
        let (stderr, flow) = self.log.pump()?.split();
        let output = session.output(process, Some(stderr), 64 << 20);
        flow.finish()?;
        let (exit, output) = output?;
        self.log.say(&output)?;
        succeeded(step, exit)?;
        Ok(output)
    }

    /// A file of the unpacked buildrequest; empty where it has none.
    pub(super) fn configuration(&self, name: &str) -> Result<String, Stop> {
        let path = self.assignment.request_directory();
        let path = path.join(".config").join(name);
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|source| Stop::Read { path, source }),
        }
    }

    /// A file of the source package.
    pub(super) fn path(&self, name: &FileName) -> PathBuf {
        self.assignment.request_directory().join(name.as_str())
    }

    pub(super) fn remember(&self, kind: &str, digest: &str, answer: &str) -> Result<(), Stop> {
        self.memo
            .put(kind, digest, answer)
            .map_err(|source| Stop::Memo {
                path: self.assignment.home.clone(),
                source,
            })
    }
}

fn succeeded(step: Step, exit: Exit) -> Result<(), Stop> {
    if exit.success() {
        Ok(())
    } else {
        Err(Stop::Step { step, exit })
    }
}

/// Names of the files that a .changes lists.
pub(super) fn listed(changes: &Changes) -> impl Iterator<Item = &FileName> {
    changes.files.iter().map(|file| &file.name)
}
