use std::os::unix::fs::MetadataExt;
use std::thread;

use jiff::{SignedDuration, ToSpan as _};

use super::*;
use crate::archive::client::Client;
use crate::archive::fixture::{Fixture, diststr, keys};

fn asked(text: &str) -> DistTime {
    text.parse().unwrap()
}

/// The dist at a time, as clients are best to name it.
fn at(time: Timestamp) -> DistTime {
    asked(&format!("{}@{time:.3}", diststr()))
}

fn publish_at(fixture: &Fixture, asked: &DistTime, now: Timestamp) -> Result<Time, Error> {
    fixture.archive.publish_time(asked, &keys(), now)
}

fn made(fixture: &Fixture, asked: &DistTime) -> Time {
    publish_at(fixture, asked, Timestamp::now()).unwrap()
}

fn seen(fixture: &Fixture, time: &Time) -> Client {
    Client::read_at(fixture.archive.directory(), &time.directory).unwrap()
}

fn names(fixture: &Fixture) -> usize {
    fs::read_dir(fixture.archive.directory().join("times"))
        .unwrap()
        .count()
}

/// Changes of the dist at so many times, oldest first.
fn many_times(fixture: &Fixture, number: usize) -> Vec<Timestamp> {
    fixture.install("hello", "1").unwrap();
    let mut times = vec![fixture.changed()];
    while times.len() < number {
        if times.len() % 2 == 1 {
            fixture.remove("sid-test-unstable").unwrap();
        } else {
            fixture.roll_back(times[0]).unwrap();
        }
        times.push(fixture.changed());
    }
    times
}

#[test]
fn a_time_is_what_a_client_saw_then_though_its_packages_have_left() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    fixture.install("other", "1").unwrap();
    fixture.publish(Timestamp::now());
    let before = fixture.client("sid-test-unstable");
    let then = fixture.changed();
    for version in ["2", "3", "4", "5"] {
        fixture.install("hello", version).unwrap();
    }
    fixture.publish(Timestamp::now());
    let after = fixture.client("sid-test-unstable");
    assert!(
        fixture
            .list("hello")
            .iter()
            .all(|listed| listed.version.as_str() != "1")
    );

    let time = made(&fixture, &at(then));
    assert_eq!(time.name(), format!("sid-test-unstable@{then:.3}"));
    assert_eq!(seen(&fixture, &time).packages, before.packages);
    let time = made(&fixture, &at(Timestamp::now()));
    assert_eq!(seen(&fixture, &time).packages, after.packages);
}

#[test]
fn a_time_between_changes_is_the_one_before_under_the_name_that_was_asked_for() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    let then = fixture.changed();
    thread::sleep(std::time::Duration::from_millis(3));
    fixture.install("hello", "2").unwrap();
    let between = then + SignedDuration::from_millis(1);
    let (exact, between) = (at(then), at(between));
    let [exact, between] = [exact, between].map(|asked| made(&fixture, &asked));
    assert_eq!(exact.directory, exact.releases);
    assert_eq!(exact.moment, between.moment);
    assert_eq!(exact.directory, between.directory);
    let read = |time: &Time, name| fs::read_to_string(time.releases.join(name)).unwrap();
    let [one, other] = [&exact, &between].map(|time| read(time, "Release"));
    assert_ne!(one, other);
    let suite = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("Suite: "));
        line.unwrap().to_owned()
    };
    assert_eq!(suite(&one), format!("Suite: {}", exact.name()));
    let spelling = between.releases.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        suite(&other),
        format!("Suite: sid-test-unstable@{spelling}")
    );
    assert_eq!(one.replace(&suite(&one), &suite(&other)), other);
    assert!(read(&between, "InRelease").contains(&other));
}

#[test]
fn what_never_was_or_is_of_the_future_is_told_apart() {
    let fixture = Fixture::new();
    let nothing = publish_at(&fixture, &at(Timestamp::now()), Timestamp::now());
    assert!(
        nothing
            .unwrap_err()
            .to_string()
            .ends_with("it never had a package")
    );
    fixture.install("hello", "1").unwrap();
    let first = fixture.changed();
    let early = publish_at(&fixture, &at(first - 1.millisecond()), first).unwrap_err();
    let since = format!("it is known since {first:.3}");
    assert!(early.to_string().ends_with(&since), "{early}");
    let unknown = asked("sid-test-nosuch@2026-11-22T05:40Z");
    assert!(matches!(
        publish_at(&fixture, &unknown, first),
        Err(Error::UnknownDist { .. })
    ));
    // A time to come is what there is now, until something changes.
    let future = asked("sid-test-unstable@2999-01-01T00:00Z");
    assert_eq!(made(&fixture, &future).moment.at, first);
    fixture.install("hello", "2").unwrap();
    assert_eq!(made(&fixture, &future).moment.at, fixture.changed());
}

