//! The host's apt.
use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use mini_buildd::pgp::SigningKey;

use crate::private_apt::Apt;
use crate::repository::{DIST, ROLLBACK, Repository, architectures};
use crate::server::{Server, indices_by_hash};

/// apt-file's, of whatever name.
const CONTENTS: &[&str] = &[
    "-oAcquire::IndexTargets::deb::Contents::MetaKey=$(COMPONENT)/Contents-$(ARCHITECTURE)",
    "-oAcquire::IndexTargets::deb::Contents::ShortDescription=Contents-$(ARCHITECTURE)",
    "-oAcquire::IndexTargets::deb::Contents::Description=Contents of $(RELEASE)/$(COMPONENT)",
];
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn copying(repository: &Repository) -> Apt {
    let root = repository.archive.directory().display();
    Apt::new(repository, &format!("copy:{root}"))
}

fn served(repository: &Repository) -> (Server, Apt) {
    let server = Server::start(&repository.home);
    let apt = Apt::new(repository, &server.url());
    (server, apt)
}

fn assert_same(one: &Path, other: &Path) {
    assert!(
        fs::read(one).unwrap() == fs::read(other).unwrap(),
        "{} and {} differ",
        one.display(),
        other.display()
    );
}

#[test]
fn apt_downloads_sources_and_binaries() {
    let repository = Repository::new();
    let (dsc, deb) = repository.install("1:1.2");
    let (server, apt) = served(&repository);
    for apt in [apt, copying(&repository)] {
        apt.update();
        apt.run("apt-get", &["download", "hello", "hello-data"]);
        let own = architectures()[0];
        let downloaded = apt.downloads();
        assert_same(&downloaded.join(format!("hello_1%3a1.2_{own}.deb")), &deb);
        assert!(downloaded.join("hello-data_1%3a1.2_all.deb").exists());
        apt.run("apt-get", &["source", "hello"]);
        assert_same(&downloaded.join("hello_1.2.dsc"), &dsc);
        assert!(downloaded.join("hello-1.2/debian/control").exists());
    }
    assert_eq!(server.missing(), []);
}

#[test]
fn apt_downloads_what_it_would_install() {
    let repository = Repository::new();
    let (_, deb) = repository.install("1:1.2");
    let (_server, apt) = served(&repository);
    apt.update();
    apt.run(
        "apt-get",
        &["install", "--download-only", "--yes", "hello", "hello-data"],
    );
    let own = architectures()[0];
    let archives = apt.path("cache/archives");
    assert_same(&archives.join(format!("hello_1%3a1.2_{own}.deb")), &deb);
    assert!(archives.join("hello-data_1%3a1.2_all.deb").exists());
}

#[test]
fn apt_takes_indices_by_hash_in_every_form_that_is_listed() {
    let repository = Repository::with_packages();
    let (server, apt) = served(&repository);
    let forms = repository.forms();
    assert!(forms.contains("gz") && forms.contains("xz"), "{forms:?}");
    let own = architectures()[0];
    for form in &forms {
        apt.forget();
        apt.try_update(&[&format!("-oAcquire::CompressionTypes::Order::={form}")])
            .unwrap();
        let indices = indices_by_hash(&server.asked(), DIST, &repository.listed_by_sha512());
        for index in [
            format!("main/binary-{own}/Packages.{form}"),
            format!("main/source/Sources.{form}"),
        ] {
            assert!(indices.contains(&index), "{index} is not in {indices:?}");
        }
        let policy = apt.policy("hello");
        assert!(policy.contains("Candidate: 1:1.2\n"), "{form}: {policy}");
    }
}

#[test]
fn apt_finds_the_package_of_a_file() {
    let repository = Repository::with_packages();
    let (server, apt) = served(&repository);
    apt.try_update(CONTENTS).unwrap();
    let own = architectures()[0];
    let indices = indices_by_hash(&server.asked(), DIST, &repository.listed_by_sha512());
    let contents = format!("main/Contents-{own}.xz");
    assert!(indices.contains(&contents), "{indices:?}");
    let targets = [
        CONTENTS,
        &[
            "indextargets",
            "--format",
            "$(FILENAME)",
            "Created-By: Contents",
        ],
    ]
    .concat();
    let files = apt.run("apt-get", &targets);
    let arguments: Vec<&str> = ["cat-file"].into_iter().chain(files.lines()).collect();
    let text = apt.run("/usr/lib/apt/apt-helper", &arguments);
    let mut lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            ["usr/share/sample/hello", "misc/hello"],
            ["usr/share/sample/hello-data", "contrib/doc/hello-data"],
            ["usr/share/sample/world", "net/world"],
            ["usr/share/sample/world-dbgsym", "debug/world-dbgsym"],
        ]
    );
}

#[test]
fn apt_sees_each_publication_at_once_and_the_rollback_with_priority_one() {
    let repository = Repository::new();
    let (_server, apt) = served(&repository);
    for (apt, first) in [(apt, 1), (copying(&repository), 4)] {
        for version in first..first + 3 {
            // All within a second or two: no update may miss one.
            repository.install(&version.to_string());
            apt.update();
            let policy = apt.policy("hello");
            let candidate = format!("Candidate: {version}\n");
            assert!(policy.contains(&candidate), "{policy}");
        }
        let policy = apt.policy("hello");
        let [newest, before] = [first + 2, first + 1];
        assert!(policy.contains(&format!("     {newest} 100\n")), "{policy}");
        assert!(policy.contains(&format!("     {before} 1\n")), "{policy}");
        let sources = apt.run("apt-cache", &["policy"]);
        let release =
            format!("release o=Test archive,a={ROLLBACK},n={ROLLBACK},l={ROLLBACK},c=main");
        assert!(sources.contains(&release), "{sources}");
    }
}

#[test]
fn apt_refuses_what_another_key_signed() {
    let repository = Repository::with_packages();
    let apt = copying(&repository);
    let other = SigningKey::generate("Other", "other@example.org").unwrap();
    apt.trust(&other.public_armored());
    let refused = apt.try_update(&[]).unwrap_err();
    // gpgv's word, or sqv's.
    let is_of_key = ["NO_PUBKEY", "Missing key"].map(|word| refused.contains(word));
    assert!(is_of_key.contains(&true), "{refused}");
}

#[test]
fn apt_refuses_what_is_no_longer_valid() {
    let repository = Repository::new();
    repository.build("1");
    repository.publish_at(Timestamp::now() - 8 * DAY);
    let (_server, apt) = served(&repository);
    // Valid-Until is seven days later.
    let refused = apt.try_update(&[]).unwrap_err();
    assert!(refused.contains("InRelease is expired"), "{refused}");
    repository.build("2");
    repository.publish_at(Timestamp::now() - 6 * DAY);
    apt.try_update(&[]).unwrap();
}

#[test]
fn apt_refuses_what_is_of_tomorrow() {
    let repository = Repository::new();
    repository.build("1");
    repository.publish_at(Timestamp::now() + DAY);
    let (_server, apt) = served(&repository);
    let refused = apt.try_update(&[]).unwrap_err();
    assert!(refused.contains("is not valid yet"), "{refused}");
}

#[test]
fn apt_takes_a_clock_that_is_some_seconds_off() {
    let repository = Repository::new();
    repository.build("1");
    repository.publish_at(Timestamp::now() + SignedDuration::from_secs(5));
    let (_server, apt) = served(&repository);
    apt.update();
    assert!(apt.policy("hello").contains("Candidate: 1\n"));
}
