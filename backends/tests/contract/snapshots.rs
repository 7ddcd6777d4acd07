use std::time::{Duration, Instant};

use super::Promise;
use super::fixture::{Fixture, entries};

pub(crate) const PROMISES: &[Promise] = &[
    ("a snapshot sees the base", sees_the_base),
    (
        "changes of a snapshot vanish when it is closed",
        changes_vanish,
    ),
    ("a dropped snapshot vanishes too", dropped_vanishes),
    ("snapshots do not see each other", do_not_see_each_other),
    (
        "a later session on a snapshot sees what the first did",
        later_sessions_see,
    ),
    ("owners and modes are those of the base", owners_and_modes),
    (
        "anything in a snapshot can be removed",
        anything_can_be_removed,
    ),
    (
        "trees of any depth and mode are deleted",
        any_tree_is_deleted,
    ),
    ("many files are deleted, on nobody's path", many_are_deleted),
];

fn sees_the_base(fixture: &Fixture) {
    fixture.with_base();

    assert_eq!(fixture.look(None, "cat /etc/name /data/two"), "base\ntwo");
}

fn changes_vanish(fixture: &Fixture) {
    fixture.with_base();
    fixture.look(None, "echo changed > /etc/name; rm -r /data; touch /new");

    assert_eq!(
        fixture.look(
            None,
            "cat /etc/name; ls /data; ls /new 2>/dev/null || echo none"
        ),
        "base\none\ntwo\nnone"
    );
    fixture.wait_for_trash();
    assert!(entries(&fixture.config.sessions).is_empty());
}

fn dropped_vanishes(fixture: &Fixture) {
    fixture.with_base();
    drop(fixture.snapshot(None));

    assert!(entries(&fixture.config.sessions).is_empty());
}

fn do_not_see_each_other(fixture: &Fixture) {
    fixture.with_base();
    let first = fixture.snapshot(None);
    let second = fixture.snapshot(None);
    fixture.run(first.as_ref(), "echo first > /etc/name");

    assert_eq!(fixture.run(second.as_ref(), "cat /etc/name"), "base");
    first.close().unwrap();
    second.close().unwrap();
}

fn later_sessions_see(fixture: &Fixture) {
    fixture.with_base();
    let snapshot = fixture.snapshot(None);
    fixture.run(snapshot.as_ref(), "echo first > /etc/name; rm /data/one");

    let script = "cat /etc/name; ls /data";
    assert_eq!(fixture.run(snapshot.as_ref(), script), "first\ntwo");
    snapshot.close().unwrap();
}

fn owners_and_modes(fixture: &Fixture) {
    fixture.with_base();
    let script = "
        stat -c '%u:%g %a' / /etc/name /data/one
        touch /file; chown 65534:65534 /file; chmod 6755 /file; stat -c '%u:%g %a' /file";

    assert_eq!(
        fixture.look(None, script),
        "0:0 755\n0:0 644\n1000:1000 644\n65534:65534 6755"
    );
}

fn anything_can_be_removed(fixture: &Fixture) {
    fixture.with_base();
    let script = "rm -r /data /etc/deep; mkdir /data; ls -A /data; ls /etc";

    assert_eq!(fixture.look(None, script), "name");
}

fn any_tree_is_deleted(fixture: &Fixture) {
    fixture.with_base();
    // Two of 2,000 levels, joined: a path of 4,000 would be too long for mkdir.
    let script = "
        half=; i=0
        while [ $i -lt 1000 ]; do half=d/d/$half; i=$((i+1)); done
        mkdir -p /top/$half /bottom/$half
        mv /bottom /top/$half
        mkdir -p /closed/inner
        i=0
        while [ $i -lt 2000 ]; do : > /closed/inner/$i; i=$((i+1)); done
        chown 1000 /closed/inner
        chmod 0 /closed/inner /closed";
    fixture.look(None, script);

    fixture.wait_for_trash();
    assert!(entries(&fixture.config.sessions).is_empty());
}

/// Thirty thousand files; with --long, a million.
fn many_are_deleted(fixture: &Fixture) {
    let is_long = std::env::args().any(|argument| argument == "--long");
    let directories = if is_long { 1000 } else { 30 };
    fixture.with_base();
    let snapshot = fixture.snapshot(None);
    let script = format!(
        "for directory in $(seq {directories}); do
            mkdir -p /many/$directory; cd /many/$directory; seq 1000 | xargs touch
        done"
    );
    fixture.run(snapshot.as_ref(), &script);
    let begun = Instant::now();
    snapshot.close().unwrap();
    let closed = begun.elapsed();
    // Deleting takes seconds at best.
    assert!(closed < Duration::from_millis(500), "{closed:?}");
    fixture.wait_for_trash();
    eprintln!("{directories}000 files deleted in {:.1?}", begun.elapsed());
    assert!(entries(&fixture.config.sessions).is_empty());
}
