use jiff::Timestamp;

use super::*;
use crate::archive::fixture::{self, Fixture, ROLLBACKS, diststr};
use crate::archive::{Difference, DistSettings};

const TESTING: &str = "sid-test-testing";

fn dist(name: &str) -> Diststr {
    name.parse().unwrap()
}

/// Two suites with rollbacks, each of which keeps so many versions.
fn with_two_suites(keep: u32) -> Fixture {
    let fixture = Fixture::new();
    let of = |suite: &str| {
        let suite: Diststr = dist(suite);
        fixture::settings()
            .into_iter()
            .map(move |settings| DistSettings {
                keep: if settings.diststr.rollback.is_none() {
                    keep
                } else {
                    1
                },
                diststr: Diststr {
                    suite: suite.suite.clone(),
                    ..settings.diststr.clone()
                },
                ..settings
            })
    };
    let settings: Vec<DistSettings> = of("sid-test-unstable").chain(of(TESTING)).collect();
    fixture
        .store
        .write(|tx| fixture.archive.configure(tx, &settings))
        .unwrap();
    fixture
}

/// `VERSION,VERSION … | …`: hello in unstable and its rollbacks, then in testing and its rollbacks; `-`: none.
fn state(fixture: &Fixture) -> String {
    let listed = fixture.list("hello");
    let places = [diststr(), dist(TESTING)].map(|main| {
        let places = [main.clone(), main.with_rollback(0), main.with_rollback(1)];
        let places = places.map(|place| {
            let mut versions: Vec<&str> = listed
                .iter()
                .filter(|listed| listed.diststr == place)
                .map(|listed| listed.version.as_str())
                .collect();
            versions.sort_unstable();
            if versions.is_empty() {
                "-".to_owned()
            } else {
                versions.join(",")
            }
        });
        places.join(" ")
    });
    places.join(" | ")
}

fn copy(fixture: &Fixture, from: &str, to: &str, version: Option<&str>) -> Result<bool, Error> {
    let name = "hello".parse().unwrap();
    let version = version.map(|version| version.parse().unwrap());
    let copied = fixture.store.write(|tx| {
        fixture.archive.copy(
            tx,
            &name,
            [&dist(from), &dist(to)],
            version.as_ref(),
            ROLLBACKS,
        )
    });
    copied.map(|copied| copied.changed)
}

fn restore(fixture: &Fixture, from: &str) -> Result<bool, Error> {
    let name = "hello".parse().unwrap();
    let restored = fixture
        .store
        .write(|tx| fixture.archive.restore(tx, &name, &dist(from), None));
    restored.map(|restored| restored.changed)
}

fn remove(fixture: &Fixture, from: &str, version: Option<&str>) -> Result<(), Error> {
    let name = "hello".parse().unwrap();
    let version = version.map(|version| version.parse().unwrap());
    let removed = fixture.store.write(|tx| {
        fixture
            .archive
            .remove(tx, &name, &dist(from), version.as_ref(), ROLLBACKS)
    });
    removed.map(drop)
}

fn install(fixture: &Fixture, versions: &[&str]) {
    for version in versions {
        fixture.install("hello", version).unwrap();
    }
}

/// All dists are as a client wants them.
fn check(fixture: &Fixture) {
    fixture.publish(Timestamp::now());
    for main in [diststr(), dist(TESTING)] {
        for place in [main.clone(), main.with_rollback(0), main.with_rollback(1)] {
            fixture.client(&place.to_string());
        }
    }
}

#[test]
fn a_copy_shifts_what_was_there_and_again_changes_nothing() {
    let fixture = with_two_suites(1);
    for (version, expected) in [
        ("1", "1 - - | 1 - -"),
        ("2", "2 1 - | 2 1 -"),
        ("3", "3 2 1 | 3 2 1"),
    ] {
        fixture.install("hello", version).unwrap();
        assert!(copy(&fixture, "sid-test-unstable", TESTING, None).unwrap());
        assert_eq!(state(&fixture), expected);
        assert!(!copy(&fixture, "sid-test-unstable", TESTING, None).unwrap());
        assert_eq!(state(&fixture), expected);
    }
    check(&fixture);
}

#[test]
fn a_lower_version_is_not_copied() {
    let fixture = with_two_suites(1);
    install(&fixture, &["1", "2"]);
    copy(&fixture, "sid-test-unstable", TESTING, None).unwrap();
    let refused = copy(&fixture, "sid-test-unstable-rollback0", TESTING, None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "sid-test-testing has 2 already, which is higher than hello 1"
    );
    assert_eq!(state(&fixture), "2 1 - | 2 - -");
    let missing = copy(&fixture, TESTING, "sid-test-unstable", Some("7")).unwrap_err();
    assert_eq!(missing.to_string(), "hello 7 is not in sid-test-testing");
}

