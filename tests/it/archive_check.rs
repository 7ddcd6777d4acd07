//! `mini-buildd archive check` beside a running daemon.
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::daemon::{self, Daemon};
use crate::program::program;

const IN_RELEASE: &str = "dists/trixie-test-unstable/InRelease";

fn check(home: &Path, words: &[&str]) -> Output {
    Command::new(program())
        .args(["archive", "--home"])
        .arg(home)
        .arg("check")
        .args(words)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn what_is_wrong_is_listed_mended_and_served_again() {
    let home = daemon::new_home();
    let home = home.path();
    let daemon = Daemon::start(home);
    let sound = check(home, &[]);
    assert!(sound.status.success(), "{sound:?}");
    assert_eq!(text(&sound), "");

    let repository = home.join("repositories/test");
    fs::write(repository.join(IN_RELEASE), "forged").unwrap();
    let found = check(home, &["--json"]);
    assert_eq!(found.status.code(), Some(1));
    let problems: Value = serde_json::from_str(&text(&found)).unwrap();
    assert_eq!(problems.as_array().unwrap().len(), 1, "{problems}");
    assert_eq!(problems[0]["repository"], "test");
    assert_eq!(problems[0]["subject"], IN_RELEASE);
    assert_eq!(problems[0]["fault"], "not signed");
    assert!(check(home, &["trixie-test-testing"]).status.success());
    assert!(!check(home, &["trixie-test-unstable"]).status.success());

    let orphan = "pool/main/h/hello/hello_1_amd64.deb";
    fs::create_dir_all(repository.join(orphan).parent().unwrap()).unwrap();
    fs::write(repository.join(orphan), "orphan").unwrap();
    let mended = check(home, &["test", "--repair"]);
    assert_eq!(mended.status.code(), Some(1));
    let left = text(&mended);
    assert!(
        left.starts_with(&format!("test: {orphan}: is in the pool, but")),
        "{left}"
    );
    assert_eq!(left.lines().count(), 2, "{left}");
    let release = daemon.ask("GET", &format!("/repositories/test/{IN_RELEASE}"));
    assert!(
        release
            .text()
            .starts_with("-----BEGIN PGP SIGNED MESSAGE-----\n")
    );

    let unknown = check(home, &["trixie-test-nonsense"]);
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(
        said.contains("there is no distribution trixie-test-nonsense"),
        "{said}"
    );
}
