//! Keys that sign, and how one takes the place of another, to the host's apt beside a running daemon.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use jiff::{SignedDuration, Timestamp};
use mini_buildd::home::Home;
use mini_buildd::keys::KeySet;
use mini_buildd::model::EventType;
use mini_buildd::pgp::{Keyring, SigningKey};
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Daemon, new_home};
use crate::program::program;
use crate::results::{asked, hello, message};

const DIST: &str = "trixie-test-unstable";

/// An apt that knows the repository of a daemon, and nothing else.
struct Apt {
    directory: TempDir,
    keys: PathBuf,
}

impl Apt {
    /// Its source names a file of keys: Signed-By of the last Release does not matter.
    fn with_signed_by(daemon: &Daemon, keys: &[u8]) -> Apt {
        Apt::new(daemon, keys, "signed.asc", |file| {
            file.display().to_string()
        })
    }

    /// Trusts keys for all repositories: heeds Signed-By of the last Release.
    fn with_trusted(daemon: &Daemon, keys: &[u8]) -> Apt {
        Apt::new(daemon, keys, "trusted.gpg.d/test.asc", |_| String::new())
    }

    /// Trusts keys for all repositories, and this one for ours.
    fn with_fingerprint(daemon: &Daemon, keys: &[u8], fingerprint: &str) -> Apt {
        Apt::new(daemon, keys, "trusted.gpg.d/test.asc", |_| {
            fingerprint.into()
        })
    }

    fn new(daemon: &Daemon, keys: &[u8], file: &str, signed_by: impl Fn(&Path) -> String) -> Apt {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in [
            "etc/trusted.gpg.d",
            "lists/partial",
            "cache/archives/partial",
        ] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("status"), "").unwrap();
        let file = path("etc").join(file);
        let option = match signed_by(&file) {
            named if named.is_empty() => named,
            named => format!("[signed-by={named}] "),
        };
        let sources = format!(
            "deb {option}http://{}/repositories/test {DIST} main\n",
            daemon.address()
        );
        fs::write(path("etc/sources.list"), sources).unwrap();
        let root = directory.path().display();
        let configuration = format!(
            "Dir::Etc \"{root}/etc\";\nDir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n\
             Dir::Etc::sourceparts \"/dev/null\";\nDir::State \"{root}\";\nDir::State::status \"{root}/status\";\n\
             Dir::Cache \"{root}/cache\";\nAPT::Sandbox::User \"root\";\nAcquire::http::Proxy \"DIRECT\";\n\
             Acquire::Check-Date \"true\";\nAcquire::Languages \"none\";\nAcquire::Retries \"0\";\n\
             Acquire::AllowInsecureRepositories \"false\";\n"
        );
        fs::write(path("apt.conf"), configuration).unwrap();
        let apt = Apt {
            keys: file,
            directory,
        };
        apt.install(keys);
        apt
    }

    fn install(&self, keys: &[u8]) {
        fs::write(&self.keys, keys).unwrap();
    }

    fn update(&self) -> Output {
        Command::new("apt-get")
            .args(["update", "--error-on=any"])
            .env("APT_CONFIG", self.directory.path().join("apt.conf"))
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap()
    }

    /// Fetches a Release that it has not seen yet, without even a warning.
    #[track_caller]
    fn sees_news(&self) {
        let output = self.update();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert!(output.status.success());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Get:1 "), "{said}");
    }

    /// Forgets what it saw.
    fn forget(&self) {
        let lists = self.directory.path().join("lists");
        fs::remove_dir_all(&lists).unwrap();
        fs::create_dir_all(lists.join("partial")).unwrap();
    }

    #[track_caller]
    fn refuses(&self) {
        let output = self.update();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("GPG error"), "{said}");
    }
}

