//! What builds may use; the list of abuses has those that use more.
use std::process::Command;

use mini_buildd::build::{BuildStatus, Verdict};
use mini_buildd::model::{Daemon, Failure, Limits};
use mini_buildd::store::{Error, Store, items};

use crate::base::{Base, LOOPBACK};
use crate::build::Package;
use crate::packager::run;
use crate::program::program;

/// A package whose build does this under these limits, and how it ends.
fn failure(name: &'static str, build: &'static str, limits: Limits) -> (Verdict, String) {
    let package = Package {
        name,
        build,
        limits,
        ..Package::default()
    };
    let ended = Base::get().build(&package);
    let (verdict, log) = (ended.verdict, ended.log);
    assert_ne!(verdict.status, BuildStatus::Successful, "{log}");
    if let Some(failure) = verdict.failure {
        assert_eq!(verdict.summary["failure"], failure.to_string());
        assert!(log.contains(&format!("\nFailure: {failure}\n")), "{log}");
    }
    (verdict, log)
}

#[test]
fn failure_names_its_exit_code() {
    let (verdict, log) = failure("mbd-test-exit", "exit 3", Limits::default());
    // make ends with 2, debian/rules' status is dpkg-buildpackage's.
    assert_eq!(verdict.failure, Some(Failure::ExitCode(2)), "{log}");
}

#[test]
fn failure_after_an_attempt_to_reach_the_network_is_told() {
    let by_name = "perl -MSocket -e 'gethostbyname(\"www.example.org\") or exit 7'";
    let (verdict, log) = failure("mbd-test-network", by_name, Limits::default());
    assert_eq!(verdict.failure, Some(Failure::Network), "{log}");
    assert_eq!(verdict.status, BuildStatus::Attempted);
    assert!(
        verdict
            .error
            .unwrap()
            .contains("tried to reach the network")
    );
}

#[test]
fn up_sets_limits_of_builds_and_names_those_that_there_are() {
    let home = Base::get().home("limits");
    let up = |limit: &str| {
        let mut command = Command::new(program());
        command.args(["up", "--no-start", "--ftp-endpoint", LOOPBACK]);
        command.args(["--limit", limit, "--home"]).arg(home.root());
        command
    };
    run(&mut up("memory_mib=4096"));
    run(&mut up("wall_seconds=3600"));
    let store = Store::open(&home.database()).unwrap();
    let daemon = store.read::<_, Error>(|tx| items::get::<Daemon>(tx, "daemon"));
    let (daemon, _) = daemon.unwrap().unwrap();
    let expected = Limits {
        memory_mib: 4096,
        wall_seconds: 3600,
        ..Limits::default()
    };
    assert_eq!(daemon.limits, expected);
    let output = up("patience=1").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("silence_seconds"), "{said}");
}