#[test]
fn what_is_removed_goes_into_the_rollbacks_and_comes_back_from_there() {
    let fixture = with_two_suites(1);
    install(&fixture, &["1", "2"]);
    let present = restore(&fixture, "sid-test-unstable-rollback0").unwrap_err();
    assert!(matches!(present, Error::Present { .. }), "{present:?}");
    remove(&fixture, "sid-test-unstable", None).unwrap();
    assert_eq!(state(&fixture), "- 2 1 | - - -");
    assert!(restore(&fixture, "sid-test-unstable-rollback0").unwrap());
    assert_eq!(state(&fixture), "2 2 1 | - - -");
    // It is in a rollback already: nothing is shifted.
    remove(&fixture, "sid-test-unstable", None).unwrap();
    assert_eq!(state(&fixture), "- 2 1 | - - -");
    let gone = remove(&fixture, "sid-test-unstable", None).unwrap_err();
    assert_eq!(gone.to_string(), "hello is not in sid-test-unstable");
    check(&fixture);
}

#[test]
fn what_is_removed_without_rollback_leaves_them_alone() {
    let fixture = with_two_suites(1);
    install(&fixture, &["1", "2"]);
    fixture.remove("sid-test-unstable").unwrap();
    assert_eq!(state(&fixture), "- 1 - | - - -");
    check(&fixture);
}

#[test]
fn a_rollback_that_is_removed_is_filled_from_those_behind_it() {
    let fixture = with_two_suites(1);
    install(&fixture, &["1", "2", "3"]);
    assert_eq!(state(&fixture), "3 2 1 | - - -");
    remove(&fixture, "sid-test-unstable-rollback0", None).unwrap();
    assert_eq!(state(&fixture), "3 1 - | - - -");
    remove(&fixture, "sid-test-unstable-rollback0", None).unwrap();
    assert_eq!(state(&fixture), "3 - - | - - -");
    check(&fixture);
}

#[test]
fn where_several_versions_are_kept_the_oldest_goes_and_one_must_be_named() {
    let fixture = with_two_suites(3);
    install(&fixture, &["1", "2", "3", "4", "5"]);
    assert_eq!(state(&fixture), "3,4,5 2 1 | - - -");
    let refused = copy(&fixture, "sid-test-unstable", TESTING, None).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("(5, 4, 3); name one with --version"),
        "{refused}"
    );
    assert!(matches!(
        remove(&fixture, "sid-test-unstable", None),
        Err(Error::Ambiguous { .. })
    ));
    copy(&fixture, "sid-test-unstable", TESTING, Some("4")).unwrap();
    copy(&fixture, "sid-test-unstable", TESTING, Some("5")).unwrap();
    assert!(matches!(
        copy(&fixture, "sid-test-unstable", TESTING, Some("3")),
        Err(Error::Lower { .. })
    ));
    remove(&fixture, "sid-test-unstable", Some("4")).unwrap();
    assert_eq!(state(&fixture), "3,5 4 2 | 4,5 - -");
    check(&fixture);
    let packages = fixture.client("sid-test-unstable").packages;
    assert_eq!(
        packages["main/binary-amd64/Packages"],
        ["hello 3", "hello 5"]
    );
}

#[test]
fn a_dist_becomes_what_clients_saw_at_any_time_and_back_again() {
    let fixture = Fixture::new();
    let mut seen = Vec::new();
    let mut see = |fixture: &Fixture| {
        fixture.publish(Timestamp::now());
        seen.push((fixture.changed(), fixture.client("sid-test-unstable")));
    };
    fixture.install("hello", "1").unwrap();
    see(&fixture);
    fixture.install("other", "1").unwrap();
    see(&fixture);
    fixture.install("hello", "2").unwrap();
    see(&fixture);
    fixture.remove("sid-test-unstable").unwrap();
    see(&fixture);
    fixture.install("hello", "3").unwrap();
    see(&fixture);
    for number in [0, 3, 2, 4, 1] {
        let (at, then) = &seen[number];
        assert!(fixture.roll_back(*at).unwrap());
        assert!(!fixture.roll_back(*at).unwrap());
        assert_eq!(differences(&fixture, *at, None), Vec::<String>::new());
        fixture.publish(Timestamp::now());
        let now = fixture.client("sid-test-unstable");
        assert_eq!(now.packages, then.packages);
        // Files that are not compressed have the same content to the byte.
        for (path, sha256) in then
            .listed
            .iter()
            .filter(|(path, _)| path.ends_with("Packages"))
        {
            assert_eq!(now.listed[path], *sha256, "{path}");
        }
    }
    let times: Vec<Timestamp> = seen.iter().map(|(at, _)| *at).collect();
    assert_eq!(
        differences(&fixture, times[0], Some(times[2])),
        ["hello: 1 > 2", "other: - > 1"]
    );
    assert_eq!(
        differences(&fixture, times[2], Some(times[3])),
        ["hello: 2 > -"]
    );
    assert_eq!(
        differences(&fixture, times[4], Some(times[0])),
        ["hello: 3 > 1", "other: 1 > -"]
    );
}

/// `SOURCE: BEFORE > AFTER`
fn differences(fixture: &Fixture, before: Timestamp, after: Option<Timestamp>) -> Vec<String> {
    let found = fixture
        .store
        .read(|tx| fixture.archive.diff(tx, &diststr(), before, after));
    let versions = |versions: &[String]| match versions {
        [] => "-".to_owned(),
        versions => versions.join(","),
    };
    let of_source = |difference: &&Difference| difference.index_name == "source";
    let found = found.unwrap();
    found
        .iter()
        .filter(of_source)
        .map(|difference| {
            let [before, after] =
                [&difference.before, &difference.after].map(|side| versions(side));
            format!("{}: {before} > {after}", difference.name)
        })
        .collect()
}
