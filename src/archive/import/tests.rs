//! One repository of ours takes in another.
use std::fs;
use std::time::Duration;

use jiff::Timestamp;

use super::super::clean::Retention;
use super::super::fixture::{Fixture, diststr};
use super::*;
use crate::deb::Paragraph;

const NOW: &str = "2026-11-22T05:40:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// hello in versions 1.0 (in a snapshot, and a rollback) and 2.0.
fn theirs() -> Fixture {
    let theirs = Fixture::new();
    theirs.install("hello", "1.0").unwrap();
    let name = "first".parse().unwrap();
    theirs
        .store
        .write(|tx| theirs.archive.create_snapshot(tx, &diststr(), &name, now()))
        .unwrap();
    theirs.install("hello", "2.0").unwrap();
    theirs.publish(now());
    theirs
}

fn import(ours: &Fixture, theirs: &Fixture) -> Vec<ImportedDist> {
    let stock = Stock::read(theirs.archive.directory(), |_| true, &mut |fault| {
        panic!("{fault}")
    });
    let stock = stock.unwrap();
    let states: Vec<&State> = stock.states.iter().collect();
    let taken = ours
        .archive
        .import_packages(&stock, &states, &mut |fault| panic!("{fault}"))
        .unwrap();
    states
        .chunk_by(|one, other| one.diststr == other.diststr)
        .map(|states| {
            let diststr = &states[0].diststr;
            ours.store
                .write(|tx| {
                    ours.archive
                        .import_dist(tx, &stock, &taken, states, diststr)
                })
                .unwrap()
        })
        .collect()
}

/// `NAME VERSION` of binaries in a dist or a snapshot, whose files are in the pool.
fn packages(fixture: &Fixture, dist: &str) -> Vec<String> {
    let root = fixture.archive.directory();
    let index = root
        .join("dists")
        .join(dist)
        .join("main/binary-amd64/Packages");
    let stanzas = Paragraph::parse_all(&fs::read_to_string(index).unwrap()).unwrap();
    let package = |stanza: &Paragraph| {
        let [name, version, file] =
            ["Package", "Version", "Filename"].map(|field| stanza.get(field).unwrap());
        assert!(root.join(file).is_file(), "{file}");
        format!("{name} {version}")
    };
    stanzas.iter().map(package).collect()
}

fn compare(ours: &Fixture, theirs: &Fixture) {
    for dist in ["sid-test-unstable", "sid-test-unstable-rollback0"] {
        assert_eq!(ours.client(dist).packages, theirs.client(dist).packages);
    }
    for (dist, expected) in [
        ("sid-test-unstable", "hello 2.0"),
        ("sid-test-unstable-rollback0", "hello 1.0"),
        ("sid-test-unstable/snapshots/first", "hello 1.0"),
    ] {
        assert_eq!(packages(ours, dist), [expected], "{dist}");
    }
}

#[test]
fn a_snapshot_keeps_its_packages_when_the_past_is_forgotten() {
    let (ours, theirs) = (Fixture::new(), theirs());
    let imported = import(&ours, &theirs);
    assert_eq!((imported[0].packages, imported[0].snapshots.len()), (2, 1));
    ours.publish(now());
    compare(&ours, &theirs);

    let later = "2036-11-22T05:40:00Z".parse().unwrap();
    let at_once = Retention {
        history: Duration::ZERO,
        grace: Duration::ZERO,
    };
    ours.archive.expire(at_once, later).unwrap();
    ours.archive.sign_all_anew().unwrap();
    ours.publish(later);
    compare(&ours, &theirs);
}

#[test]
fn importing_again_changes_nothing() {
    let (ours, theirs) = (Fixture::new(), theirs());
    import(&ours, &theirs);
    ours.publish(now());
    let moments = "SELECT count(*) FROM moment";
    let before = ours.count(moments);
    assert!(
        import(&ours, &theirs)
            .iter()
            .all(|dist| *dist == ImportedDist::default())
    );
    assert_eq!(ours.count(moments), before);
    assert_eq!(ours.dirty(), Vec::<String>::new());
}

#[test]
fn a_snapshot_comes_to_a_dist_that_is_in_use() {
    let (ours, theirs) = (Fixture::new(), theirs());
    ours.install("other", "1.0").unwrap();
    let imported = import(&ours, &theirs);
    assert_eq!(imported[0].snapshots.len(), 1);
    ours.publish(now());
    assert_eq!(
        packages(&ours, "sid-test-unstable"),
        ["hello 2.0", "other 1.0"]
    );
    assert_eq!(
        packages(&ours, "sid-test-unstable/snapshots/first"),
        ["hello 1.0"]
    );
}

#[test]
fn what_an_import_took_in_before_it_was_cut_off_is_forgotten_in_time() {
    let (ours, theirs) = (Fixture::new(), theirs());
    let stock = Stock::read(theirs.archive.directory(), |_| true, &mut |fault| {
        panic!("{fault}")
    });
    let stock = stock.unwrap();
    let states: Vec<&State> = stock.states.iter().collect();
    ours.archive
        .import_packages(&stock, &states, &mut |fault| panic!("{fault}"))
        .unwrap();
    let left = || {
        let files = ours.count("SELECT count(*) FROM pool_file");
        [ours.count("SELECT count(*) FROM package"), files]
    };
    let expire = |grace, now| {
        let retention = Retention {
            history: Duration::ZERO,
            grace,
        };
        ours.archive.expire(retention, now).unwrap();
    };
    expire(Duration::from_secs(3600), Timestamp::now());
    assert_eq!(left(), [4, 6]);
    expire(Duration::ZERO, Timestamp::now() + Duration::from_secs(1));
    assert_eq!(left(), [0, 0]);
    assert!(!ours.archive.directory().join("pool").exists());
}
