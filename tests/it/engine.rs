//! Calls that keep an instance going: start, stop, periodic jobs; and what is other in one source than in another.
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;

use mini_buildd::chroots::comparison::SourceFiles;
use serde_json::{Value, json};

use crate::accounts::{Peopled, refused, said};
use crate::base::Base;
use crate::sample::Samples;

fn asked(peopled: &Peopled, words: &[&str]) -> Value {
    let words = [&["--json", "--auto-confirm"], words].concat();
    serde_json::from_str(&said(&peopled.api_as("admin", &words))).unwrap()
}

/// What its FTP server says first.
fn greeting(peopled: &Peopled) -> String {
    let (_, port) = peopled.daemon.incoming_url.rsplit_once(':').unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn stopped_it_takes_nothing_and_started_again_it_does() {
    let peopled = Peopled::start();
    assert!(greeting(&peopled).starts_with("220 "));
    assert_eq!(asked(&peopled, &["stop", "ENDPOINT"]), json!({}));
    assert!(
        greeting(&peopled).starts_with("421 "),
        "{}",
        greeting(&peopled)
    );
    assert_eq!(
        asked(&peopled, &["status", "ENDPOINT"])["load"],
        json!(-1.0)
    );
    let why = refused(&peopled.api_as("admin", &["uploaders", "ENDPOINT"]));
    assert!(
        why.contains("API call 'uploaders' needs a running daemon"),
        "{why}"
    );
    assert_eq!(asked(&peopled, &["start", "ENDPOINT"]), json!({}));
    assert_eq!(asked(&peopled, &["status", "ENDPOINT"])["load"], json!(0.0));
    assert!(greeting(&peopled).starts_with("220 "));
}

#[test]
fn numbers_are_told_to_prometheus() {
    let peopled = Peopled::start();
    let (status, text) = peopled.curl(&[], "/metrics");
    assert_eq!(status, 200);
    for line in [
        "# TYPE mini_buildd_running gauge\nmini_buildd_running 1.0\n",
        "mini_buildd_builds 0.0\n",
        "mini_buildd_packages{repository=\"test\"} 0.0\n",
        "mini_buildd_unpublished_dists{repository=\"test\"} 0.0\n",
        "mini_buildd_event_clients 0.0\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(!text.contains("admin") && !text.contains(peopled.home.path().to_str().unwrap()));
}

#[test]
fn periodic_jobs_run_when_somebody_asks() {
    let peopled = Peopled::start();
    let id = "cronjob_snapshots (WEEKLY)";
    assert_eq!(
        asked(&peopled, &["cronjob", "ENDPOINT", id]),
        json!({id: true})
    );
    let unknown = ["--auto-confirm", "cronjob", "ENDPOINT", "nosuch"];
    let why = refused(&peopled.api_as("admin", &unknown));
    assert!(
        why.contains("No such cronjob: nosuch (there are: 'cronjob_snapshots (WEEKLY)', "),
        "{why}"
    );
    let unknown = [
        "--auto-confirm",
        "remake_chroots",
        "ENDPOINT",
        "--keys",
        "sid:m68k",
    ];
    let why = refused(&peopled.api_as("admin", &unknown));
    assert!(
        why.contains("No such chroot: sid:m68k (there are: trixie:amd64)"),
        "{why}"
    );
}

#[test]
fn two_versions_of_a_source_are_compared_in_a_chroot() {
    let base = Base::get();
    let samples = Samples::new(base.directory("compared"));
    let [old, new] = ["1.0", "1.1"].map(|version| {
        let dsc = samples.source("hello", version, "misc");
        let tar = samples.directory.join(format!("hello_{version}.tar.gz"));
        SourceFiles {
            title: format!("hello-{version}"),
            files: vec![dsc, tar],
        }
    });
    let difference = base.chroots.compare(&base.chroot, [&old, &new]).unwrap();
    for line in [
        "diff -Nru hello-1.0/debian/changelog hello-1.1/debian/changelog\n",
        "\n-hello (1.0) unstable; urgency=low\n",
        "\n+hello (1.1) unstable; urgency=low\n",
    ] {
        assert!(difference.contains(line), "{line}: {difference}");
    }
    let same = base.chroots.compare(&base.chroot, [&old, &old]).unwrap();
    assert_eq!(same, "");
    let broken = SourceFiles {
        files: old.files[..1].to_vec(),
        ..old.clone()
    };
    assert!(base.chroots.compare(&base.chroot, [&broken, &new]).is_err());

    let peopled = Peopled::start();
    let none = ["debdiff", "ENDPOINT", "hello", "test"];
    let why = refused(&peopled.daemon.api(&none));
    assert!(
        why.contains("There are no two versions to compare"),
        "{why}"
    );
    let none = [
        "debdiff", "ENDPOINT", "hello", "test", "-a", "1.0", "-b", "1.1",
    ];
    let why = refused(&peopled.daemon.api(&none));
    assert!(
        why.contains("Can't find hello_1.0.dsc in pool of repository 'test'"),
        "{why}"
    );
}
