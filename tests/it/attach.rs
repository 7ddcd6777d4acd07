//! Events, to those who wait for them.
use std::process::Command;

use serde_json::Value;

use crate::daemon::{self, Daemon};
use crate::history::{archive, hello};
use crate::package::Upload;
use crate::program::program;
use crate::site::Connection;

/// Stock serves ten.
const CLIENTS: usize = 40;

fn include(home: &std::path::Path, version: &str) {
    let place = tempfile::tempdir().unwrap();
    let files = hello(place.path(), version);
    let files = files.each_ref().map(|file| file.to_str().unwrap());
    let words = ["include", "trixie-test-unstable", files[0], files[1]];
    assert!(archive(home, &words).status.success());
}

fn ask(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// Version of hello that an answer tells of.
fn version(connection: &mut Connection) -> String {
    let answer = connection.answer(false);
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/json; charset=UTF-8"));
    let event: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (event["type"].as_str(), event["source"].as_str()),
        (Some("INSTALLED"), Some("hello"))
    );
    event["version"].as_str().unwrap().to_owned()
}

#[test]
fn all_who_wait_hear_of_each_event_once() {
    let home = daemon::new_home();
    let daemon = Daemon::start(home.path());
    let attach = ask("/static/events.attach");
    let mut clients: Vec<Connection> = (0..CLIENTS)
        .map(|_| Connection::to(daemon.address()))
        .collect();
    for client in &mut clients {
        client.send(&attach);
    }
    let mut stream = Connection::to(daemon.address());
    stream.send(&ask("/static/events.stream"));
    while stream.line() != "" {}
    for (version_of, at) in [("1.0~test13+1", 0), ("2.0~test13+1", 1)] {
        include(home.path(), version_of);
        for client in &mut clients {
            assert_eq!(version(client), version_of, "{at}");
            // What happens now waits for this connection.
            client.send(&attach);
        }
    }
    let mut frames = Vec::new();
    while frames
        .iter()
        .filter(|line: &&String| line.starts_with("data: "))
        .count()
        < 2
    {
        frames.push(stream.line());
    }
    assert!(
        frames.contains(&"event: INSTALLED".to_owned()),
        "{frames:?}"
    );

    let mut late = Connection::to(daemon.address());
    for expected in ["1.0~test13+1", "2.0~test13+1"] {
        late.send(&ask(
            "/static/events.attach?after=2000-01-01T00%3A00%3A00%2B00%3A00",
        ));
        assert_eq!(version(&mut late), expected);
    }
    for time in ["2026-11-30T10%3A00%3A00", "soon"] {
        let mut wrong = Connection::to(daemon.address());
        let answer = wrong.ask(&ask(&format!("/static/events.attach?after={time}")));
        assert_eq!(answer.status, 400, "{time}");
    }

    daemon.signal("TERM");
    assert_eq!(clients[0].line(), "HTTP/1.1 503 Server Shutdown");
}

#[test]
fn our_own_client_tells_of_events_and_ends_as_it_is_told() {
    let home = daemon::new_home();
    let daemon = Daemon::start(home.path());
    include(home.path(), "1.0~test13+1");
    let url = format!("http://{}", daemon.address());
    let events = |more: &[&str]| {
        let words = [
            &["events", &url, "--after", "1 hour ago", "-S", "hello"],
            more,
        ]
        .concat();
        Command::new(program()).args(words).output().unwrap()
    };
    let told = events(&["-T", "INSTALLED", "MIGRATED", "--exit-on", "INSTALLED"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let event: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(event["version"], "1.0~test13+1");
    let told = events(&["-F", "INSTALLED", "-M", "1.0~test13"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let wrong = events(&["-T", "NOTHING"]);
    assert_eq!(wrong.status.code(), Some(2));
    let why = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        why.contains("is none of REJECTED, BUILDING, BUILT"),
        "{why}"
    );
}

#[test]
fn our_own_dput_uploads_once_and_ends_though_the_upload_is_rejected() {
    let home = daemon::new_home();
    let daemon = Daemon::start(home.path());
    let place = tempfile::tempdir().unwrap();
    let upload = Upload::new("hello", "1.0~test13+1", "trixie-test-unstable");
    for (name, content) in upload.unsigned() {
        std::fs::write(place.path().join(name), content).unwrap();
    }
    let changes = place.path().join("hello_1.0~test13+1_source.changes");
    let port = daemon.incoming_url.rsplit_once(':').unwrap().1;
    let config = place.path().join("dput.cf");
    let section = format!("[mini-buildd-peer]\nmethod = ftp\nfqdn = 127.0.0.1:{port}\n");
    std::fs::write(&config, section).unwrap();
    let http = format!("http://{}", daemon.address());
    let dput = |more: &[&str]| {
        Command::new(program())
            .args(["dput", "--http-endpoint", &http, "--config"])
            .arg(&config)
            .args(more)
            .args(["mini-buildd-peer".as_ref(), changes.as_os_str()])
            .output()
            .unwrap()
    };
    // Stock's client would wait without end.
    let rejected = dput(&["--check-result"]);
    assert_eq!(rejected.status.code(), Some(1), "{rejected:?}");
    let told = String::from_utf8(rejected.stdout).unwrap();
    assert!(
        told.contains("hello 1.0~test13+1 is uploaded to ftp://127.0.0.1:"),
        "{told}"
    );
    assert!(
        told.contains("hello 1.0~test13+1 trixie-test-unstable: REJECTED: "),
        "{told}"
    );
    let again = dput(&[]);
    assert_eq!(again.status.code(), Some(1));
    let why = String::from_utf8(again.stderr).unwrap();
    assert!(why.contains("to upload it again, add --force"), "{why}");
    assert!(dput(&["--force"]).status.success());
}
