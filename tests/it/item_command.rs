//! `mini-buildd item`, beside a daemon.
use std::process::{Command, Output};

use serde_json::json;

use crate::accounts::{Peopled, refused};
use crate::items::item;
use crate::program::program;

/// `mini-buildd item …` beside the daemon; what it says.
pub(crate) fn shell(peopled: &Peopled, words: &[&str]) -> String {
    let output = in_shell(peopled, words);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn in_shell(peopled: &Peopled, words: &[&str]) -> Output {
    Command::new(program())
        .arg("item")
        .args(words)
        .arg("--home")
        .arg(peopled.home.path())
        .output()
        .unwrap()
}

#[test]
fn what_a_change_puts_out_of_use_is_told_and_taken_into_use_again() {
    let peopled = Peopled::start();
    let state = || item(&peopled, ["repository", "test"])["status"]["state"].clone();
    let set = ["set", "distribution", "trixie", "internal_apt_priority=2"];
    let told = shell(&peopled, &set);
    assert!(told.contains("item pca repository test"), "{told}");
    assert_eq!(state(), "prepared");
    shell(&peopled, &["pca", "repository", "test"]);
    let set = ["set", "distribution", "trixie", "internal_apt_priority=1"];
    let told = shell(&peopled, &[&set[..], &["--pca"]].concat());
    assert!(told.contains("repository test"), "{told}");
    assert_eq!(state(), "active");
}

#[test]
fn what_is_not_said_of_an_item_has_its_default() {
    let peopled = Peopled::start();
    shell(
        &peopled,
        &["add", "remote", "url=tcp:host=localhost:port=18066"],
    );
    let remote = item(&peopled, ["remote", "http://localhost:18066"]);
    assert_eq!(remote["fields"]["wake_command"], "");
    shell(
        &peopled,
        &[
            "add",
            "repository",
            "identity=two",
            "layout=Default",
            r#"distributions=["trixie"]"#,
        ],
    );
    let fields = &item(&peopled, ["repository", "two"])["fields"];
    assert_eq!(fields["allow_unauthenticated_uploads"], false);
    shell(
        &peopled,
        &[
            "add",
            "layout",
            "name=One",
            r#"suites=[{"suite": "unstable"}]"#,
        ],
    );
    let suite = &item(&peopled, ["layout", "One"])["fields"]["suites"][0];
    assert_eq!(
        (&suite["uploadable"], &suite["rollback"]),
        (&json!(true), &json!(0))
    );
}

#[test]
fn what_is_used_or_misspelt_in_the_shell_is_refused() {
    let peopled = Peopled::start();
    let archives = item(&peopled, ["source", "Debian:trixie"])["fields"]["archives"].clone();
    let archive = archives[0].as_str().unwrap();
    let why = refused(&in_shell(&peopled, &["delete", "archive", archive]));
    assert!(why.contains("is used by source Debian:trixie"), "{why}");
    let wrong = ["set", "daemon", "daemon", "limits={\"memory_mb\": 5}"];
    let why = refused(&in_shell(&peopled, &wrong));
    assert!(
        why.contains("memory_mb") && why.contains("fields of daemon"),
        "{why}"
    );
    let why = refused(&in_shell(
        &peopled,
        &["set", "source", "Debian:trixie", "suite=forky"],
    ));
    assert!(why.contains("can't become source Debian:forky"), "{why}");
    shell(&peopled, &["add", "apt_key", "key_id=12345678"]);
    let why = refused(&in_shell(
        &peopled,
        &["add", "apt_key", "key_id=aaaaaaaa12345678"],
    ));
    assert!(why.contains("same key as apt_key 12345678"), "{why}");
    let wrong = "daemon daemon ftp_endpoint=ssl:port=0:privateKey=/nosuch:certKey=/nosuch --pca";
    let words: Vec<&str> = ["set"].into_iter().chain(wrong.split(' ')).collect();
    let why = refused(&in_shell(&peopled, &words));
    assert!(why.contains("/nosuch"), "{why}");
}

#[test]
fn changes_at_the_same_time_all_count() {
    let peopled = Peopled::start();
    let changes = [
        "history_days=77",
        "pool_grace_hours=88",
        "sha512=true",
        "notify_changed_by=true",
        "notify_maintainer=true",
        "external_home_url=http://example.org/",
    ];
    std::thread::scope(|scope| {
        for change in changes {
            let peopled = &peopled;
            scope.spawn(move || shell(peopled, &["set", "repository", "test", change]));
        }
    });
    let fields = &item(&peopled, ["repository", "test"])["fields"];
    for change in changes {
        let (field, value) = change.split_once('=').unwrap();
        let stored = fields[field].to_string();
        assert_eq!(stored.trim_matches('"'), value, "{field}");
    }
}
