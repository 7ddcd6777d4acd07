//! The API, byte by byte as stock's clients expect it.
use std::fs;
use std::time::Duration;

use mini_buildd::home::Home;
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{self, Daemon, FQDN};
use crate::site::Answer;

/// What stock 2.2.8 answered, with its version and ports.
const STATUS: &str = r#"{"version": "2.2.8", "identity": "peer", "url": "http://mbd-peer.localdomain:8066", "incoming_url": "ftp://mbd-peer.localdomain:8067", "load": 0.0, "chroots": ["trixie:amd64"], "remotes": []}"#;
const LAYOUT: &str = r#"{"test": {"codenames": ["trixie"], "layout": {"stable": {"uploadable": false, "experimental": false, "migrates_to": null}, "hotfix": {"uploadable": true, "experimental": false, "migrates_to": "stable"}, "testing": {"uploadable": false, "experimental": false, "migrates_to": "stable"}, "unstable": {"uploadable": true, "experimental": false, "migrates_to": "testing"}, "snapshot": {"uploadable": true, "experimental": true, "migrates_to": null}, "experimental": {"uploadable": true, "experimental": true, "migrates_to": null}}}}"#;
const STATUS_PLAIN: &str = r#"{
  "version": "2.2.8",
  "identity": "peer",
  "url": "http://mbd-peer.localdomain:8066",
  "incoming_url": "ftp://mbd-peer.localdomain:8067",
  "load": 0.0,
  "chroots": [
    "trixie:amd64"
  ],
  "remotes": []
}"#;
const SOURCES_LIST: &str = "\
deb [] http://mbd-peer.localdomain:8066/repositories/test trixie-test-stable main contrib non-free non-free-firmware
deb [] http://mbd-peer.localdomain:8066/repositories/test trixie-test-hotfix main contrib non-free non-free-firmware
deb [] http://mbd-peer.localdomain:8066/repositories/test trixie-test-testing main contrib non-free non-free-firmware
deb [] http://mbd-peer.localdomain:8066/repositories/test trixie-test-unstable main contrib non-free non-free-firmware
deb [] http://mbd-peer.localdomain:8066/repositories/test trixie-test-snapshot main contrib non-free non-free-firmware
deb [] http://mbd-peer.localdomain:8066/repositories/test trixie-test-experimental main contrib non-free non-free-firmware
";
const DPUT_CONF: &str = "\
[mini-buildd-peer]
method   = ftp
fqdn     = mbd-peer.localdomain:8067
login    = anonymous
incoming = /incoming
";

struct Peer {
    home: TempDir,
    daemon: Daemon,
}

impl Peer {
    fn start() -> Peer {
        let home = daemon::new_home();
        let daemon = Daemon::start(home.path());
        Peer { home, daemon }
    }

    fn get(&self, call: &str) -> Answer {
        self.daemon.ask("GET", &format!("/mini_buildd/api/{call}"))
    }

    /// A text of ours as if our version and ports were stock's.
    fn as_stock(&self, text: &str) -> String {
        text.replace(self.daemon.url(), &format!("http://{FQDN}:8066"))
            .replace(&self.daemon.incoming_url, &format!("ftp://{FQDN}:8067"))
            .replace(
                self.daemon.incoming_url.trim_start_matches("ftp://"),
                &format!("{FQDN}:8067"),
            )
            .replace(env!("CARGO_PKG_VERSION"), "2.2.8")
    }

