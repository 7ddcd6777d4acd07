//! Packages that move from the administrator's shell beside a running daemon, and dists as they were, to the host's apt.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
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
use crate::instance::{TestInstance, facts};
use crate::package::{Upload, deb};
use crate::packager::{private_apt, run};
use crate::program::program;
use crate::results::{message, request};
use crate::site::{Answer, Connection};

use crate::sample::{Binary, Samples};

const DIST: &str = "trixie-test-unstable";
const FIRST: &str = "1.0~test13+1";
const SECOND: &str = "2.0~test13+1";

/// `mini-buildd archive …`.
pub(crate) fn archive(home: &Path, words: &[&str]) -> Output {
    Command::new(program())
        .arg("archive")
        .args(words)
        .env("MINI_BUILDD_HOME", home)
        .output()
        .unwrap()
}

#[track_caller]
fn said(home: &Path, words: &[&str]) -> String {
    let output = archive(home, words);
    let refused = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {refused}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(home: &Path, words: &[&str]) -> String {
    let output = archive(home, words);
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Makes hello in this version: its .dsc and its .deb.
pub(crate) fn hello(place: &Path, version: &str) -> [PathBuf; 2] {
    let samples = Samples::new(place.to_owned());
    [
        samples.source("hello", version, "misc"),
        samples.binary(&Binary {
            name: "hello",
            version,
            architecture: "amd64",
            source: "hello",
            section: "misc",
        }),
    ]
}

/// Includes hello in this version, which is made where that did not happen yet.
fn include(home: &Path, place: &Path, version: &str) -> String {
    let file = |end: &str| place.join(format!("hello_{version}{end}"));
    let mut files = [file(".dsc"), file("_amd64.deb")];
    if !files[0].exists() {
        files = hello(place, version);
    }
    let [dsc, deb] = files.each_ref().map(|file| file.to_str().unwrap());
    said(home, &["include", DIST, dsc, deb])
}

/// Changes of the dist, newest first.
fn log(home: &Path) -> Vec<Value> {
    serde_json::from_str(&said(home, &["log", DIST, "--json"])).unwrap()
}

fn word<'a>(change: &'a Value, name: &str) -> &'a str {
    change[name].as_str().unwrap()
}

/// `DIST VERSION …` of hello, rollbacks included.
fn places(home: &Path) -> Vec<String> {
    let listed: Vec<Value> =
        serde_json::from_str(&said(home, &["ls", "hello", "--rollbacks", "--json"])).unwrap();
    let places = listed.iter();
    places
        .map(|place| format!("{} {}", word(place, "distribution"), word(place, "version")))
        .collect()
}

fn url(instance: &mut TestInstance) -> String {
    instance.running().instance.address.http_url.clone()
}

fn ask(url: &str, method: &str, path: &str) -> Answer {
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    let request = format!("{method} /repositories/test/{path} HTTP/1.1\r\nHost: h\r\n\r\n");
    Connection::to(address).ask(&request)
}

/// Updates from one dist, without even a warning, and downloads hello; its version.
#[track_caller]
fn apt_gets(instance: &mut TestInstance, dist: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let key = place.path().join("key.asc");
    fs::write(&key, instance.key().public_armored()).unwrap();
    let sources = format!(
        "deb [signed-by={} arch=amd64] {}/repositories/test {dist} main\n",
        key.display(),
        url(instance)
    );
    let apt = |words: &[&str]| {
        let mut apt = private_apt("apt-get", &place.path().join("apt"), &sources);
        apt.args(["-oAcquire::http::Proxy=DIRECT", "-oAcquire::Retries=0"]);
        apt.args(["-oAPT::Architecture=amd64", "-oAPT::Architectures=amd64"]);
        run(apt.args(words).current_dir(place.path()))
    };
    for _ in 0..2 {
        let updated = apt(&["update", "--error-on=any"]);
        assert_eq!(String::from_utf8_lossy(&updated.stderr), "", "{dist}");
    }
    apt(&["download", "hello"]);
    let names = fs::read_dir(place.path()).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let version = |name: String| {
        let name = name.strip_prefix("hello_")?.strip_suffix("_amd64.deb")?;
        Some(name.to_owned())
    };
    names.find_map(version).unwrap()
}

