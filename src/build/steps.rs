//! What a build does, step by step.
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backends::{Backend, LayerKey};
use sandbox::{Ending, Exit, Network, Process, Stdio};

use super::log::Log;
use super::memo::Memo;
use super::online::Online;
use super::package::Kind;
use super::stop::{Step, Stop};
use super::usage::{Phases, Timer};
use super::watch::{self, Watch};
use super::{Assignment, dependencies, package, results, section, upgraded};
use crate::chroots::{self, Chroots};
use crate::deb::{Changes, Dsc, FileName};
use crate::fetch::Client;
use crate::model::{Item, Quirks};

/// The request's file with the certificate of the packager's HTTP server; empty where that speaks no TLS.
pub(super) const SSL_CERT: &str = "ssl_cert";

/// One build and what its steps share.
pub(super) struct Build {
    pub(super) assignment: Assignment,
    pub(super) chroots: Chroots,
    pub(super) backend: Box<dyn Backend>,
    pub(super) log: Log,
    pub(super) memo: Memo,
    pub(super) quirks: Quirks,
    pub(super) phases: Phases,
    pub(super) watch: Watch,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) online: Online,
    /// Of the session that the package was built in.
    pub(super) ending: Option<Ending>,
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
        let limits = &assignment.limits;
        let chroots = chroots.with_limits(sandbox::Limits {
            memory: watch::memory(limits),
            processes: Some(limits.processes),
            cpu_weight: Some(limits.cpu_weight),
            io_weight: Some(limits.io_weight),
        });
        let watch = Watch::begin(limits.clone(), chroots.clone());
        let backend = chroots.backend(&assignment.chroot);
        let memo = chroots.memo(&assignment.chroot);
        Build {
            backend,
            memo: Memo::new(memo),
            quirks: chroots.quirks(&assignment.chroot),
            assignment,
            chroots,
            log,
            phases: Phases::default(),
            watch,
            cancelled,
            online: Online::default(),
            ending: None,
            space: None,
        }
    }

    /// Runs all steps; the name of the .changes in `result/`.
    pub(super) fn run(&mut self, dsc: &Dsc) -> Result<FileName, Stop> {
        let request = &self.assignment.request;
        let Some(kind) = Kind::of(dsc, &request.subject.architecture, request.arch_all) else {
            return Err(Stop::NothingToBuild(
                request.subject.architecture.to_string(),
            ));
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
            let session = build.begin(layer.as_ref(), Network::None)?;
            build
                .log
                .say(&format!("Limits: {}\n", build.limits_of(&session)))?;
            package::prepare(build, &session, dsc)?;
            Ok(session)
        })?;
        self.phase("unpack", |build| package::unpack(build, &session, dsc))?;
        self.phase("build", |build| package::build(build, &session, dsc, kind))?;
        let changes = self.phase("collect", |build| results::collect(build, &session))?;
        self.phase("contents", |build| {
            package::list_contents(build, &session, &changes)
        })?;
        self.phase("end", |build| {
            build.ending = session.close()?;
            Ok(())
        })?;
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

    /// Begins a session that the build's limits hold for.
    pub(super) fn begin(
        &self,
        layer: Option<&LayerKey>,
        network: Network,
    ) -> Result<chroots::Session, Stop> {
        let session = self.chroots.begin(
            &self.assignment.chroot,
            self.backend.as_ref(),
            layer,
            network,
        )?;
        self.watch.follow(&session);
        Ok(session)
    }

    /// All limits and what holds the session to them.
    fn limits_of(&self, session: &chroots::Session) -> String {
        let limits = &self.assignment.limits;
        format!(
            "{}, disk {} MiB, of which {} MiB stay free, wall time {} s, silence {} s, results {} MiB, log {} MiB",
            session.in_force(),
            limits.disk_mib,
            limits.free_disk_mib,
            limits.wall_seconds,
            limits.silence_seconds,
            limits.output_mib,
            limits.log_mib
        )
    }

    /// Runs a process whose output goes into the log.
    pub(super) fn run_logged(
        &self,
        session: &chroots::Session,
        process: &Process,
    ) -> Result<Exit, Stop> {
        Ok(self.run_counted(session, process)?.0)
    }

    /// Runs a process whose output goes into the log; tells also how often it wanted to leave its own network.
    pub(super) fn run_counted(
        &self,
        session: &chroots::Session,
        process: &Process,
    ) -> Result<(Exit, u64), Stop> {
        let (stdout, flow) = self.log.pump(self.watch.ear())?.split();
        let stderr = stdout.try_clone().map_err(chroots::Error::Pipe)?;
        let stdio = Stdio {
            stdin: None,
            stdout: Some(stdout),
            stderr: Some(stderr),
        };
        self.watch.listen();
        let ended = session.start(process, stdio).and_then(|running| {
            let network = running.network();
            let exit = session.wait(process, running)?;
            if !exit.success() {
                self.watch.look();
            }
            Ok((exit, network.without_route()))
        });
        self.watch.stop_listening();
        flow.finish()?;
        Ok(ended?)
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
        let (stderr, flow) = self.log.pump(self.watch.ear())?.split();
        let output = session.output(process, Some(stderr), 64 << 20);
        flow.finish()?;
        let (exit, output) = output?;
        self.log.say(&output)?;
        succeeded(step, exit)?;
        Ok(output)
    }

    /// Why a build stopped, when a limit says more than the step that it was in.
    pub(super) fn explain(&self, stop: Stop) -> Stop {
        let explained = match &stop {
            Stop::Step { .. } | Stop::Network { .. } => self.watch.explanation(),
            _ => self.watch.exceeded(),
        };
        match explained {
            Some(failure) => Stop::Limit {
                failure,
                limits: Box::new(self.assignment.limits.clone()),
                stage: stop.stage(),
            },
            None => stop,
        }
    }

    /// A file of the unpacked buildrequest; empty where it has none.
    pub(super) fn configuration(&self, name: &str) -> Result<String, Stop> {
        let path = self.configuration_file(name);
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|source| Stop::Read { path, source }),
        }
    }

    fn configuration_file(&self, name: &str) -> PathBuf {
        let request = self.assignment.request_directory();
        request.join(".config").join(name)
    }

    /// Asks the packager itself, who tells in its request how to know it.
    pub(super) fn packager(&self) -> Result<Client, Stop> {
        let client = Client::new();
        if self.configuration(SSL_CERT)?.is_empty() {
            return Ok(client);
        }
        Ok(client.trusting(self.configuration_file(SSL_CERT)))
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
