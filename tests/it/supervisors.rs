//! Builds that are cancelled, stopped or killed, and what their supervisors leave.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mini_buildd::build::BuildStatus;
use mini_buildd::build::supervisor::{self, State};

use crate::base::Base;
use crate::build::{Package, architecture, output};
use crate::program::program;

/// Starts a build that goes on for ever and waits until it does.
fn start_endless(directory: &Path) -> std::process::Child {
    start_endless_by(&program(), directory)
}

/// As [`start_endless`], by another program than ours.
fn start_endless_by(program: &Path, directory: &Path) -> std::process::Child {
    let base = Base::get();
    let package = Package {
        name: "mbd-test-endless",
        build: "echo now-it-hangs; sleep 1000000",
        ..Package::default()
    };
    let assignment = base.assignment(directory, &package);
    let child = supervisor::start_program(program, &assignment).unwrap();
    let log = directory.join(format!("mbd-test-endless_1.0_{}.buildlog", architecture()));
    let begin = std::time::Instant::now();
    while !fs::read_to_string(&log)
        .unwrap_or_default()
        .contains("\nnow-it-hangs\n")
    {
        assert!(
            begin.elapsed().as_secs() < 300,
            "{}",
            fs::read_to_string(&log).unwrap()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(matches!(
        supervisor::state(directory).unwrap(),
        State::Running
    ));
    child
}

#[test]
fn sigterm_cancels_a_build() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = start_endless(directory.path());
    output(Command::new("kill").arg(child.id().to_string()));
    let verdict = supervisor::wait(directory.path()).unwrap().unwrap();
    child.wait().unwrap();
    assert_eq!(verdict.status, BuildStatus::Failed);
    assert_eq!(verdict.error.as_deref(), Some("cancelled"));
}

#[test]
fn stopped_supervisor_is_cancelled_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = start_endless(directory.path());
    let pid = child.id().to_string();
    output(Command::new("kill").args(["-STOP", &pid]));
    supervisor::cancel(directory.path(), Duration::from_secs(60)).unwrap();
    child.wait().unwrap();
    let verdict = supervisor::wait(directory.path()).unwrap().unwrap();
    assert_eq!(verdict.error.as_deref(), Some("cancelled"));
    // Nothing is there to be ended any more.
    supervisor::cancel(directory.path(), Duration::ZERO).unwrap();
}

#[test]
fn supervisor_that_does_not_end_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    // Its SIGTERM stays pending for ever (env(1)).
    let deaf = directory.path().join("deaf");
    let ours = program();
    let script = format!(
        "#!/bin/sh\nexec env --block-signal=TERM {} \"$@\"\n",
        ours.display()
    );
    fs::write(&deaf, script).unwrap();
    fs::set_permissions(&deaf, fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = start_endless_by(&deaf, directory.path());
    supervisor::cancel(directory.path(), Duration::from_millis(200)).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(supervisor::wait(directory.path()).unwrap().is_none());
}

#[test]
fn killed_supervisor_leaves_no_verdict_and_can_start_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = start_endless(directory.path());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(supervisor::wait(directory.path()).unwrap().is_none());
    assert!(matches!(
        supervisor::state(directory.path()).unwrap(),
        State::NotRunning
    ));
}