#[test]
fn packages_go_their_ways_from_the_shell_and_the_daemon_tells_of_it() {
    let mut instance = TestInstance::started();
    let home = instance.home.root().to_owned();
    let place = tempfile::tempdir().unwrap();
    let include = |version| include(&home, place.path(), version);
    assert_eq!(include(FIRST), format!("hello {FIRST} installed\n"));
    instance.wait_for(EventType::Installed, "hello");
    assert_eq!(include(FIRST), format!("hello {FIRST} is there already\n"));
    include(SECOND);
    let event = instance.wait_for_more(EventType::Installed, "hello", 1);
    assert_eq!(
        (event.version.as_str(), event.distribution.as_str()),
        (SECOND, DIST)
    );

    // After a single step, the whole way is what is left of it.
    said(&home, &["migrate", "hello", DIST]);
    instance.wait_for(EventType::Migrated, "hello");
    assert_eq!(
        said(&home, &["migrate", "hello", DIST, "--full"]),
        format!("hello {SECOND} is now in trixie-test-stable\n")
    );
    instance.wait_for_more(EventType::Migrated, "hello", 1);
    let again = refused(&home, &["migrate", "hello", DIST, "--full"]);
    assert!(
        again.contains("is in trixie-test-stable already"),
        "{again}"
    );
    let everywhere = [
        format!("{DIST} {SECOND}"),
        format!("{DIST}-rollback0 {FIRST}"),
        format!("trixie-test-testing {SECOND}"),
        format!("trixie-test-stable {SECOND}"),
    ];
    let sorted = |mut words: Vec<String>| {
        words.sort();
        words
    };
    assert_eq!(sorted(places(&home)), sorted(everywhere.to_vec()));
    let again = refused(&home, &["migrate", "hello", DIST]);
    assert!(
        again.contains("is in trixie-test-testing already"),
        "{again}"
    );
    let nowhere = refused(&home, &["migrate", "hello", "trixie-test-stable"]);
    assert!(nowhere.contains("migrates nowhere"), "{nowhere}");

    said(&home, &["remove", "hello", "trixie-test-stable"]);
    let event = instance.wait_for(EventType::Removed, "hello");
    assert_eq!(event.distribution, "trixie-test-stable");
    assert!(places(&home).contains(&format!("trixie-test-stable-rollback0 {SECOND}")));
    said(&home, &["migrate", "hello", "trixie-test-stable-rollback0"]);
    instance.wait_for_more(EventType::Migrated, "hello", 2);
    assert_eq!(apt_gets(&mut instance, "trixie-test-stable"), SECOND);
    // By its rule a version of another suite is refused here.
    let foreign = Samples::new(place.path().to_owned()).source("hello", "3.0~other1", "misc");
    let rule = refused(&home, &["include", DIST, foreign.to_str().unwrap()]);
    assert!(rule.contains("hello 3.0~other1 may not go into"), "{rule}");

    said(
        &home,
        &["snapshot", "create", "trixie-test-stable", "release-1"],
    );
    said(
        &home,
        &[
            "remove",
            "hello",
            "trixie-test-stable",
            "--without-rollback",
        ],
    );
    instance.wait_for_more(EventType::Removed, "hello", 1);
    let snapshot = "trixie-test-stable/snapshots/release-1";
    assert_eq!(apt_gets(&mut instance, snapshot), SECOND);
    said(
        &home,
        &["snapshot", "delete", "trixie-test-stable", "release-1"],
    );
    let gone = ask(
        &url(&mut instance),
        "GET",
        &format!("dists/{snapshot}/InRelease"),
    );
    assert_eq!(gone.status, 404);
}