    fn text(&self, call: &str, kind: &str) -> String {
        let answer = self.get(call);
        assert_eq!(answer.status, 200, "{call}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some(kind), "{call}");
        self.as_stock(answer.text())
    }
}

#[test]
fn results_are_stocks_to_the_byte() {
    let peer = Peer::start();
    let json = "application/json";
    assert_eq!(peer.text("status/?output=json", json), STATUS);
    assert_eq!(peer.text("status/", json), STATUS);
    assert_eq!(peer.text("status/?output=yaml&unknown=1", json), STATUS);
    assert_eq!(
        peer.text("status/?output=plain", "text/plain"),
        STATUS_PLAIN
    );
    let with_repositories = STATUS.replace("[]}", &format!("[], \"repositories\": {LAYOUT}}}"));
    assert_eq!(
        peer.text("status/?output=json&with_repositories=True", json),
        with_repositories
    );
    let quoted = |text: &str| format!("\"{}\"", text.replace('\n', "\\n"));
    assert_eq!(
        peer.text("dput_conf/?output=plain", "text/plain"),
        DPUT_CONF
    );
    assert_eq!(peer.text("dput_conf/", json), quoted(DPUT_CONF));
    assert_eq!(
        peer.text("sources_list/?output=plain", "text/plain"),
        SOURCES_LIST
    );
    assert_eq!(
        peer.text("sources_list/?output=json&codenames=trixie", json),
        quoted(SOURCES_LIST)
    );
    let comment = "sources_list/?output=plain&with_extra_sources=True&with_comment=True&codenames=trixie\
                   &repositories=test&snapshot=&options=signed-by%3D/x";
    let commented: Vec<_> = SOURCES_LIST
        .lines()
        .map(|line| {
            let dist = line.split(' ').nth(3).unwrap();
            let origin = format!("Mini-Buildd archive peer on {FQDN}");
            let line = line.replace("[]", "[signed-by=/x]");
            format!("# {origin} '{dist}': release n={dist}, o={origin}\n{line}\n")
        })
        .collect();
    assert_eq!(peer.text(comment, "text/plain"), commented.concat());
}

#[test]
fn key_is_armored_and_dput_conf_has_what_the_administrator_adds() {
    let peer = Peer::start();
    let key = peer.text("pub_key/?output=plain", "text/plain");
    assert!(
        key.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"),
        "{key}"
    );
    assert!(
        key.ends_with("-----END PGP PUBLIC KEY BLOCK-----\n"),
        "{key}"
    );
    let added = "[other]\nmethod = scp\nfqdn = ä\n";
    fs::write(Home::new(peer.home.path()).dput_cf(), added).unwrap();
    let conf = peer.get("dput_conf/?output=plain");
    assert!(conf.text().ends_with(added), "{}", conf.text());
    let conf = peer.get("dput_conf/");
    assert!(conf.text().contains("fqdn = \\u00e4\\n"), "{}", conf.text());
    let profile = peer.text("dput_conf/?dput_ng_profile=True", "application/json");
    let profile: String = serde_json::from_str(&profile).unwrap();
    let profile: Value = serde_json::from_str(&profile).unwrap();
    assert_eq!(profile["fqdn"], format!("{FQDN}:8067"));
}

#[test]
fn refusals_are_problems_in_stocks_words() {
    let peer = Peer::start();
    for (call, status, title, detail) in [
        (
            "sources_list/?rollbacks=many",
            400,
            "Bad request syntax or unsupported method",
            "Invalid argument: rollbacks='many': not a number",
        ),
        (
            "sources_list/?snapshot=none",
            400,
            "Bad request syntax or unsupported method",
            "No such snapshot for 'trixie-test-stable': none",
        ),
        (
            "sources_list/?repositories=none",
            404,
            "Nothing matches the given URI",
            "No such repository: none",
        ),
        (
            "sources_list/?codenames=none",
            404,
            "Nothing matches the given URI",
            "No such codename: none (there is: trixie)",
        ),
        (
            "nosuchcall/?",
            404,
            "Nothing matches the given URI",
            "No such call: nosuchcall",
        ),
    ] {
        for output in ["json", "plain"] {
            let answer = peer.get(&format!("{call}&output={output}"));
            assert_eq!(answer.status, status, "{call}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json")
            );
            assert_eq!(
                answer.text(),
                format!(
                    r#"{{"type": "about:blank", "status": {status}, "title": "{title}", "detail": "{detail}", "instance": "about:blank"}}"#
                )
            );
        }
        let page = peer.get(&format!("{call}&output=html"));
        assert_eq!(page.status, status);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
    }
}

