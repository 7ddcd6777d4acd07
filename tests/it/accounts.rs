//! Users, and how they and their programs log in.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::daemon::{self, Daemon};
use crate::program::program;

/// An instance with a user for each role, whose passwords are their names twice.
pub(crate) struct Peopled {
    pub(crate) home: TempDir,
    pub(crate) daemon: Daemon,
    place: TempDir,
}

/// Each with the options that make one.
pub(crate) const USERS: [(&str, &[&str]); 4] = [
    ("user", &[]),
    ("staff", &["--staff"]),
    ("admin", &["--staff", "--superuser"]),
    ("super", &["--superuser"]),
];

pub(crate) fn user(home: &Path, words: &[&str], input: &str) -> Output {
    let mut child = Command::new(program())
        .arg("user")
        .args(["--home".as_ref(), home.as_os_str()])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
pub(crate) fn said(output: &Output) -> String {
    let refused = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{refused}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
pub(crate) fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

impl Peopled {
    pub(crate) fn start() -> Peopled {
        Peopled::start_with(&[])
    }

    /// The daemon gets these words too.
    pub(crate) fn start_with(words: &[&str]) -> Peopled {
        Peopled::started(|home| Daemon::start_with(home, words))
    }

    /// Its URLs are what others on this host can reach.
    pub(crate) fn start_reachable() -> Peopled {
        Peopled::started(|home| Daemon::start_at(home, "tcp:port=0:interface=127.0.0.1"))
    }

    pub(crate) fn started(start: impl FnOnce(&Path) -> Daemon) -> Peopled {
        let home = daemon::new_home();
        for (name, roles) in USERS {
            let words = [&["add", name, "--password-file", "-"], roles].concat();
            said(&user(home.path(), &words, &format!("{name}{name}\n")));
        }
        let daemon = start(home.path());
        let place = tempfile::tempdir().unwrap();
        Peopled {
            home,
            daemon,
            place,
        }
    }

    /// The daemon is killed, and started again with these words.
    pub(crate) fn restart(self, words: &[&str]) -> Peopled {
        let Peopled {
            home,
            daemon,
            place,
        } = self;
        daemon.end("KILL");
        let daemon = Daemon::start_with(home.path(), words);
        Peopled {
            home,
            daemon,
            place,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.daemon.address())
    }

    /// A file with this line.
    pub(crate) fn secret(&self, text: &str) -> PathBuf {
        let path = self.place.path().join("secret");
        fs::write(&path, format!("{text}\n")).unwrap();
        path
    }

    /// `mini-buildd api WORDS` as a user, who is put in the place of ENDPOINT.
    pub(crate) fn api_as(&self, name: &str, words: &[&str]) -> Output {
        let password = self.secret(&format!("{name}{name}"));
        let endpoint = self.url().replace("://", &format!("://{name}@"));
        let words = words
            .iter()
            .map(|&word| if word == "ENDPOINT" { &endpoint } else { word });
        Command::new(program())
            .arg("api")
            .args(words)
            .arg("--password-file")
            .arg(password)
            .output()
            .unwrap()
    }

    /// curl with a jar of cookies; status and body.
    pub(crate) fn curl(&self, words: &[&str], path: &str) -> (u16, String) {
        let jar = self.place.path().join("jar");
        let jar = jar.to_str().unwrap();
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--noproxy",
                "*",
                "-b",
                jar,
                "-c",
                jar,
            ])
            .args(["--write-out", "\n%{http_code}"])
            .args(words)
            .arg(format!("{}{path}", self.url()))
            .output()
            .unwrap();
        let text = said(&output);
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    pub(crate) fn cookie(&self, name: &str) -> String {
        let jar = fs::read_to_string(self.place.path().join("jar")).unwrap();
        let line = jar.lines().find(|line| line.contains(name)).unwrap();
        line.rsplit_once('\t').unwrap().1.to_owned()
    }

    /// As stock's clients do it, to the letter; the URL where it ends.
    pub(crate) fn log_in(&self, name: &str, password: &str) -> (u16, String) {
        assert_eq!(self.curl(&[], "/accounts/login/").0, 200);
        let token = format!("csrfmiddlewaretoken={}", self.cookie("csrftoken"));
        let next = format!("next={}/accounts/null/", self.url());
        let fields = [
            &format!("username={name}"),
            &format!("password={password}"),
            &token,
            "this_is_the_login_form=1",
            &next,
        ];
        let mut words = vec![
            "--location",
            "--referer",
            "",
            "--write-out",
            "\n%{http_code} %{url_effective}",
        ];
        let url = self.url();
        words[2] = &url;
        for field in fields {
            words.extend(["--data-urlencode", field]);
        }
        // The last --write-out counts.
        let jar = self.place.path().join("jar");
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*"])
            .args([
                "-b".as_ref(),
                jar.as_os_str(),
                "-c".as_ref(),
                jar.as_os_str(),
            ])
            .args(words)
            .arg(format!("{url}/accounts/login/"))
            .output()
            .unwrap();
        let text = said(&output);
        let (status, ended) = text.rsplit_once('\n').unwrap().1.split_once(' ').unwrap();
        (status.parse().unwrap(), ended.to_owned())
    }
}

#[test]
fn stocks_way_to_log_in_works_and_a_session_survives_a_restart() {
    let mut peopled = Peopled::start();
    let null = format!("{}/accounts/null/", peopled.url());
    let (status, ended) = peopled.log_in("admin", "wrong");
    assert_eq!(
        (status, ended),
        (200, format!("{}/accounts/login/", peopled.url()))
    );
    let (status, _) = peopled.curl(&[], "/accounts/null/");
    assert_eq!(status, 302);
    assert_eq!(peopled.log_in("admin", "adminadmin"), (200, null));
    assert_eq!(
        peopled.curl(&[], "/accounts/null/"),
        (200, "<!DOCTYPE html>".into())
    );
    let (status, uploaders) = peopled.curl(&[], "/mini_buildd/api/uploaders/");
    assert_eq!(status, 200, "{uploaders}");

    let home = peopled.home.path().to_owned();
    peopled.daemon = Daemon::start_again(peopled.daemon, &home);
    let (status, uploaders) = peopled.curl(&[], "/mini_buildd/api/uploaders/");
    assert_eq!(status, 200, "{uploaders}");
    assert_eq!(peopled.curl(&[], "/accounts/logout/").0, 200);
    let (status, refused) = peopled.curl(&[], "/mini_buildd/api/uploaders/");
    assert_eq!(status, 401, "{refused}");
}

#[test]
fn forms_and_browsers_of_other_sites_change_nothing() {
    let peopled = Peopled::start();
    assert_eq!(peopled.log_in("admin", "adminadmin").0, 200);
    let remove =
        "/mini_buildd/api/remove/?source=hello&distribution=trixie-test-unstable&confirm=remove";
    // Stock's clients are no browsers; their call gets as far as the repository.
    let (status, body) = peopled.curl(&[], remove);
    assert_eq!(status, 400);
    assert!(
        body.contains("hello is not in trixie-test-unstable"),
        "{body}"
    );
    for header in [
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
        "Sec-Fetch-Site: cross-site",
        "Origin: http://evil.example.org",
    ] {
        let (status, body) = peopled.curl(&["-H", header], remove);
        assert_eq!(status, 403, "{header}: {body}");
    }
    let token = format!("X-CSRFToken: {}", peopled.cookie("csrftoken"));
    let json = "Content-Type: application/json";
    let data = r#"{"source": "hello", "distribution": "trixie-test-unstable"}"#;
    let post = ["-H", json, "-d", data];
    let path = "/mini_buildd/api/remove/";
    assert_eq!(peopled.curl(&post, path).0, 403);
    assert_eq!(
        peopled
            .curl(&[&post[..], &["-H", "X-CSRFToken: other"]].concat(), path)
            .0,
        403
    );
    let foreign = [
        &post[..],
        &["-H", &token, "-H", "Origin: http://evil.example.org"],
    ]
    .concat();
    assert_eq!(peopled.curl(&foreign, path).0, 403);
    let (status, body) = peopled.curl(&[&post[..], &["-H", &token]].concat(), path);
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("hello is not in"), "{body}");
    let mistyped = ["-H", json, "-H", &token, "-d", r#"{"package": "hello"}"#];
    let (status, body) = peopled.curl(&mistyped, "/mini_buildd/api/subscribe/");
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("has no argument"), "{body}");
    // A login form of another site would log its victim in as somebody else.
    let login = [
        "-d",
        "username=admin&password=adminadmin&csrfmiddlewaretoken=x",
    ];
    assert_eq!(peopled.curl(&login, "/accounts/login/").0, 403);
}

