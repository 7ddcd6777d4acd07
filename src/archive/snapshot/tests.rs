use std::fs;

use super::*;
use crate::archive::client::names;
use crate::archive::fixture::{Fixture, diststr, keys};
use crate::archive::publish::{Step, publish};

fn name() -> SnapshotName {
    "one".parse().unwrap()
}

fn create_one(fixture: &Fixture) -> Result<(), Error> {
    let now = Timestamp::now();
    fixture.store.write(|tx| {
        fixture
            .archive
            .create_snapshot(tx, &diststr(), &name(), now)
    })
}

fn delete_one(fixture: &Fixture) -> Result<(), Error> {
    fixture
        .store
        .write(|tx| fixture.archive.delete_snapshot(tx, &diststr(), &name()))
}

fn listed(fixture: &Fixture) -> Vec<String> {
    let snapshots = fixture
        .store
        .read(|tx| fixture.archive.snapshots(tx, &diststr()));
    let snapshots = snapshots.unwrap().into_iter();
    snapshots
        .map(|snapshot| snapshot.name.to_string())
        .collect()
}

fn published(fixture: &Fixture) -> Vec<String> {
    fixture.publish(Timestamp::now());
    let directory = fixture
        .archive
        .directory()
        .join("dists/sid-test-unstable/snapshots");
    if directory.exists() {
        names(&directory)
    } else {
        Vec::new()
    }
}

#[test]
fn a_snapshot_stays_what_its_dist_was_until_it_is_deleted() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    create_one(&fixture).unwrap();
    assert_eq!(listed(&fixture), ["one"]);
    assert_eq!(published(&fixture), ["one"]);
    let before = fixture.client("sid-test-unstable");
    fixture.install("hello", "2").unwrap();
    assert_eq!(published(&fixture), ["one"]);
    let snapshot = fixture.client("sid-test-unstable/snapshots/one");
    assert_eq!(snapshot.packages, before.packages);
    assert_ne!(
        fixture.client("sid-test-unstable").packages,
        before.packages
    );
    let release = fixture
        .archive
        .directory()
        .join("dists/sid-test-unstable/snapshots/one/Release");
    let release = fs::read_to_string(release).unwrap();
    assert!(
        release.contains("\nSuite: sid-test-unstable/snapshots/one\nCodename: sid-test-unstable\n")
    );

    delete_one(&fixture).unwrap();
    assert_eq!(listed(&fixture), Vec::<String>::new());
    assert_eq!(published(&fixture), Vec::<String>::new());
    assert_eq!(fixture.count("SELECT count(*) FROM snapshot"), 0);
}

#[test]
fn a_name_is_given_once_and_again_after_it_was_deleted() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    create_one(&fixture).unwrap();
    assert!(matches!(
        create_one(&fixture),
        Err(Error::SnapshotExists { .. })
    ));
    published(&fixture);
    delete_one(&fixture).unwrap();
    assert!(matches!(
        delete_one(&fixture),
        Err(Error::NoSnapshot { .. })
    ));
    fixture.install("hello", "2").unwrap();
    // Its directory has not been deleted yet.
    create_one(&fixture).unwrap();
    assert_eq!(published(&fixture), ["one"]);
    assert_eq!(
        fixture.client("sid-test-unstable/snapshots/one").packages,
        fixture.client("sid-test-unstable").packages
    );
}

#[test]
fn what_becomes_of_a_snapshot_during_a_publication_is_left_to_the_next_one() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    create_one(&fixture).unwrap();
    let during = |change: &dyn Fn()| {
        let mut reached = |step| {
            if step == Step::Synced {
                change();
            }
        };
        publish(&fixture.archive, &keys(), Timestamp::now(), &mut reached).unwrap();
    };
    during(&|| delete_one(&fixture).unwrap());
    assert_eq!(published(&fixture), Vec::<String>::new());

    create_one(&fixture).unwrap();
    published(&fixture);
    delete_one(&fixture).unwrap();
    during(&|| create_one(&fixture).unwrap());
    assert_eq!(published(&fixture), ["one"]);
}

#[test]
fn other_keys_sign_snapshots_too() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    create_one(&fixture).unwrap();
    published(&fixture);
    let release = fixture
        .archive
        .directory()
        .join("dists/sid-test-unstable/snapshots/one/Release.gpg");
    let before = fs::read(&release).unwrap();
    fixture.archive.sign_all_anew().unwrap();
    fixture.publish("2030-01-01T00:00:00Z".parse().unwrap());
    assert_ne!(fs::read(&release).unwrap(), before);
}