#[test]
fn dist_becomes_what_it_was_and_apt_reads_it_as_of_any_time() {
    let mut instance = TestInstance::started();
    let home = instance.home.root().to_owned();
    let place = tempfile::tempdir().unwrap();
    for version in [FIRST, SECOND] {
        include(&home, place.path(), version);
    }
    said(&home, &["remove", "hello", DIST, "--without-rollback"]);
    said(&home, &["remove", "hello", &format!("{DIST}-rollback0")]);
    instance.wait_for_more(EventType::Removed, "hello", 1);
    assert_eq!(places(&home), Vec::<String>::new());
    let changes = log(&home);
    assert_eq!(
        changes
            .iter()
            .map(|change| word(change, "action"))
            .collect::<Vec<_>>(),
        [
            format!("remove hello from {DIST}"),
            format!("install hello {SECOND} into {DIST}"),
            format!("install hello {FIRST} into {DIST}"),
        ]
    );
    let table = said(&home, &["log", DIST]);
    let [after, before] = ["time", "before"].map(|side| word(&changes[1], side));
    assert!(
        table.contains(&format!("{DIST}@{after}  {DIST}@{before}  test ")),
        "{table}"
    );
    let offset = after.replace('Z', "+00:00");
    for (time, version) in [(after, SECOND), (before, FIRST), (&offset, SECOND)] {
        assert_eq!(apt_gets(&mut instance, &format!("{DIST}@{time}")), version);
    }

    let differences = said(&home, &["diff", DIST, before]);
    assert!(
        differences.contains(&format!("hello    {FIRST}  -\n")),
        "{differences}"
    );
    let unasked = refused(&home, &["rollback", DIST, before]);
    assert!(unasked.contains("add --yes"), "{unasked}");
    said(&home, &["rollback", DIST, before, "--yes"]);
    instance.wait_for(EventType::Migrated, "hello");
    assert_eq!(places(&home), [format!("{DIST} {FIRST}")]);
    assert_eq!(apt_gets(&mut instance, DIST), FIRST);
    said(
        &home,
        &["rollback", DIST, word(&changes[0], "time"), "--yes"],
    );
    instance.wait_for_more(EventType::Removed, "hello", 2);
    assert_eq!(places(&home), Vec::<String>::new());
}

#[test]
fn times_are_served_like_dists_and_refused_with_a_reason() {
    let mut instance = TestInstance::started();
    let home = instance.home.root().to_owned();
    include(&home, instance.scratch(), FIRST);
    let url = url(&mut instance);
    let changes = log(&home);
    let [time, before] = ["time", "before"].map(|side| word(&changes[0], side));
    let escaped = time.replace(':', "%3A");

    let head = ask(&url, "HEAD", &format!("dists/{DIST}@{time}/InRelease"));
    assert_eq!(head.status, 200);
    let answers = [
        format!("dists/{DIST}@{time}/InRelease"),
        format!("dists/{DIST}%40{escaped}/InRelease"),
    ]
    .map(|path| ask(&url, "GET", &path));
    let length = answers[0].body.len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    assert_eq!(answers[0].body, answers[1].body);
    let suite = format!("\nSuite: {DIST}@{time}\nCodename: {DIST}\n");
    assert!(answers[0].text().contains(&suite));
    let sources = ask(
        &url,
        "GET",
        &format!("dists/{DIST}@{time}/main/source/Sources"),
    );
    assert!(sources.text().contains("Package: hello\n"));

    let listing = ask(&url, "GET", &format!("dists/{DIST}@{time}/"));
    assert!(listing.text().contains("InRelease") && !listing.text().contains("spellings"));
    assert!(!ask(&url, "GET", "dists/").text().contains('@'));
    assert!(!ask(&url, "GET", "").text().contains("times"));
    for path in [
        format!("dists/{DIST}@{time}/nothing"),
        format!("dists/{DIST}@{time}/spellings/"),
        format!("dists/{DIST}@{time}/%2e%2e/{DIST}/InRelease"),
        format!("dists/{DIST}@{time}@{time}/InRelease"),
        format!("dists/{DIST}@..%2f{DIST}/InRelease"),
        format!("dists/@{time}/InRelease"),
        format!("times/{DIST}@{time}/InRelease"),
        format!("dists/trixie-other-unstable@{time}/InRelease"),
    ] {
        assert_eq!(ask(&url, "GET", &path).status, 404, "{path}");
    }
    let early = ask(&url, "GET", &format!("dists/{DIST}@{before}/InRelease"));
    assert_eq!(early.status, 404);
    let since = format!("it is known since {time}");
    assert!(early.text().contains(&since), "{}", early.text());

    let many = (0..20).map(|year| {
        let path = format!("dists/{DIST}@{}-01-01T00:00Z/InRelease", 2100 + year);
        ask(&url, "GET", &path)
    });
    let many: Vec<Answer> = many.collect();
    assert_eq!(many[0].status, 200);
    let refused = many.last().unwrap();
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    let still = ask(&url, "GET", &format!("dists/{DIST}@{time}/InRelease"));
    assert_eq!(still.status, 200);
}

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

mod upkeep;
