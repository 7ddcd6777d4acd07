//! Letters about packages: who gets which, whatever becomes of the relay.
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use mini_buildd::model::{Event, EventType};

use crate::accounts::{Peopled, said, user};
use crate::daemon::{self, Daemon};
use crate::package::Upload;
use crate::program::program;
use crate::sink::{Letter, Sink};
use crate::tls::certificate;

const DIST: &str = "trixie-test-unstable";

fn item(peopled: &Peopled, words: &[&str]) {
    let mut command = Command::new(program());
    command.arg("item").args(words);
    command.arg("--home").arg(peopled.home.path());
    said(&command.output().unwrap());
}

/// A file with the item of NAME@example.org.
fn address(peopled: &Peopled, name: &str) -> String {
    let path = peopled.home.path().join("address.json");
    fs::write(&path, format!(r#"{{"address": "{name}@example.org"}}"#)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// As [`prepare`], with this relay.
fn telling(sink: &Sink) -> Peopled {
    prepare(Peopled::start_with(&["--smtp", &sink.relay()]))
}

/// All that happens is told to ops, of repository test also to repo; user subscribed to hello.
fn prepare(peopled: Peopled) -> Peopled {
    for name in ["ops", "repo", "nobody", "busy", "mute"] {
        item(
            &peopled,
            &["put", "email_address", &address(&peopled, name)],
        );
    }
    item(
        &peopled,
        &[
            "set",
            "--pca",
            "daemon",
            "daemon",
            r#"notify=["ops@example.org"]"#,
        ],
    );
    item(
        &peopled,
        &[
            "set",
            "--pca",
            "repository",
            "test",
            r#"notify=["repo@example.org","ops@example.org"]"#,
        ],
    );
    said(&user(
        peopled.home.path(),
        &["set", "user", "--email", "user@example.org"],
        "",
    ));
    said(&peopled.api_as("user", &["subscribe", "ENDPOINT", "hello", DIST]));
    peopled
}

/// Uploads what is rejected; its event.
fn rejected(peopled: &mut Peopled, source: &str, distribution: &str) -> Event {
    let directory = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for (name, content) in Upload::new(source, "1.0", distribution).unsigned() {
        fs::write(directory.path().join(&name), content).unwrap();
        names.push(name);
    }
    let (_, port) = peopled.daemon.incoming_url.rsplit_once(':').unwrap();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--upload-file"])
        .arg(format!("{{{}}}", names.join(",")))
        .arg(format!("ftp://127.0.0.1:{port}/incoming/"))
        .current_dir(directory.path());
    said(&curl.output().unwrap());
    let wanted = format!("{source}_1.0_REJECTED.json");
    for _ in 0..300 {
        let mut found = Vec::new();
        crate::instance::files_below(&peopled.home.path().join("var/events"), &mut found);
        if let Some(path) = found.iter().find(|path| path.ends_with(&wanted)) {
            return serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        }
        sleep(Duration::from_millis(100));
    }
    panic!("no {wanted}");
}

fn recipients(sink: &mut Sink, count: usize) -> (Vec<String>, Vec<Letter>) {
    let letters: Vec<Letter> = (0..count).map(|_| sink.letter()).collect();
    (
        letters.iter().map(|letter| letter.to.clone()).collect(),
        letters,
    )
}

/// Until so many letters wait: that one is taken, the relay tells before the daemon knows.
fn wait_for_waiting(peopled: &Peopled, count: u32) {
    let wanted = format!("mini_buildd_letters {count}.0");
    let mut metrics = String::new();
    for _ in 0..100 {
        (_, metrics) = peopled.curl(&[], "/metrics");
        if metrics.lines().any(|line| line == wanted) {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("not {wanted}: {metrics}");
}

#[test]
fn everybody_who_should_know_gets_one_letter() {
    let mut sink = Sink::new();
    let mut peopled = telling(&sink);
    let event = rejected(&mut peopled, "hello", DIST);
    let (to, letters) = recipients(&mut sink, 3);
    assert_eq!(
        to,
        ["ops@example.org", "repo@example.org", "user@example.org"]
    );
    let why = event.reason().unwrap();
    for letter in &letters {
        let subject = format!("[mini-buildd-peer] REJECTED({DIST}): hello-1.0 (source): ");
        assert!(letter.subject.starts_with(&subject), "{letter:?}");
        assert!(letter.text.contains(why), "{letter:?}");
        let (name, attached) = &letter.files[0];
        assert_eq!(name, "hello_1.0_REJECTED.json");
        assert_eq!(serde_json::from_str::<Event>(attached).unwrap(), event);
        assert_eq!(letter.headers["auto-submitted"], "auto-generated");
    }
    let reasons = [
        "because its administrators want you to know all that happens here.",
        "because its administrators want you to know all that happens in repository test.",
        "because user user subscribed to hello in trixie-test-unstable.",
    ];
    for (letter, reason) in letters.iter().zip(reasons) {
        assert!(letter.text.contains(reason), "{letter:?}");
    }

    // Fields of packages count where the repository says so, for addresses that the administrators allow.
    item(
        &peopled,
        &[
            "set",
            "--pca",
            "repository",
            "test",
            "notify=[]",
            "notify_changed_by=true",
        ],
    );
    rejected(&mut peopled, "other", DIST);
    assert_eq!(sink.letter().to, "ops@example.org");
    item(
        &peopled,
        &[
            "set",
            "--pca",
            "daemon",
            "daemon",
            r"allow_emails_to=.*@buildd\.test",
        ],
    );
    rejected(&mut peopled, "third", DIST);
    let (to, letters) = recipients(&mut sink, 2);
    assert_eq!(to, ["ops@example.org", "upl@buildd.test"]);
    assert!(
        letters[1]
            .text
            .contains("names you in its field Changed-By."),
        "{letters:?}"
    );
    rejected(&mut peopled, "lost", "nosuch");
    let (to, _) = recipients(&mut sink, 2);
    assert_eq!(
        to,
        ["ops@example.org", "upl@buildd.test"],
        "no repository forbids it"
    );
    item(
        &peopled,
        &["set", "repository", "test", "notify_changed_by=false"],
    );
    said(&peopled.api_as("user", &["unsubscribe", "ENDPOINT"]));
    rejected(&mut peopled, "hello", "trixie-test-testing");
    assert_eq!(sink.letter().to, "ops@example.org");
    wait_for_waiting(&peopled, 0);
}

#[test]
fn letters_outlive_a_relay_that_is_away_and_a_kill() {
    let mut sink = Sink::new();
    let mut peopled = telling(&sink);
    sink.away(|| {
        let event = rejected(&mut peopled, "hello", DIST);
        assert_eq!(event.kind, EventType::Rejected);
        let why = peopled.daemon.logged("will try to send a letter again");
        assert!(why.contains("smtp://127.0.0.1:"), "{why}");
        wait_for_waiting(&peopled, 3);
    });
    let mut peopled = peopled.restart(&["--smtp", &sink.relay()]);
    let (to, _) = recipients(&mut sink, 3);
    assert_eq!(
        to,
        ["repo@example.org", "user@example.org", "ops@example.org"],
        "the one that was tried comes last"
    );

    // One that is refused, or gets no answer, holds up no other.
    let notify =
        r#"notify=["mute@example.org","nobody@example.org","busy@example.org","ops@example.org"]"#;
    item(&peopled, &["set", "--pca", "daemon", "daemon", notify]);
    rejected(&mut peopled, "other", "trixie-test-testing");
    let (to, letters) = recipients(&mut sink, 5);
    assert_eq!(
        to,
        [
            "mute@example.org",
            "nobody@example.org",
            "busy@example.org",
            "ops@example.org",
            "repo@example.org"
        ]
    );
    assert_eq!(
        [true, true, true, false, false],
        [0, 1, 2, 3, 4].map(|letter: usize| letters[letter].refused)
    );
    assert!(
        peopled
            .daemon
            .logged("gave a letter up")
            .contains("nobody@example.org")
    );
    // To who is mute, and to who is busy.
    wait_for_waiting(&peopled, 2);
}

#[test]
fn letters_wait_for_a_relay_that_does_not_know_us() {
    let mut sink = Sink::new();
    let peopled = telling(&sink);
    let write_as = |peopled: &Peopled, name: &str| {
        let address = format!("email_address={name}@example.org");
        item(peopled, &["set", "--pca", "daemon", "daemon", &address]);
    };
    write_as(&peopled, "stranger");
    let mut peopled = peopled.restart(&["--smtp", &sink.relay()]);
    rejected(&mut peopled, "hello", DIST);
    let why = peopled.daemon.logged("will try to send a letter again");
    assert!(why.contains("not from you"), "{why}");
    wait_for_waiting(&peopled, 3);
    write_as(&peopled, "buildd");
    let peopled = peopled.restart(&["--smtp", &sink.relay()]);
    recipients(&mut sink, 3);
    wait_for_waiting(&peopled, 0);
}

#[test]
fn a_flood_of_what_nobody_signed_is_no_flood_of_letters() {
    let mut sink = Sink::new();
    let mut peopled = telling(&sink);
    for number in 0..21 {
        rejected(&mut peopled, &format!("junk{number}"), "nosuch");
    }
    peopled.daemon.logged("too many uploads that nobody known");
    let (_, letters) = recipients(&mut sink, 20);
    assert!(
        letters[19].subject.contains("junk19-1.0"),
        "{:?}",
        letters[19]
    );
    wait_for_waiting(&peopled, 0);
}

#[test]
fn a_misspelt_relay_is_told_where_it_is_used_and_not_shown() {
    let run = |relay: &str, words: &[&str]| {
        let mut command = Command::new(program());
        command.args(words).env("MINI_BUILDD_SMTP", relay);
        command.output().unwrap()
    };
    for relay in ["", "me:sesame@mail.example.org"] {
        said(&run(relay, &["completion", "bash"]));
    }
    let home = tempfile::tempdir().unwrap();
    let words = ["--home", home.path().to_str().unwrap()];
    let refused = run("me:sesame@mail.example.org", &words);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{why}");
    assert!(
        why.contains("MINI_BUILDD_SMTP") && why.contains("smtp://HOST"),
        "{why}"
    );
    assert!(!why.contains("sesame"), "{why}");
}

#[test]
fn nothing_is_mailed_later_that_happened_without_a_relay() {
    let mut sink = Sink::new();
    let peopled = telling(&sink);
    let mut peopled = peopled.restart(&[]);
    rejected(&mut peopled, "hello", DIST);
    let mut peopled = peopled.restart(&["--smtp", &sink.relay()]);
    rejected(&mut peopled, "later", DIST);
    let letter = sink.letter();
    assert!(letter.subject.contains("later-1.0"), "{letter:?}");
}

#[test]
fn a_relay_is_told_the_password_over_tls_only() {
    let directory = tempfile::tempdir().unwrap();
    certificate(directory.path());
    let mut sink = Sink::secure(directory.path());
    let trusting = |home: &Path, relay: &str| {
        let mut command = daemon::command(home);
        command.env("MINI_BUILDD_SMTP", relay);
        command.env("SSL_CERT_FILE", directory.path().join("http.crt"));
        Daemon::started(&mut command)
    };
    let mut peopled = prepare(Peopled::started(|home| trusting(home, &sink.relay())));
    rejected(&mut peopled, "hello", DIST);
    let (to, _) = recipients(&mut sink, 3);
    assert_eq!(to[0], "ops@example.org");

    let mut wrong =
        Peopled::started(|home| trusting(home, &sink.relay().replace("password", "sesame")));
    item(&wrong, &["put", "email_address", &address(&wrong, "ops")]);
    item(
        &wrong,
        &[
            "set",
            "--pca",
            "daemon",
            "daemon",
            r#"notify=["ops@example.org"]"#,
        ],
    );
    rejected(&mut wrong, "hello", DIST);
    let why = wrong.daemon.logged("will try to send a letter again");
    assert!(why.contains("535") && !why.contains("sesame"), "{why}");

    let mut unknown = prepare(Peopled::start_with(&["--smtp", &sink.relay()]));
    rejected(&mut unknown, "hello", DIST);
    let why = unknown.daemon.logged("will try to send a letter again");
    assert!(why.contains("set SSL_CERT_FILE=FILE"), "{why}");
}