#[test]
fn calls_are_made_by_password_by_token_and_by_nobody() {
    let peopled = Peopled::start();
    let uploaders = ["--json", "uploaders", "ENDPOINT"];
    let keys = said(&peopled.api_as("admin", &uploaders));
    assert!(keys.contains("mini-buildd archive peer <"), "{keys}");
    let why = refused(&peopled.api_as("staff", &uploaders));
    assert!(
        why.contains("API call 'uploaders' needs authorization: ADMIN"),
        "{why}"
    );
    let why = refused(&peopled.daemon.api(&uploaders));
    assert!(why.contains("needs authorization: ADMIN"), "{why}");
    let why = refused(&peopled.api_as("nobody", &uploaders));
    assert!(
        why.contains("does not let nobody in: wrong name or password"),
        "{why}"
    );

    let add = [
        "token",
        "add",
        "admin",
        "laptop",
        "--call",
        "uploaders",
        "--expires",
        "1",
    ];
    let token = said(&user(peopled.home.path(), &add, ""));
    let file = peopled.secret(token.trim());
    let by_token = |call: &str, more: &[&str]| {
        let words = ["--token-file", file.to_str().unwrap(), call, "ENDPOINT"];
        peopled.daemon.api(&[&words[..], more].concat())
    };
    assert!(said(&by_token("uploaders", &[])).contains("test"));
    let why = refused(&by_token(
        "remove",
        &["hello", "trixie-test-unstable", "--auto-confirm"],
    ));
    assert!(
        why.contains("This token is not good for API call 'remove'"),
        "{why}"
    );
    let listed = said(&user(
        peopled.home.path(),
        &["token", "list", "admin", "--json"],
        "",
    ));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["calls"], serde_json::json!(["uploaders"]));
    assert!(listed[0]["used"].is_string(), "{listed}");
    said(&user(
        peopled.home.path(),
        &["token", "revoke", "admin", "1"],
        "",
    ));
    let why = refused(&by_token("uploaders", &[]));
    assert!(why.contains("unknown, expired or revoked"), "{why}");
}

