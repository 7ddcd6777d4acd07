//! What `up` and `demo` do about what `doctor` finds: install packages when they may, else tell.
use std::io::{self, IsTerminal, Write, stderr, stdin};
use std::process::{Command, Stdio};

use sandbox::Finding;

use super::doctor;
use crate::deb::Architecture;
use crate::home::Home;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("can't examine this host")]
    Examine(#[source] io::Error),
    #[error(
        "this host lacks what an instance needs:{}\nCommands are for root; all that was looked at: mini-buildd doctor",
        list(.problems)
    )]
    Problems { problems: Vec<String> },
    #[error("can't run {command}")]
    Run { command: String, source: io::Error },
    #[error("{command} ended with {status}")]
    Failed {
        command: String,
        status: std::process::ExitStatus,
    },
}

fn list(problems: &[String]) -> String {
    let lines = problems.iter().map(|problem| format!("\n  * {problem}"));
    lines.collect::<Vec<_>>().concat()
}

/// Examines the host, also for chroots of other architectures; as root it installs missing packages, after asking unless
/// `yes`. What is only recommended is left to the user.
pub(super) fn pass(home: &Home, architectures: &[Architecture], yes: bool) -> Result<(), Error> {
    let mut findings = doctor::examine(home, architectures).map_err(Error::Examine)?;
    let needed = findings.iter().filter(|finding| finding.is_in_the_way());
    let packages = doctor::missing_packages(needed);
    if !packages.is_empty() && rustix::process::geteuid().is_root() && install(&packages, yes)? {
        findings = doctor::examine(home, architectures).map_err(Error::Examine)?;
    }
    let problems: Vec<String> = findings
        .into_iter()
        .filter(Finding::is_in_the_way)
        .filter_map(|finding| {
            let problem = finding.problem?;
            let remedy = problem
                .remedy
                .map(|remedy| format!("; mend it with: {remedy}"));
            Some(format!(
                "{}: {}{}",
                finding.name,
                problem.what,
                remedy.unwrap_or_default()
            ))
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::Problems { problems })
    }
}

/// Tells whether the packages were installed; `false` when the user does not want it.
fn install(packages: &[String], yes: bool) -> Result<bool, Error> {
    let command = format!(
        "apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    );
    // Nobody is left to be told that standard error can't be written.
    let _ = writeln!(stderr(), "+ {command}");
    if !(yes || is_confirmed()) {
        return Ok(false);
    }
    let status = Command::new("sh")
        .args(["-c", &format!("apt-get update -q && {command}")])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(stderr())
        .status();
    match status {
        Ok(status) if status.success() => Ok(true),
        Ok(status) => Err(Error::Failed { command, status }),
        Err(source) => Err(Error::Run { command, source }),
    }
}

fn is_confirmed() -> bool {
    if !stdin().is_terminal() {
        return false;
    }
    let _ = write!(stderr(), "Run it now? [Y/n] ");
    let mut answer = String::new();
    stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "" | "y" | "Y" | "yes")
}
