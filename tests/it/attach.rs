//! Events, to those who wait for them.
use serde_json::Value;

use crate::daemon::{self, Daemon};
use crate::history::{archive, hello};
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