#[test]
fn what_is_wrong_with_a_user_is_said() {
    let home = daemon::new_home();
    let user = |words: &[&str]| user(home.path(), words, "");
    let why = refused(&user(&["set", "jo", "--staff"]));
    assert!(why.contains("mini-buildd user add jo"), "{why}");
    let why = refused(&user(&["add", "jo"]));
    assert!(
        why.contains("add --generate or --password-file FILE"),
        "{why}"
    );
    let generated = said(&user(&[
        "add",
        "jo",
        "--email",
        "jo@example.org",
        "--generate",
    ]));
    assert_eq!(generated.trim().len(), 32, "{generated}");
    let twice = user(&["add", "jo", "--generate"]);
    assert!(refused(&twice).contains("there is a user jo already"));
    assert_eq!(twice.stdout, b"", "no password that holds nowhere");
    let why = refused(&user(&["token", "add", "jo", "a\nb"]));
    assert!(why.contains("a title of one line"), "{why}");
    let why = refused(&user(&["set", "jo", "--email", "jo"]));
    assert!(why.contains("email: is no address"), "{why}");
    let bad = user(&["add", "a/b"]);
    assert_eq!(bad.status.code(), Some(2));
    let why = refused(&user(&["token", "revoke", "jo", "1"]));
    assert!(why.contains("user jo has no token 1"), "{why}");
    said(&user(&["set", "jo", "--superuser", "--active", "false"]));
    let listed = said(&user(&["list"]));
    assert!(
        listed.contains("jo    not active, superuser  jo@example.org"),
        "{listed}"
    );
    said(&user(&["remove", "jo"]));
    assert_eq!(said(&user(&["list", "--json"])), "[]\n");
}
