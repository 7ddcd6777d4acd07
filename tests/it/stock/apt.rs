//! What stock's programs do at the machine of a user or in a chroot, beside what ours do under the same names.
use std::fs;

use mini_buildd::cause::with_causes;
use mini_buildd::chroots::Session;
use mini_buildd::chroots::tree::Tree;

use super::{command, include, run};
use crate::accounts::Peopled;
use crate::program::program;
use crate::sample::{Binary, Samples};

const STABLE: &str = "trixie-test-stable";
const PACKAGE: &str = "peer-archive-keyring";
const OURS: &str = "/opt/test/mini-buildd";
const SOURCE: &str = "/etc/apt/sources.list.d/mini-buildd-peer.list";

/// The package that lets apt know the instance, as it would make it itself.
fn include_keyring_package(peopled: &Peopled, key: &str) {
    let place = tempfile::tempdir().unwrap();
    let samples = Samples::new(place.path().to_owned());
    let version = "1.0~test13+1";
    let source = samples.source(PACKAGE, version, "misc");
    let keyrings = place
        .path()
        .join(format!("{PACKAGE}-tree/usr/share/keyrings"));
    fs::create_dir_all(&keyrings).unwrap();
    fs::write(keyrings.join(format!("{PACKAGE}.asc")), key).unwrap();
    let binary = samples.binary(&Binary {
        name: PACKAGE,
        version,
        architecture: "amd64",
        source: PACKAGE,
        section: "misc",
    });
    include(peopled.home.path(), STABLE, &[source, binary]);
}

pub(super) fn the_archive_keyring_is_installed_by_both_programs(
    session: &Session,
    peopled: &Peopled,
) {
    let url = peopled.url();
    let mut tree = Tree::default();
    tree.program(OURS, fs::read(program()).unwrap());
    session.unpack(&tree).unwrap();
    let refused = |words: &[&str]| {
        let words = [&[OURS, "bootstrap-apt"], words].concat();
        with_causes(&session.succeed(&command(&words, &[])).unwrap_err())
    };
    let ours = |words: &[&str]| run(session, &[&[OURS, "bootstrap-apt"], words].concat());
    let key = run(session, &["mini-buildd-api", "pub_key", &url]);

    let why = refused(&[&url, "auto"]);
    assert!(why.contains(&format!("no package {PACKAGE}")), "{why}");
    include_keyring_package(peopled, &key);
    let said = run(session, &["mini-buildd-bootstrap-apt", &url, "auto"]);
    assert!(said.contains("Status: install ok installed"), "{said}");

    let installed = || {
        run(
            session,
            &["dpkg-query", "--show", "--showformat=${Package}\n"],
        )
    };
    run(session, &["apt-get", "purge", "--yes", PACKAGE]);
    assert!(!installed().contains(PACKAGE));
    let why = refused(&[&url]);
    assert!(why.contains("not confirmed"), "{why}");
    let why = refused(&[&url, "auto", "--fingerprint", &"0".repeat(40)]);
    assert!(why.contains("nothing was changed"), "{why}");
    let why = refused(&[&url, "auto", "--suite", "nosuch"]);
    assert!(why.contains("nosuch"), "{why}");
    assert!(!installed().contains(PACKAGE));

    let said = ours(&[&url, "auto", "--add-source"]);
    assert!(said.contains(&format!("{PACKAGE} is installed")), "{said}");
    assert!(installed().contains(PACKAGE));
    let source = run(session, &["cat", SOURCE]);
    assert!(
        source.contains(&format!(
            "[signed-by=/usr/share/keyrings/{PACKAGE}.asc] {url}/"
        )),
        "{source}"
    );
    run(
        session,
        &["apt-get", "update", "-oAPT::Update::Error-Mode=any"],
    );
    let policy = run(session, &["apt-cache", "policy", PACKAGE]);
    assert!(policy.contains(&format!("{STABLE}/main")), "{policy}");

    run(session, &["rm", SOURCE]);
    ours(&[&url, "auto", "--without-package"]);
    let source = run(session, &["cat", SOURCE]);
    assert!(
        source.contains("[signed-by=/etc/apt/keyrings/mini-buildd-peer.asc]"),
        "{source}"
    );
    run(
        session,
        &["apt-get", "update", "-oAPT::Update::Error-Mode=any"],
    );
    let why = {
        run(session, &["sh", "-c", &format!("echo >>{SOURCE}")]);
        refused(&[&url, "auto", "--without-package"])
    };
    assert!(why.contains("holds something else"), "{why}");
    run(session, &["rm", SOURCE]);
}

/// Names in a list of blocks, with whether they are default ones.
fn blocks(listed: &str) -> Vec<(&str, bool)> {
    let lines = listed.lines().filter_map(|line| line.split_once(": ["));
    let mut blocks: Vec<_> = lines
        .map(|(name, rest)| (name.trim(), rest.starts_with("default")))
        .collect();
    blocks.sort_unstable();
    blocks
}

pub(super) fn both_programs_know_the_same_blocks(session: &Session) {
    let listed = [&["mini-buildd-internals"], &[OURS, "internals"][..]]
        .map(|program| run(session, &[program, &["sbuild-setup-blocks"]].concat()));
    assert_eq!(blocks(&listed[0]), blocks(&listed[1]));
    assert_eq!(blocks(&listed[1]).len(), 16);
    let name = "apt-no-cache";
    let made = [&["mini-buildd-internals"], &[OURS, "internals"][..]].map(|program| {
        run(
            session,
            &[program, &["sbuild-setup-blocks", name, "--run"]].concat(),
        );
        let path = format!("/etc/apt/apt.conf.d/00mbd-{name}");
        let text = run(session, &["cat", &path]);
        run(session, &["rm", &path]);
        text
    });
    assert_eq!(made[0], made[1]);
    let script = run(
        session,
        &[OURS, "internals", "sbuild-setup-blocks", name, "--cat"],
    );
    assert!(script.starts_with("#!/bin/sh -e\n"), "{script}");
}
