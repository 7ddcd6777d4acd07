use super::*;
use crate::archive::fixture::{Fixture, diststr};

const HOUR: Duration = Duration::from_secs(3600);
const RETENTION: Retention = Retention {
    history: Duration::from_secs(30 * 24 * 3600),
    grace: HOUR,
};

/// So many hours after all that a test has done.
fn hours(hours: u32) -> Timestamp {
    Timestamp::now() + HOUR * hours
}

fn expire_at(fixture: &Fixture, now: Timestamp) -> [usize; 2] {
    let expired = fixture.archive.expire(RETENTION, now).unwrap();
    [expired.packages, expired.files]
}

/// Version 1 of hello has left the dist, and nothing else shows it.
fn replaced() -> Fixture {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    fixture.remove("sid-test-unstable").unwrap();
    fixture.install("hello", "2").unwrap();
    fixture.publish(Timestamp::now());
    fixture
}

fn has(fixture: &Fixture, version: &str) -> bool {
    let pool = fixture.archive.directory().join("pool/main/h/hello");
    let files = [".dsc", ".tar.gz", "_amd64.deb"];
    let present = files.map(|end| pool.join(format!("hello_{version}{end}")).exists());
    assert!(present == [true; 3] || present == [false; 3], "{present:?}");
    present[0]
}

#[test]
fn what_has_left_is_kept_for_its_history_and_its_files_for_a_grace_time_more() {
    let fixture = replaced();
    assert_eq!(expire_at(&fixture, hours(30 * 24 - 1)), [0, 0]);
    assert_eq!(expire_at(&fixture, hours(30 * 24 + 1)), [2, 0]);
    assert!(has(&fixture, "1"));
    assert_eq!(expire_at(&fixture, hours(30 * 24 + 3)), [0, 3]);
    assert!(!has(&fixture, "1") && has(&fixture, "2"));
    assert_eq!(expire_at(&fixture, hours(1_000_000)), [0, 0]);
    assert_eq!(
        fixture.client("sid-test-unstable").packages["main/source/Sources"],
        ["hello 2"]
    );
}

#[test]
fn what_a_rollback_or_a_snapshot_shows_is_kept_for_ever() {
    let fixture = replaced();
    let snapshot = |version| {
        let name = format!("with-{version}").parse().unwrap();
        fixture
            .store
            .write(|tx| {
                fixture
                    .archive
                    .create_snapshot(tx, &diststr(), &name, Timestamp::now())
            })
            .unwrap();
    };
    snapshot("2");
    // 2 goes through both rollbacks, and out of the second one.
    for version in ["3", "4", "5"] {
        fixture.install("hello", version).unwrap();
    }
    fixture.publish(Timestamp::now());
    assert_eq!(expire_at(&fixture, hours(40 * 24)), [2, 0]);
    expire_at(&fixture, hours(50 * 24));
    assert_eq!(
        ["1", "2", "3", "4", "5"].map(|version| has(&fixture, version)),
        [false, true, true, true, true]
    );
    let packages = |dist| fixture.client(dist).packages["main/source/Sources"].clone();
    assert_eq!(packages("sid-test-unstable/snapshots/with-2"), ["hello 2"]);
    assert_eq!(packages("sid-test-unstable-rollback1"), ["hello 3"]);

    let name = "with-2".parse().unwrap();
    fixture
        .store
        .write(|tx| fixture.archive.delete_snapshot(tx, &diststr(), &name))
        .unwrap();
    fixture.publish(Timestamp::now());
    assert_eq!(expire_at(&fixture, hours(50 * 24)), [2, 0]);
    assert_eq!(expire_at(&fixture, hours(60 * 24)), [0, 3]);
    assert!(!has(&fixture, "2"));
}

