use std::path::PathBuf;

use backends::{Access, Config, Error};

use super::Promise;
use super::fixture::{Fixture, entries};

pub(crate) const PROMISES: &[Promise] = &[
    ("the backend works here", works_here),
    (
        "a base is not there until it is closed",
        not_there_until_closed,
    ),
    (
        "an unfinished base goes away and can be made again",
        unfinished_goes_away,
    ),
    ("a second base is refused", second_base_is_refused),
    ("changes of the source stay", source_changes_stay),
    (
        "the source is not opened while a snapshot is",
        source_waits_for_snapshots,
    ),
    (
        "a snapshot is not opened while the source is",
        snapshots_wait_for_source,
    ),
    (
        "changing the source drops the layers made on it",
        source_drops_layers,
    ),
    ("a removed base leaves nothing", removed_leaves_nothing),
    ("a base in use is not removed", used_is_not_removed),
    (
        "a base that was made beside takes the place of the old one",
        new_takes_the_place,
    ),
    (
        "a base takes a place that is empty",
        new_takes_an_empty_place,
    ),
    ("a base in use keeps its place", used_keeps_its_place),
];

fn works_here(fixture: &Fixture) {
    fixture.backend.check().unwrap();
    fixture.wait_for_trash();
    assert!(entries(&fixture.config.sessions).is_empty());
}

fn not_there_until_closed(fixture: &Fixture) {
    assert!(!fixture.backend.exists());
    fixture.backend.create().unwrap();
    let source = fixture.backend.open(Access::Source, None).unwrap();
    let early = fixture.backend.open(Access::Snapshot, None).err().unwrap();

    assert!(!fixture.backend.exists());
    assert!(matches!(early, Error::NoBase { .. }));
    source.close().unwrap();
    assert!(fixture.backend.exists());
}

fn unfinished_goes_away(fixture: &Fixture) {
    fixture.backend.create().unwrap();
    drop(fixture.backend.open(Access::Source, None).unwrap());
    assert!(!fixture.backend.exists());
    assert!(fixture.backend.open(Access::Source, None).is_err());

    fixture.with_base();
    assert_eq!(fixture.look(None, "cat /etc/name"), "base");
}

fn second_base_is_refused(fixture: &Fixture) {
    fixture.with_base();

    assert!(matches!(
        fixture.backend.create(),
        Err(Error::BaseExists { .. })
    ));
    assert_eq!(fixture.look(None, "cat /etc/name"), "base");
}

fn source_changes_stay(fixture: &Fixture) {
    fixture.with_base();
    let source = fixture.backend.open(Access::Source, None).unwrap();
    fixture.run(source.as_ref(), "echo changed > /etc/name; rm /data/one");
    source.close().unwrap();

    assert_eq!(
        fixture.look(None, "cat /etc/name; ls /data"),
        "changed\ntwo"
    );
}

fn source_waits_for_snapshots(fixture: &Fixture) {
    fixture.with_base();
    let snapshot = fixture.snapshot(None);
    let refused = fixture.backend.open(Access::Source, None).err().unwrap();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");

    snapshot.close().unwrap();
    fixture
        .backend
        .open(Access::Source, None)
        .unwrap()
        .close()
        .unwrap();
}

fn snapshots_wait_for_source(fixture: &Fixture) {
    fixture.with_base();
    let source = fixture.backend.open(Access::Source, None).unwrap();
    let refused = fixture.backend.open(Access::Snapshot, None).err().unwrap();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");

    source.close().unwrap();
    fixture.snapshot(None).close().unwrap();
}

fn source_drops_layers(fixture: &Fixture) {
    fixture.with_base();
    fixture.layer("a1", None, "echo layer > /etc/name");
    let source = fixture.backend.open(Access::Source, None).unwrap();
    source.close().unwrap();

    assert!(fixture.backend.layers().unwrap().is_empty());
}

fn removed_leaves_nothing(fixture: &Fixture) {
    fixture.with_base();
    fixture.layer("a1", None, "echo layer > /etc/name");
    fixture.backend.remove().unwrap();

    assert!(!fixture.backend.exists());
    fixture.wait_for_trash();
    assert!(!fixture.config.directory.exists());
    assert!(entries(&fixture.config.sessions).is_empty());
}

fn used_is_not_removed(fixture: &Fixture) {
    fixture.with_base();
    let snapshot = fixture.snapshot(None);

    assert!(matches!(fixture.backend.remove(), Err(Error::InUse { .. })));
    assert_eq!(fixture.run(snapshot.as_ref(), "cat /etc/name"), "base");
    snapshot.close().unwrap();
}

/// Makes a base in a chroot beside; where it is.
fn beside(fixture: &Fixture) -> PathBuf {
    let directory = fixture.config.directory.join("beside");
    let config = Config {
        directory: directory.clone(),
        ..fixture.config.clone()
    };
    let backend = backends::open(&config, &fixture.launcher);
    fixture.make_base(backend.as_ref());
    let source = backend.open(Access::Source, None).unwrap();
    fixture.run(source.as_ref(), "echo new > /etc/name");
    source.close().unwrap();
    directory
}

fn new_takes_the_place(fixture: &Fixture) {
    fixture.with_base();
    fixture.layer("a1", None, "echo layer > /etc/name");
    let directory = beside(fixture);
    assert_eq!(fixture.look(None, "cat /etc/name"), "base");

    fixture.backend.take_over(&directory).unwrap();
    assert_eq!(fixture.look(None, "cat /etc/name"), "new");
    assert!(fixture.backend.layers().unwrap().is_empty());
    assert!(!directory.exists());
    assert!(fixture.backend.verify(None).unwrap());
    fixture.wait_for_trash();
}

fn new_takes_an_empty_place(fixture: &Fixture) {
    let directory = beside(fixture);
    fixture.backend.take_over(&directory).unwrap();
    assert_eq!(fixture.look(None, "cat /etc/name"), "new");
    let again = fixture.backend.take_over(&directory).unwrap_err();
    assert!(matches!(again, Error::NoBase { .. }), "{again}");
    assert_eq!(fixture.look(None, "cat /etc/name"), "new");
}

fn used_keeps_its_place(fixture: &Fixture) {
    fixture.with_base();
    let directory = beside(fixture);
    let snapshot = fixture.snapshot(None);
    let refused = fixture.backend.take_over(&directory).unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    assert_eq!(fixture.run(snapshot.as_ref(), "cat /etc/name"), "base");

    snapshot.close().unwrap();
    fixture.backend.take_over(&directory).unwrap();
    assert_eq!(fixture.look(None, "cat /etc/name"), "new");
}
