//! Why a build ended before its end, and whose matter that is.
use std::io;
use std::path::PathBuf;

use sandbox::Exit;

use super::BuildStatus;
use super::log;
use crate::chroots;
use crate::deb::{self, FileName};
use crate::model::{Chroot, Failure, Limits};
use crate::{fetch, pgp};

#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("nothing to build for {0}")]
    NothingToBuild(String),
    #[error("{step} failed: {}", said(*.exit))]
    Step { step: Step, exit: Exit },
    #[error("{}", exceeded(*.failure, .limits))]
    Limit {
        failure: Failure,
        limits: Box<Limits>,
        /// Of the step that was going on.
        stage: &'static str,
    },
    /// A step failed that had wanted to leave its network.
    #[error("{step} failed: {}; it tried to reach the network {attempts} times, which builds don't have", said(*.exit))]
    Network {
        step: Step,
        exit: Exit,
        attempts: u64,
    },
    #[error("cancelled")]
    Cancelled,
    #[error("there is no chroot {}:{}", .0.codename, .0.architecture)]
    NoChroot(Box<Chroot>),
    #[error("can't learn from {url} what the archive holds")]
    Unreachable { url: String, source: fetch::Error },
    #[error("can't start the HTTP client")]
    Client(#[source] io::Error),
    #[error("can't read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("can't read {name}")]
    Signed { name: FileName, source: pgp::Error },
    #[error("{what}")]
    Format { what: String, source: deb::Error },
    #[error("result {name}: {fault}")]
    Result { name: String, fault: String },
    #[error("can't keep result {path}")]
    Keep { path: PathBuf, source: io::Error },
    #[error("can't keep what was found out in {path}")]
    Memo { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Chroot(#[from] chroots::Error),
    #[error("can't {action} a layer")]
    Layer {
        action: &'static str,
        source: backends::Error,
    },
}

/// Commands whose exit codes decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Update,
    Upgrade,
    Resolve,
    Download,
    Install,
    Unpack,
    Build,
    Contents,
}

impl Stop {
    /// In sbuild's words.
    pub(super) fn status(&self) -> BuildStatus {
        match self {
            Stop::NothingToBuild(_) => BuildStatus::Skipped,
            Stop::Step { step, .. } | Stop::Network { step, .. } => step.status(),
            Stop::Limit { failure, .. } if *failure != Failure::Disk => BuildStatus::Attempted,
            Stop::Result { .. } => BuildStatus::Attempted,
            // A full disk is the builder's fault.
            Stop::Limit { .. }
            | Stop::Cancelled
            | Stop::NoChroot(_)
            | Stop::Unreachable { .. }
            | Stop::Client(_)
            | Stop::Read { .. }
            | Stop::Signed { .. }
            | Stop::Format { .. }
            | Stop::Keep { .. }
            | Stop::Memo { .. }
            | Stop::Log(_)
            | Stop::Chroot(_)
            | Stop::Layer { .. } => BuildStatus::Failed,
        }
    }

    /// As sbuild's `Fail-Stage`.
    pub(super) fn stage(&self) -> &'static str {
        match self {
            Stop::Step { step, .. } | Stop::Network { step, .. } => step.stage(),
            Stop::Limit { stage, .. } => stage,
            Stop::NothingToBuild(_) => "arch-check",
            Stop::Result { .. } | Stop::Keep { .. } => "post-build",
            Stop::Cancelled => "abort",
            Stop::Read { .. } | Stop::Signed { .. } | Stop::Format { .. } => "fetch-src",
            Stop::NoChroot(_)
            | Stop::Unreachable { .. }
            | Stop::Client(_)
            | Stop::Memo { .. }
            | Stop::Log(_)
            | Stop::Chroot(_)
            | Stop::Layer { .. } => "create-session",
        }
    }
}

impl Stop {
    /// The class of the failure, where there is one.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self {
            Stop::Limit { failure, .. } => Some(*failure),
            Stop::Network { .. } => Some(Failure::Network),
            Stop::Step { exit, .. } => Some(match exit {
                Exit::Code(code) => Failure::ExitCode(*code),
                Exit::Signal(signal) => Failure::Signal(*signal),
            }),
            _ => None,
        }
    }
}

/// Names the limit that a build exceeded.
fn exceeded(failure: Failure, limits: &Limits) -> String {
    match failure {
        Failure::Memory if limits.memory_mib == 0 => {
            "the build used more memory than the machine can give".to_owned()
        }
        Failure::Memory => format!(
            "the build used more than {} MiB of memory",
            limits.memory_mib
        ),
        Failure::Processes => format!("the build had {} processes at once", limits.processes),
        Failure::Disk => format!(
            "the build used more than {} MiB of disk, or left less than {} MiB of it free",
            limits.disk_mib, limits.free_disk_mib
        ),
        Failure::WallTime => format!("the build took more than {} s", limits.wall_seconds),
        Failure::Silence => format!("the build said nothing for {} s", limits.silence_seconds),
        Failure::ExitCode(_) | Failure::Signal(_) | Failure::Network => failure.to_string(),
    }
}

impl Step {
    fn status(self) -> BuildStatus {
        match self {
            Step::Resolve | Step::Install => BuildStatus::GivenBack,
            Step::Unpack | Step::Build | Step::Contents => BuildStatus::Attempted,
            Step::Update | Step::Upgrade | Step::Download => BuildStatus::Failed,
        }
    }

    fn stage(self) -> &'static str {
        match self {
            Step::Update => "apt-get-update",
            Step::Upgrade => "apt-get-dist-upgrade",
            Step::Resolve | Step::Download | Step::Install => "install-deps",
            Step::Unpack => "unpack",
            Step::Build => "build",
            Step::Contents => "post-build",
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Step::Update => "updating the package lists",
            Step::Upgrade => "upgrading the chroot",
            Step::Resolve => "resolving the build dependencies",
            Step::Download => "downloading the build dependencies",
            Step::Install => "installing the build dependencies",
            Step::Unpack => "unpacking the source",
            Step::Build => "dpkg-buildpackage",
            Step::Contents => "listing the built packages",
        })
    }
}

fn said(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
    }
}

/// An error with all its causes in one line.
pub(super) fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(step: Step) -> BuildStatus {
        let exit = Exit::Code(100);
        Stop::Step { step, exit }.status()
    }

    #[test]
    fn each_fault_is_laid_at_the_right_door() {
        assert_eq!(status(Step::Build), BuildStatus::Attempted);
        assert_eq!(status(Step::Resolve), BuildStatus::GivenBack);
        assert_eq!(status(Step::Update), BuildStatus::Failed);
        assert_eq!(
            Stop::NothingToBuild("arm64".to_owned()).status(),
            BuildStatus::Skipped
        );
    }

    #[test]
    fn an_error_is_told_with_its_causes_in_one_line() {
        let stop = Stop::Keep {
            path: "/result".into(),
            source: io::Error::other("no\nspace"),
        };
        assert_eq!(in_one_line(&stop), "can't keep result /result: no space");
    }
}