#[test]
fn times_are_known_as_whole_or_not_at_all() {
    let fixture = Fixture::new();
    fixture.install("stays", "1").unwrap();
    fixture.install("hello", "1").unwrap();
    let with_hello = fixture.changed();
    fixture.remove("sid-test-unstable").unwrap();
    let without = fixture.changed();
    fixture.publish(Timestamp::now());
    let asked = format!("sid-test-unstable@{with_hello:.3}")
        .parse()
        .unwrap();
    let keys = crate::archive::fixture::keys();
    let time = fixture
        .archive
        .publish_time(&asked, &keys, Timestamp::now())
        .unwrap();
    fixture.archive.clean(Timestamp::now()).unwrap();
    assert!(time.directory.exists());

    expire_at(&fixture, hours(40 * 24));
    for at in [with_hello, without - Duration::from_millis(1)] {
        let refused = fixture.roll_back(at).unwrap_err();
        let since = format!("it is known since {without:.3}");
        assert!(refused.to_string().ends_with(&since), "{refused}");
    }
    assert!(!fixture.roll_back(without).unwrap());
    let gone = fixture.archive.present_time(&asked, Timestamp::now());
    assert!(matches!(gone, Err(Error::NoState { .. })), "{gone:?}");
    fixture.archive.clean(Timestamp::now()).unwrap();
    assert!(!time.directory.exists());
    let moments = fixture
        .store
        .read(|tx| fixture.archive.moments(tx, Some(&diststr()), 9));
    assert_eq!(moments.unwrap().len(), 0);
}

#[test]
fn what_left_since_the_last_publication_is_not_forgotten_before_the_next_one() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    fixture.publish(Timestamp::now());
    fixture.remove("sid-test-unstable").unwrap();
    assert_eq!(expire_at(&fixture, hours(40 * 24)), [0, 0]);
    fixture.publish(Timestamp::now());
    assert_eq!(
        fixture.client("sid-test-unstable").packages["main/source/Sources"],
        Vec::<String>::new()
    );
    assert_eq!(expire_at(&fixture, hours(40 * 24)), [2, 0]);
}

#[test]
fn a_prepared_package_is_installed_though_its_files_were_forgotten_meanwhile() {
    let fixture = replaced();
    let (dsc, binary) = fixture.files("hello", "1");
    let prepared = fixture.prepare(dsc.clone(), vec![binary.clone()]).unwrap();
    assert_eq!(expire_at(&fixture, hours(40 * 24)), [2, 0]);
    fixture.remove("sid-test-unstable").unwrap();
    fixture.install_prepared(&prepared).unwrap();
    fixture.publish(Timestamp::now());
    expire_at(&fixture, hours(50 * 24));
    assert_eq!(
        fixture.client("sid-test-unstable").packages["main/source/Sources"],
        ["hello 1"]
    );

    // Prepared while its files wait for their end.
    fixture.remove("sid-test-unstable").unwrap();
    fixture.publish(Timestamp::now());
    assert_eq!(expire_at(&fixture, hours(40 * 24))[1], 0);
    let prepared = fixture.prepare(dsc.clone(), vec![binary.clone()]).unwrap();
    assert_eq!(expire_at(&fixture, Timestamp::now()), [0, 0]);
    fixture.install_prepared(&prepared).unwrap();
    expire_at(&fixture, hours(50 * 24));
    fixture.publish(Timestamp::now());
    assert_eq!(
        fixture.client("sid-test-unstable").packages["main/source/Sources"],
        ["hello 1"]
    );

    // Deleted and come again.
    fixture.remove("sid-test-unstable").unwrap();
    fixture.publish(Timestamp::now());
    expire_at(&fixture, hours(40 * 24));
    expire_at(&fixture, hours(50 * 24));
    assert!(!has(&fixture, "1"));
    fixture.install_files(dsc, vec![binary]).unwrap();
    fixture.publish(Timestamp::now());
    assert_eq!(
        fixture.client("sid-test-unstable").packages["main/source/Sources"],
        ["hello 1"]
    );
}