#[test]
fn times_are_bounded_in_rate_and_number_and_those_in_use_stay() {
    let fixture = Fixture::new();
    let times = many_times(&fixture, MOST + 2);
    let start = Timestamp::now();
    let second = |number: usize| start + SignedDuration::from_secs(i64::try_from(number).unwrap());
    for time in &times[..MADE] {
        publish_at(&fixture, &at(*time), start).unwrap();
    }
    let next = at(times[MADE]);
    let refused = publish_at(&fixture, &next, second(59));
    assert!(matches!(refused, Err(Error::TooMany { .. })), "{refused:?}");
    // What is there may be asked for as often as one likes.
    assert!(
        fixture
            .archive
            .present_time(&at(times[0]), second(59))
            .unwrap()
            .is_some()
    );
    assert!(
        fixture
            .archive
            .present_time(&next, second(59))
            .unwrap()
            .is_none()
    );

    for (number, time) in times.iter().enumerate().skip(MADE) {
        publish_at(&fixture, &at(*time), second(60 * number)).unwrap();
        publish_at(&fixture, &at(times[0]), second(60 * number)).unwrap();
    }
    assert_eq!(names(&fixture), MOST);
    let is_there = |time: Timestamp| {
        let present = fixture.archive.present_time(&at(time), second(9999));
        present.unwrap().is_some()
    };
    assert!(is_there(times[0]));
    assert!(times[MADE..].iter().all(|time| is_there(*time)));
    assert_eq!(
        times[1..MADE]
            .iter()
            .filter(|time| is_there(**time))
            .count(),
        MOST - 1 - (times.len() - MADE)
    );
}

#[test]
fn spellings_are_bounded_too() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    let now = Timestamp::now();
    let spelling = |year: usize| asked(&format!("sid-test-unstable@{}-01-01T00:00Z", 2100 + year));
    for year in 0..MADE {
        publish_at(&fixture, &spelling(year), now).unwrap();
    }
    let refused = publish_at(&fixture, &spelling(MADE), now);
    assert!(matches!(refused, Err(Error::TooMany { .. })), "{refused:?}");
    assert_eq!(names(&fixture), 1);
    let later = now + SignedDuration::from_secs(60);
    publish_at(&fixture, &spelling(MADE), later).unwrap();
}

#[test]
fn a_time_that_many_ask_for_at_once_is_made_once() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    let asked = at(fixture.changed());
    let inodes: Vec<u64> = thread::scope(|scope| {
        let makers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let time = made(&fixture, &asked);
                    fs::metadata(time.directory.join("InRelease"))
                        .unwrap()
                        .ino()
                })
            })
            .collect();
        makers
            .into_iter()
            .map(|maker| maker.join().unwrap())
            .collect()
    });
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
}

#[test]
fn times_go_when_other_keys_sign() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    let asked = at(fixture.changed());
    made(&fixture, &asked);
    fixture.archive.sign_all_anew().unwrap();
    assert_eq!(names(&fixture), 0);
    made(&fixture, &asked);
}

#[test]
fn only_plain_times_of_a_dist_are_read() {
    for text in [
        "sid-test-unstable@2026-11-22T05:40Z",
        "sid-test-unstable-rollback1@2026-11-22T05:40:01.234Z",
        "sid-test-unstable@2026-11-22T05:40:01-03:00",
    ] {
        assert!(text.parse::<DistTime>().is_ok(), "{text}");
    }
    for text in [
        "sid-test-unstable",
        "sid-test-unstable@",
        "@2026-11-22T05:40Z",
        "sid-test-unstable@2026-11-22",
        "sid-test-unstable@2026-11-22T05:40",
        "sid-test-unstable@2026-11-22 05:40Z",
        "sid-test-unstable@2026-11-22T05:40Z\nX: y",
        "sid-test-unstable@2026-11-22T05:40+01:00[Europe/Berlin]",
        "sid-test-unstable@../../../etc",
        "sid-test-unstable@.",
    ] {
        assert!(text.parse::<DistTime>().is_err(), "{text}");
    }
}