#[test]
fn methods_and_slashes_are_stocks() {
    let peer = Peer::start();
    for (method, path, status, location) in [
        ("GET", "/", 302, Some("/mini_buildd/events/")),
        ("GET", "/mini_buildd/", 302, Some("/mini_buildd/events/")),
        ("GET", "/mini_buildd", 301, Some("/mini_buildd/")),
        (
            "GET",
            "/mini_buildd/api/status?output=plain",
            301,
            Some("/mini_buildd/api/status/?output=plain"),
        ),
        ("GET", "/mini_buildd/api/nosuchcall/?output=json", 404, None),
        ("HEAD", "/mini_buildd/api/status/", 405, None),
        ("OPTIONS", "/mini_buildd/api/status/", 200, None),
        ("PUT", "/mini_buildd/api/status/", 405, None),
        ("GET", "/mini_buildd/events/", 200, None),
        ("GET", "/mini_buildd/events/?limit=x", 400, None),
        ("GET", "/mini_buildd/events/?before=x", 400, None),
        (
            "GET",
            "/mini_buildd/events/?before=1999-01-01T00:00:00",
            200,
            None,
        ),
        ("GET", "/accounts/login", 301, Some("/accounts/login/")),
        (
            "GET",
            "/mini_buildd/events/hello/1%3a2/",
            302,
            Some("/mini_buildd/events-dir/hello/1%3A2/"),
        ),
        ("GET", "/mini_buildd/events-dir/", 200, None),
        (
            "GET",
            "/repositories/test/dists/trixie-test-unstable/InRelease",
            200,
            None,
        ),
        ("GET", "/mini_buildd/repositories-dir/test/", 200, None),
        ("GET", "/nothing", 404, None),
    ] {
        let answer = peer.daemon.ask(method, path);
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("location"), location, "{method} {path}");
    }
    let snippet = peer
        .daemon
        .ask("GET", "/mini_buildd/api/status/?output=html-snippet");
    assert!(
        snippet.body.starts_with(b"<pre>"),
        "{:?}",
        String::from_utf8_lossy(&snippet.body)
    );
    assert_eq!(snippet.header("vary"), Some("Cookie"));
    let form = "POST /mini_buildd/api/status/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    let answer = crate::site::Connection::to(peer.daemon.address()).ask(form);
    assert_eq!(answer.status, 415);
    let head = peer.daemon.ask("HEAD", "/mini_buildd/api/status/");
    assert_eq!(head.header("allow"), Some("GET, POST"));
}

#[test]
fn command_prints_what_the_api_answers() {
    let peer = Peer::start();
    let output = peer.daemon.api(&["dput_conf", "ENDPOINT"]);
    assert!(output.status.success());
    assert_eq!(
        peer.as_stock(std::str::from_utf8(&output.stdout).unwrap()),
        DPUT_CONF
    );
    let output = peer.daemon.api(&["--json", "status", "ENDPOINT", "-R"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["repositories"]["test"]["codenames"][0], "trixie");
    let output = peer
        .daemon
        .api(&["sources_list", "ENDPOINT", "--snapshot", "none"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("error: http://127.0.0.1:"), "{told}");
    assert!(
        told.ends_with("No such snapshot for 'trixie-test-stable': none\n"),
        "{told}"
    );
}

#[test]
fn signal_ends_the_daemon_in_order_and_soon() {
    let home = daemon::new_home();
    for signal in ["TERM", "INT", "HUP"] {
        let (status, time) = Daemon::start(home.path()).end(signal);
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(time < Duration::from_secs(8), "{signal} took {time:?}");
    }
}

#[test]
fn second_daemon_on_a_home_is_refused() {
    let peer = Peer::start();
    let second = daemon::command(peer.home.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(
        told.contains("in use by another mini-buildd daemon"),
        "{told}"
    );
    assert_eq!(peer.get("status/").status, 200);
}

#[test]
fn home_without_an_instance_is_refused_with_the_command_that_makes_one() {
    let home = tempfile::tempdir().unwrap();
    let output = daemon::command(home.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("make one with: mini-buildd up --home"),
        "{told}"
    );
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}