fn key(home: &Path, words: &[&str]) -> Output {
    Command::new(program())
        .arg("key")
        .args(words)
        .arg("--home")
        .arg(home)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Standard output of `mini-buildd key`, which must succeed.
#[track_caller]
fn run(home: &Path, words: &[&str]) -> Vec<u8> {
    let output = key(home, words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    output.stdout
}

#[track_caller]
fn refused(home: &Path, words: &[&str], reason: &str) {
    let output = key(home, words);
    assert_eq!(output.status.code(), Some(1), "{words:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(reason), "{reason:?} is not in {said:?}");
}

fn list(home: &Path) -> Value {
    serde_json::from_slice(&run(home, &["list", "--json"])).unwrap()
}

/// What `key list` says of each key: its role.
fn roles(home: &Path) -> Vec<String> {
    let list = list(home);
    let keys = list["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["role"].as_str().unwrap().to_owned())
        .collect()
}

/// Value of a field of the published Release.
fn published(home: &Path, field: &str) -> String {
    let release = home.join(format!("repositories/test/dists/{DIST}/Release"));
    let release = fs::read_to_string(release).unwrap();
    let line = release.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap().trim_start_matches(": ").to_owned()
}

fn signed_by(home: &Path) -> String {
    published(home, "Signed-By")
}

/// Lets the window of a rollover have ended.
fn end_window(home: &Path) {
    let path = Home::new(home).rollover();
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let past = Timestamp::now() - SignedDuration::from_secs(1);
    record["next"]["until"] = past.to_string().into();
    let new = path.with_extension("test");
    fs::write(&new, record.to_string()).unwrap();
    fs::rename(new, path).unwrap();
}

/// GnuPG with one key; its agent ends with it.
struct GnuPg {
    directory: TempDir,
}

impl GnuPg {
    fn new() -> GnuPg {
        let directory = tempfile::Builder::new().prefix("gpg").tempdir().unwrap();
        GnuPg { directory }
    }

    fn run(&self, words: &[&str]) -> Vec<u8> {
        let output = Command::new("gpg")
            .arg("--homedir")
            .arg(self.directory.path())
            .args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback"])
            .args(["--passphrase", "secret"])
            .args(words)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {words:?}: {said}");
        output.stdout
    }

    fn make(&self, algorithm: &str, usage: &str, expire: &str) -> String {
        let user = "archive@example.org";
        self.run(&["--quick-generate-key", user, algorithm, usage, expire]);
        let listed = self.run(&["--with-colons", "--list-keys"]);
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:"));
        line.unwrap().split(':').nth(9).unwrap().into()
    }

    /// Its secret key in a file, and the passphrase in another.
    fn export(&self) -> (String, String) {
        let write = |name: &str, content: &[u8]| {
            let path = self.directory.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let secret = self.run(&["--armor", "--export-secret-keys"]);
        (
            write("secret.asc", &secret),
            write("passphrase", b"secret\n"),
        )
    }
}

impl Drop for GnuPg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.directory.path())
            .args(["--kill", "all"])
            .status();
    }
}

#[test]
fn client_that_gets_the_new_key_within_the_window_never_sees_an_error() {
    let directory = new_home();
    let home = directory.path();
    let mut daemon = Daemon::start(home);
    let old = run(home, &["export"]);
    let clients = [
        Apt::with_signed_by(&daemon, &old),
        Apt::with_trusted(&daemon, &old),
    ];
    let asleep = [
        Apt::with_signed_by(&daemon, &old),
        Apt::with_trusted(&daemon, &old),
    ];
    clients.iter().chain(&asleep).for_each(Apt::sees_news);

    let said = String::from_utf8(run(home, &["rotate"])).unwrap();
    assert!(said.contains("mini-buildd key export"), "{said}");
    assert_eq!(signed_by(home).matches(',').count(), 1);
    clients.iter().for_each(Apt::sees_news);

    let both = run(home, &["export"]);
    let served = daemon.ask("GET", "/mini_buildd/api/pub_key/?output=plain");
    assert_eq!(served.text().trim(), String::from_utf8_lossy(&both).trim());
    for client in &clients {
        client.install(&both);
    }

    let next = list(home)["keys"][1]["fingerprint"].clone();
    end_window(home);
    let next = next.as_str().unwrap();
    daemon.logged(&format!(" signers={next}"));
    assert_eq!(roles(home), ["primary", "retired"]);
    assert_eq!(signed_by(home), next);
    clients.iter().for_each(Apt::sees_news);

    // Who neither updated nor got the key.
    asleep.iter().for_each(Apt::refuses);
    for client in &asleep {
        client.install(&both);
    }
    let [named, trusting] = asleep;
    named.sees_news();
    // Whether apt holds this Release against Signed-By of the last one depends on its version.
    trusting.forget();
    trusting.sees_news();
}

#[test]
fn window_can_be_ended_early_and_only_on_purpose() {
    let directory = new_home();
    let home = directory.path();
    refused(home, &["rotate", "--finish"], "mini-buildd key rotate");
    run(home, &["rotate", "--window", "7"]);
    refused(home, &["rotate"], "mini-buildd key rotate --finish");
    refused(home, &["rotate", "--finish"], "--yes");
    assert_eq!(roles(home), ["primary", "next"]);
    let keys = list(home);
    let next = keys["keys"][1]["fingerprint"].as_str().unwrap();
    run(home, &["rotate", "--finish", "--yes"]);
    assert_eq!(roles(home), ["primary", "retired"]);
    assert_eq!(signed_by(home), next);
}

#[test]
fn imported_key_of_gpg_takes_the_place_of_ours() {
    let directory = new_home();
    let home = directory.path();
    let daemon = Daemon::start(home);
    let ours = Apt::with_trusted(&daemon, &run(home, &["export"]));
    ours.sees_news();
    let gnupg = GnuPg::new();
    let fingerprint = gnupg.make("rsa2048", "sign", "never");
    let (secret, passphrase) = gnupg.export();
    refused(home, &["import", &secret], "--passphrase-file");
    run(home, &["import", &secret, "--passphrase-file", &passphrase]);
    ours.sees_news();
    let theirs = Apt::with_trusted(&daemon, &gnupg.run(&["--armor", "--export"]));
    theirs.sees_news();
    run(home, &["rotate", "--finish", "--yes"]);
    theirs.sees_news();
    ours.refuses();
    assert_eq!(signed_by(home), fingerprint);
    assert_eq!(roles(home), ["primary", "retired"]);
    // Nobody needs the passphrase any more.
    let key = SigningKey::load(&Home::new(home).signing_key()).unwrap();
    assert_eq!(key.algorithm(), "rsa2048");
}

#[test]
fn subkey_signs_for_the_primary_key_that_release_and_clients_name() {
    let directory = new_home();
    let home = directory.path();
    let daemon = Daemon::start(home);
    let gnupg = GnuPg::new();
    let fingerprint = gnupg.make("ed25519", "cert", "never");
    gnupg.run(&["--quick-add-key", &fingerprint, "ed25519", "sign", "never"]);
    let (secret, passphrase) = gnupg.export();
    let import = ["import", &secret, "--passphrase-file", &passphrase];
    run(home, &[&import[..], &["--at-once"]].concat());
    assert_eq!(signed_by(home), fingerprint);
    let public = gnupg.run(&["--armor", "--export"]);
    let clients = [
        Apt::with_signed_by(&daemon, &public),
        Apt::with_trusted(&daemon, &public),
        Apt::with_fingerprint(&daemon, &public, &fingerprint),
    ];
    clients.iter().for_each(Apt::sees_news);
    Apt::with_fingerprint(&daemon, &public, &format!("{fingerprint}!")).refuses();
    // Now the one with trusted keys accepts what Signed-By of this Release says.
    run(home, &["rotate"]);
    clients.iter().for_each(Apt::sees_news);
}

#[test]
fn expiry_is_told_by_list_and_daemon_and_a_longer_lived_copy_mends_it() {
    let directory = new_home();
    let home = directory.path();
    let gnupg = GnuPg::new();
    let fingerprint = gnupg.make("ed25519", "sign", "20d");
    let (secret, passphrase) = gnupg.export();
    let import = ["import", &secret, "--passphrase-file", &passphrase];
    refused(home, &import, "--window DAYS");
    run(home, &[&import[..], &["--at-once"]].concat());
    let warning = format!("signing key {fingerprint} expires on ");
    let listed = String::from_utf8(run(home, &["list"])).unwrap();
    assert!(listed.contains(&warning), "{listed}");
    assert!(listed.contains("mini-buildd key rotate"), "{listed}");
    let mut daemon = Daemon::start(home);
    daemon.logged(&warning);

    gnupg.run(&["--quick-set-expire", &fingerprint, "2y"]);
    gnupg.export();
    run(home, &import);
    assert_eq!(list(home)["warnings"], serde_json::json!([]));
    assert_eq!(roles(home), ["primary", "retired"]);
}

#[test]
fn exported_keys_are_armored_or_binary() {
    let directory = new_home();
    let home = directory.path();
    run(home, &["rotate"]);
    let fingerprints = |words: &[&str]| {
        let mut keyring = Keyring::default();
        keyring.add(&run(home, words)).unwrap();
        keyring.fingerprints()
    };
    let armored = fingerprints(&["export"]);
    assert_eq!(armored.len(), 2);
    assert_eq!(fingerprints(&["export", "--binary"]), armored);
    assert!(!run(home, &["export", "--binary"]).starts_with(b"-----"));
}

#[test]
fn public_key_and_a_directory_without_instance_are_refused_with_the_next_command() {
    let directory = new_home();
    let home = directory.path();
    let file = home.join("public.asc");
    fs::write(&file, run(home, &["export"])).unwrap();
    let file = file.to_str().unwrap();
    refused(home, &["import", file], "--export-secret-keys");
    let none = tempfile::tempdir().unwrap();
    refused(none.path(), &["rotate"], "mini-buildd up");
    assert_eq!(roles(home), ["primary"]);
}

#[test]
fn doctor_tells_of_the_keys() {
    let directory = new_home();
    let home = directory.path();
    let output = Command::new(program())
        .args(["doctor", "--json", "--home"])
        .arg(home)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let is_told = |finding: &Value| finding["name"] == "signing keys" && finding["ok"] == true;
    assert!(findings.iter().any(is_told), "{report}");
}

#[test]
fn result_that_the_former_key_signed_is_still_taken() {
    let (mut instance, request) = asked();
    let former = instance.key();
    let message = message(&request, &hello(&instance, "amd64"), &former, |_| {});
    run(instance.home.root(), &["rotate"]);
    run(instance.home.root(), &["rotate", "--finish", "--yes"]);
    assert_ne!(instance.key().fingerprint(), former.fingerprint());
    instance.send(&message);
    instance.wait_for(EventType::Installed, "hello");
    let keys = KeySet::load(&instance.home).unwrap();
    assert_eq!(
        signed_by(instance.home.root()),
        keys.primary().fingerprint()
    );
}
