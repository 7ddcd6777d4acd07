//! HTTPS: what is said by HTTP is said by TLS too, and a renewed certificate is taken without a restart.
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::daemon::{self, Daemon};
use crate::packager::{private_apt, run};
use crate::program::program;

/// A key and a certificate for this host, signed by itself; not one of an authority, which no server may be (rustls).
fn certificate(directory: &Path) {
    run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "new.key", "-out", "new.crt"])
        .current_dir(directory));
    fs::rename(directory.join("new.key"), directory.join("http.key")).unwrap();
    fs::rename(directory.join("new.crt"), directory.join("http.crt")).unwrap();
}

fn endpoint(directory: &Path) -> String {
    let place = directory.display();
    format!(
        "ssl:port=0:interface=127.0.0.1:host=localhost:privateKey={place}/http.key:certKey={place}/http.crt"
    )
}

fn curl(authority: &Path, url: &str) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
        .arg(authority)
        .arg(url)
        .output()
        .unwrap()
}

#[test]
fn curl_apt_and_our_own_client_speak_tls_and_a_new_certificate_is_taken() {
    let home = daemon::new_home();
    let place = tempfile::tempdir().unwrap();
    certificate(place.path());
    let daemon = Daemon::start_at(home.path(), &endpoint(place.path()));
    let url = daemon.url().to_owned();
    assert!(url.starts_with("https://localhost:"), "{url}");
    let known = place.path().join("known.crt");
    fs::copy(place.path().join("http.crt"), &known).unwrap();

    let status = curl(
        &known,
        &format!("{url}/mini_buildd/api/status/?output=plain"),
    );
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(text.contains(&format!("\"url\": \"{url}\"")), "{text}");
    let head = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--include", "--cacert"])
        .arg(&known)
        .arg(format!("{url}/accounts/login/"))
        .output()
        .unwrap();
    let head = String::from_utf8(head.stdout).unwrap();
    assert!(head.contains("; SameSite=Lax; Secure"), "{head}");
    let own = Command::new(program())
        .args(["api", "--json", "status", &url])
        .env("SSL_CERT_FILE", &known)
        .output()
        .unwrap();
    assert!(own.status.success(), "{own:?}");
    let key = curl(
        &known,
        &format!("{url}/mini_buildd/api/pub_key/?output=plain"),
    );
    let keyring = place.path().join("key.asc");
    fs::write(&keyring, key.stdout).unwrap();
    let source = format!(
        "deb [signed-by={} arch=amd64] {url}/repositories/test trixie-test-stable main\n",
        keyring.display()
    );
    let mut apt = private_apt("apt-get", &place.path().join("apt"), &source);
    apt.arg(format!("-oAcquire::https::CaInfo={}", known.display()));
    apt.args(["-oAcquire::https::Proxy=DIRECT", "-oAcquire::Retries=0"]);
    run(apt.args(["update", "--error-on=any"]));

    // A faulty file changes nothing, a new pair is taken.
    fs::write(place.path().join("http.crt"), "no certificate").unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert!(curl(&known, &url).status.success());
    certificate(place.path());
    let begin = Instant::now();
    while !curl(&place.path().join("http.crt"), &url).status.success() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "the new certificate is not taken"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!curl(&known, &url).status.success());
}

#[test]
fn what_is_wrong_with_an_endpoint_is_said() {
    let home = daemon::new_home();
    let place = tempfile::tempdir().unwrap();
    let refused = |endpoint: &str| {
        let output = daemon::command_at(home.path(), endpoint).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let why = refused("ssl:port=0:interface=127.0.0.1");
    assert!(
        why.contains(
            "can't listen on ssl:port=0:interface=127.0.0.1: option privateKey is missing"
        ),
        "{why}"
    );
    let why = refused(&endpoint(place.path()));
    assert!(why.contains("http.key"), "{why}");
    certificate(place.path());
    let other = tempfile::tempdir().unwrap();
    certificate(other.path());
    fs::copy(other.path().join("http.key"), place.path().join("http.key")).unwrap();
    let why = refused(&endpoint(place.path()));
    assert!(why.contains("key and certificate don't fit"), "{why}");
}
