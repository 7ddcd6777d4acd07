//! What the daemon does with repositories by itself: publications of many at once, snapshots, renewals, forgetting.
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::{Timestamp, ToSpan as _, Zoned};
use mini_buildd::home::Home;
use mini_buildd::model::EventType;
use mini_buildd::repositories::Repositories;
use mini_buildd::store::{Store, jobs};
use rustix::fs::FlockOperation;
use serde_json::Value;

use crate::daemon::{self, Daemon};
use crate::history::{DIST, FIRST, SECOND, include, said, word};
use crate::instance::{TestInstance, facts};
use crate::package::{Upload, deb};
use crate::packager::run;
use crate::program::program;
use crate::results::{message, request};

/// How often the dist was published, from the database beside the daemon.
fn serial(home: &Path) -> i64 {
    let database = rusqlite::Connection::open(Home::new(home).database()).unwrap();
    let query = "SELECT serial FROM dist WHERE name = ?";
    database.query_row(query, [DIST], |row| row.get(0)).unwrap()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = SystemTime::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(SystemTime::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_installed_during_a_publication_is_published_together() {
    let mut instance = TestInstance::new(&facts(), |_| {});
    instance.start_deaf();
    let names = ["one", "two", "three", "four", "five", "six"];
    let mut messages = Vec::new();
    for name in names {
        let upload = Upload::new(name, FIRST, DIST).signed(&instance.uploader);
        instance.send(&upload);
        let event = instance.wait_for(EventType::Packaging, name);
        let package = deb(instance.scratch(), name, FIRST, "amd64", name);
        let packages = vec![(format!("{name}_{FIRST}_amd64.deb"), package)];
        let request = request(&instance, &event, "amd64");
        messages.push(message(&request, &packages, &instance.key(), |_| {}));
    }
    let home = instance.home.root().to_owned();
    let before = serial(&home);
    let store = Store::open(&instance.home.database()).unwrap();
    let waiting = || {
        let unfinished = store.read(jobs::unfinished_packagings).unwrap();
        let open = unfinished
            .iter()
            .filter(|packaging| packaging.outcome().is_none());
        (unfinished.len(), open.count())
    };
    // The first one's publication waits for this, and the others come meanwhile.
    let repository = fs::File::open(home.join("repositories/test")).unwrap();
    rustix::fs::flock(&repository, FlockOperation::LockExclusive).unwrap();
    let mut messages = messages.into_iter();
    instance.send(&messages.next().unwrap());
    wait_until("the first is installed", || waiting().0 == names.len() - 1);
    for message in messages {
        instance.send(&message);
    }
    wait_until("all results are in", || waiting().1 == 0);
    assert_eq!(instance.events(EventType::Installed, "one").len(), 0);
    drop(repository);
    for name in names {
        instance.wait_for(EventType::Installed, name);
    }
    assert_eq!(serial(&home), before + 2);
}

#[test]
fn valid_until_is_renewed_by_the_running_daemon() {
    let directory = daemon::new_home();
    let home = directory.path();
    let layout = |words: &[&str], input: Option<&Path>| {
        let mut command = Command::new(program());
        command.arg("layout").args(words).args(input);
        run(command.arg("--home").arg(home)).stdout
    };
    let mut default: Value =
        serde_json::from_slice(&layout(&["show", "Default", "--json"], None)).unwrap();
    for suite in default["suites"].as_array_mut().unwrap() {
        suite["valid_days"] = 2.into();
    }
    let file = home.join("layout.json");
    fs::write(&file, default.to_string()).unwrap();
    layout(&["put"], Some(&file));
    // Its first start writes its own name.
    Daemon::start(home).end("TERM");
    let release = home.join(format!("repositories/test/dists/{DIST}/InRelease"));
    let before = fs::read_to_string(&release).unwrap();
    assert!(before.contains("\nValid-Until: "), "{before}");
    let published = serial(home);
    let database = rusqlite::Connection::open(Home::new(home).database()).unwrap();
    let age = |name: &str, seconds: u32| {
        let query = "UPDATE dist SET published_at = published_at - ? WHERE name = ?";
        assert_eq!(database.execute(query, (seconds, name)).unwrap(), 1);
    };
    // Half of two days.
    age(DIST, 24 * 3600);
    age("trixie-test-testing", 23 * 3600);
    let other = home.join("repositories/test/dists/trixie-test-testing/InRelease");
    let unchanged = fs::read_to_string(&other).unwrap();
    let _daemon = Daemon::start(home);
    wait_until("it is published anew", || serial(home) > published);
    assert_ne!(fs::read_to_string(&release).unwrap(), before);
    assert_eq!(fs::read_to_string(&other).unwrap(), unchanged);
}

#[test]
fn snapshots_come_and_go_by_rule_and_late_after_a_pause() {
    let directory = daemon::new_home();
    let home = directory.path();
    let stable = "trixie-test-stable";
    let place = Home::new(home);
    let store = Arc::new(Store::open(&place.database()).unwrap());
    let repositories = Repositories::new(place, store);
    let names = || {
        let listed = said(home, &["snapshot", "ls", stable, "--json"]);
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let names = listed
            .iter()
            .map(|snapshot| word(snapshot, "name").to_owned());
        names.collect::<Vec<_>>()
    };
    let look = |now: &Zoned| repositories.make_snapshots(now).unwrap();
    let day = |text: &str| -> Zoned { format!("{text}T12:00[UTC]").parse().unwrap() };
    // A dist that never had a package has none.
    look(&day("2030-01-05"));
    assert_eq!(names(), Vec::<String>::new());
    let files = tempfile::tempdir().unwrap();
    include(home, files.path(), FIRST);
    said(home, &["migrate", "hello", DIST, "--full"]);
    look(&day("2030-01-05"));
    look(&day("2030-01-05"));
    let mut sorted = names();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "MONTHLY_2030-01-05T12:00",
            "WEEKLY_2030-01-05T12:00",
            "YEARLY_2030-01-05T12:00"
        ]
    );
    // Sunday begins a week; a daemon that was down until Wednesday is late.
    look(&day("2030-01-09"));
    assert!(
        names().contains(&"WEEKLY_2030-01-09T12:00".into()),
        "{:?}",
        names()
    );
    look(&day("2030-01-12"));
    assert_eq!(names().len(), 4);
    said(home, &["snapshot", "create", stable, "mine"]);
    // Eight weeks are kept.
    look(&(day("2030-01-05") + 57.days()));
    assert!(
        !names().contains(&"WEEKLY_2030-01-05T12:00".into()),
        "{:?}",
        names()
    );
    look(&day("2040-01-05"));
    let mut sorted = names();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "MONTHLY_2040-01-05T12:00",
            "WEEKLY_2040-01-05T12:00",
            "YEARLY_2040-01-05T12:00",
            "mine"
        ]
    );
    said(home, &["publish"]);
    let kept = home.join(format!("repositories/test/dists/{stable}/snapshots"));
    assert_eq!(fs::read_dir(kept).unwrap().count(), 4);
}

#[test]
fn what_is_too_old_is_forgotten_by_the_look_of_the_hour() {
    let directory = daemon::new_home();
    let home = directory.path();
    let files = tempfile::tempdir().unwrap();
    include(home, files.path(), FIRST);
    said(home, &["remove", "hello", DIST, "--without-rollback"]);
    include(home, files.path(), SECOND);
    let place = Home::new(home);
    let store = Arc::new(Store::open(&place.database()).unwrap());
    let repositories = Repositories::new(place, store);
    let file = home.join(format!(
        "repositories/test/pool/main/h/hello/hello_{FIRST}.dsc"
    ));
    let now = Timestamp::now();
    for (hours, is_there) in [(364 * 24, true), (366 * 24, true), (367 * 24 + 1, false)] {
        repositories.expire(now + hours.hours()).unwrap();
        assert_eq!(file.exists(), is_there, "{hours}");
    }
}
