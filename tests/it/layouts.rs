//! Layouts and repositories, changed from the administrator's shell beside a running daemon.
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mini_buildd::model::EventType;
use serde_json::{Value, json};

use crate::daemon::{self, Daemon, FQDN};
use crate::instance::TestInstance;
use crate::program::program;
use crate::results::{asked, hello, message};

const DIST: &str = "trixie-test-unstable";

/// `mini-buildd layout` or `repository` with this on its standard input.
fn run(home: &Path, words: &[&str], input: &str) -> Output {
    let mut child = Command::new(program())
        .args(words)
        .arg("--home")
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads no input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(home: &Path, words: &[&str], input: &str) -> String {
    let output = run(home, words, input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(home: &Path, words: &[&str], input: &str) -> String {
    let output = run(home, words, input);
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn shown(home: &Path, kind: &str, name: &str) -> Value {
    serde_json::from_str(&text(home, &[kind, "show", name, "--json"], "")).unwrap()
}

/// Dists that the daemon knows, rollbacks included, each of which it must serve.
fn served(daemon: &Daemon) -> Vec<String> {
    let output = daemon.api(&["sources_list", "ENDPOINT", "--rollbacks=-1"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let dists = lines.lines().map(|line| {
        let [url, dist] = [2, 3].map(|word| line.split(' ').nth(word).unwrap());
        let (_, repository) = url.rsplit_once('/').unwrap();
        let path = format!("/repositories/{repository}/dists/{dist}/InRelease");
        let release = daemon.ask("GET", &path);
        assert_eq!(release.status, 200, "{path}");
        assert!(release.text().contains(&format!("\nCodename: {dist}\n")));
        assert!(release.text().contains(&format!(" on {FQDN}\n")));
        dist.to_owned()
    });
    dists.collect()
}

fn published(home: &Path, repository: &str) -> usize {
    let dists = home.join("repositories").join(repository).join("dists");
    std::fs::read_dir(dists).unwrap().count()
}

#[test]
fn presets_are_published_as_in_stock_by_the_running_daemon() {
    let home = daemon::new_home();
    let home = home.path();
    let daemon = Daemon::start(home);
    let presets = text(home, &["layout", "preset"], "");
    for (preset, dists) in presets.lines().zip([46, 6, 4]) {
        text(home, &["layout", "preset", preset], "");
        let mut repository = shown(home, "repository", "test");
        repository["layout"] = preset.into();
        text(home, &["repository", "put", "-"], &repository.to_string());
        assert_eq!(served(&daemon).len(), dists, "{preset}");
        assert_eq!(published(home, "test"), dists, "{preset}");
    }
    assert_eq!(presets.lines().count(), 3);
    let listed = text(home, &["layout", "list"], "");
    assert!(
        listed.contains("\nDebian Developer        stable testing unstable experimental\n"),
        "{listed}"
    );
}

#[test]
fn layout_and_repository_of_ones_own_come_and_go_while_the_daemon_runs() {
    let home = daemon::new_home();
    let home = home.path();
    let daemon = Daemon::start(home);
    let mut layout = shown(home, "layout", "Default");
    layout["name"] = "Tiny".into();
    layout["suites"] = json!([{
        "suite": "unstable", "uploadable": true, "experimental": false, "migrates_to": null,
        "rollback": 1, "build_keyring_package": true, "not_automatic": false,
        "but_automatic_upgrades": false, "keep": 3, "valid_days": 7
    }]);
    let file = home.join("tiny.json");
    std::fs::write(&file, layout.to_string()).unwrap();
    text(home, &["layout", "put", file.to_str().unwrap()], "");
    assert_eq!(shown(home, "layout", "Tiny"), layout);
    let add = [
        "repository",
        "add",
        "tiny",
        "--layout",
        "Tiny",
        "--codename",
        "trixie",
    ];
    text(home, &add, "");
    let dists = served(&daemon);
    assert_eq!(dists.len(), 46 + 2);
    assert_eq!(
        dists[46..],
        ["trixie-tiny-unstable", "trixie-tiny-unstable-rollback0"]
    );
    assert_eq!(
        text(home, &["repository", "list"], ""),
        "repository  layout   codenames\ntest        Default  trixie\ntiny        Tiny     trixie\n"
    );
    let again = refusal(home, &add, "");
    assert!(
        again.contains("there is a repository tiny already"),
        "{again}"
    );
    let used = refusal(home, &["layout", "remove", "Tiny"], "");
    assert!(
        used.contains("\"Tiny\" is that of repository tiny"),
        "{used}"
    );

    text(home, &["repository", "remove", "tiny"], "");
    text(home, &["layout", "remove", "Tiny"], "");
    assert_eq!(served(&daemon).len(), 46);
    assert_eq!(published(home, "tiny"), 0);
}

#[test]
fn faulty_field_is_named_and_nothing_is_changed() {
    let home = daemon::new_home();
    let home = home.path();
    let layout = shown(home, "layout", "Default");
    let repository = shown(home, "repository", "test");
    let changed = |item: &Value, pointer: &str, value: Value| {
        let mut item = item.clone();
        *item.pointer_mut(pointer).unwrap() = value;
        item.to_string()
    };
    let unknown = layout
        .to_string()
        .replacen("\"rollback\"", "\"rolback\"", 1);
    for (kind, input, said) in [
        ("layout", "{".to_owned(), "EOF while parsing"),
        ("layout", format!("{layout} x"), "trailing characters"),
        ("layout", "{\"suites\": []}".into(), "missing field `name`"),
        (
            "layout",
            unknown,
            "suites[0].rolback: unknown field `rolback`",
        ),
        (
            "layout",
            changed(&layout, "/suites/1/rollback", "many".into()),
            "suites[1].rollback: invalid type: string \"many\"",
        ),
        (
            "layout",
            changed(&layout, "/suites/0/suite", "../x".into()),
            "suites[0].suite: suite \"../x\": must match [a-z]+",
        ),
        (
            "layout",
            changed(&layout, "/suites/0/valid_days", 1.into()),
            "layout \"Default\": suites: stable: valid_days must be 2 to 3650",
        ),
        (
            "layout",
            changed(&layout, "/name", "a\nb".into()),
            "name: must be one line",
        ),
        (
            "repository",
            changed(&repository, "/layout", "Nosuch".into()),
            "layout: no layout \"Nosuch\"; there is: Default",
        ),
        (
            "repository",
            changed(&repository, "/distributions/0", "sid".into()),
            "distributions: no distribution \"sid\"; there is: trixie",
        ),
        (
            "repository",
            changed(&repository, "/history_days", 0.into()),
            "history_days: must be 1 to 36500",
        ),
    ] {
        let refused = refusal(home, &[kind, "put", "-"], &input);
        assert!(refused.contains(said), "{refused}");
    }
    assert_eq!(shown(home, "layout", "Default"), layout);
    assert_eq!(shown(home, "repository", "test"), repository);
    let missing = refusal(home, &["layout", "show", "Nosuch"], "");
    assert!(
        missing.contains("no layout \"Nosuch\"; there is: Default"),
        "{missing}"
    );
}

#[test]
fn suite_with_packages_goes_only_by_force_and_comes_back_with_them() {
    let (mut instance, request) = asked();
    let packages = hello(&instance, "amd64");
    let result = message(&request, &packages, &instance.key(), |_| {});
    instance.send(&result);
    instance.wait_for(EventType::Installed, "hello");
    let home = instance.home.root().to_owned();
    let index = format!("{DIST}/main/binary-amd64/Packages");
    let has_hello =
        |instance: &TestInstance| instance.published(&index).contains("Package: hello\n");

    let mut layout = shown(&home, "layout", "Default");
    let suites = layout["suites"].as_array_mut().unwrap();
    suites.retain(|options| options["suite"] != "unstable");
    let layout = layout.to_string();
    let refused = refusal(&home, &["layout", "put", "-"], &layout);
    assert!(
        refused.contains(DIST) && refused.contains("--force"),
        "{refused}"
    );
    let refused = refusal(&home, &["repository", "remove", "test"], "");
    assert!(
        refused.contains(DIST) && refused.contains("--force"),
        "{refused}"
    );
    assert!(has_hello(&instance));

    text(&home, &["layout", "put", "-", "--force"], &layout);
    assert_eq!(instance.published(&index), "");
    text(&home, &["layout", "preset", "Default"], "");
    assert!(has_hello(&instance));
}
