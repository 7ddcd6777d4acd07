//! HTTPS: what is said by HTTP is said by TLS too, and a renewed certificate is taken without a restart.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mini_buildd::model::EventType;
use rustix::process::Signal;

use crate::buildd::Buildd;
use crate::daemon::{self, Daemon};
use crate::package::Upload;
use crate::packager::{private_apt, run};
use crate::program::program;
use crate::small_source::SmallSource;

/// A key and a certificate for this host, signed by itself; not one of an authority, which no server may be (rustls).
pub(crate) fn certificate(directory: &Path) {
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

#[test]
fn builds_get_their_dependencies_from_a_repository_that_speaks_tls() {
    let mut buildd = Buildd::started("tls");
    buildd.end(Signal::TERM);
    let certificate = buildd.speak_tls();
    buildd.start();
    let place = tempfile::tempdir().unwrap();
    let version = format!("1.0{}", buildd.suffix);
    for (name, fields) in [("mbd-base", ""), ("mbd-based", "Build-Depends: mbd-base\n")] {
        let source = SmallSource {
            name,
            build: if fields.is_empty() {
                "true"
            } else {
                "mbd-base"
            },
            fields: (fields, ""),
            ..SmallSource::default()
        };
        let tree = source.write(place.path());
        let changes = buildd.uploader.build_source(&tree, &version, &buildd.dist);
        let mut dput = Command::new(program());
        dput.args(["dput", "--check-result", &buildd.incoming_url])
            .args(["--http-endpoint", &buildd.http_url])
            .arg(&changes)
            .env("SSL_CERT_FILE", &certificate);
        run(&mut dput);
        buildd.ended(name, EventType::Installed);
        if fields.is_empty() {
            // The same again is refused, whatever happened before.
            let again = dput.arg("--force").output().unwrap();
            assert_eq!(again.status.code(), Some(1), "{again:?}");
            let said = String::from_utf8(again.stdout).unwrap();
            assert!(said.contains("REJECTED"), "{said}");
        }
    }
    let log = buildd.build_logs("mbd-based").concat();
    assert!(log.contains("mbd-base works"), "{log}");
}

#[test]
fn a_socket_in_the_file_system_is_served_beside_a_port_and_goes_away_with_the_daemon() {
    let home = daemon::new_home();
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("http");
    let endpoint = format!("unix:{}:mode=600", socket.display());
    // One that a daemon left behind which was killed.
    drop(UnixListener::bind(&socket).unwrap());
    let daemon = Daemon::start_with(home.path(), &["--http-endpoint", &endpoint]);
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let asked = Command::new("curl")
        .args(["--silent", "--show-error", "--unix-socket"])
        .arg(&socket)
        .arg("http://localhost/mini_buildd/api/status/?output=plain")
        .output()
        .unwrap();
    let text = String::from_utf8(asked.stdout).unwrap();
    assert!(
        text.contains(&format!("\"url\": \"{}\"", daemon.url())),
        "{text}"
    );
    daemon.end("TERM");
    assert!(!socket.exists());

    let refused = |endpoints: &[&str]| {
        let mut command = daemon::command_at(home.path(), endpoints[0]);
        for endpoint in &endpoints[1..] {
            command.args(["--http-endpoint", endpoint]);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let why = refused(&[&endpoint]);
    assert!(why.contains("put unix: behind it"), "{why}");
    let port = "tcp:port=0:interface=127.0.0.1";
    let why = refused(&[port, "unix:here"]);
    assert!(why.contains("unix:address=here"), "{why}");
    let why = refused(&[port, &format!("{endpoint}8")]);
    assert!(why.contains("mode is not an octal number"), "{why}");
    // A file that is none of ours stays.
    fs::write(&socket, "mine").unwrap();
    let why = refused(&[port, &endpoint]);
    assert!(why.contains("Address already in use"), "{why}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "mine");
}

/// Sends files over TLS as python's ftplib does.
const FTPLIB: &str = r#"
import ftplib, io, ssl, sys
certificate, port = sys.argv[1], int(sys.argv[2])
ftp = ftplib.FTP_TLS(context=ssl.create_default_context(cafile=certificate))
ftp.connect("localhost", port)
try:
    ftp.login(secure=False)
    sys.exit("logged in without TLS")
except ftplib.error_perm as refusal:
    assert "AUTH TLS" in str(refusal), refusal
ftp.auth()
ftp.login()
ftp.cwd("/incoming")
try:
    ftp.storbinary("STOR a_1.dsc", io.BytesIO(b"x"))
    sys.exit("sent without TLS")
except ftplib.error_perm as refusal:
    assert "PROT P" in str(refusal), refusal
ftp.prot_p()
print(ftp.storbinary("STOR a_1.dsc", io.BytesIO(b"x" * 300000)))
print(ftp.size("a_1.dsc"), ftp.nlst())
ftp.quit()
"#;

/// Slips a command in before TLS, to be obeyed after it.
const INJECTION: &str = r#"
import socket, ssl, sys
plain = socket.create_connection(("localhost", int(sys.argv[2])))
plain.recv(1000)
plain.sendall(b"AUTH TLS\r\nUSER anonymous\r\n")
print(plain.recv(1000).decode().strip())
try:
    private = ssl.create_default_context(cafile=sys.argv[1]).wrap_socket(plain, server_hostname="localhost")
    print("private", private.recv(1000))
except (OSError, ssl.SSLError):
    print("refused")
"#;

#[test]
fn files_come_in_over_tls_only_where_the_endpoint_says_so() {
    let home = daemon::new_home();
    let own = |words: &[&str]| {
        let mut command = Command::new(program());
        run(command.args(words).arg("--home").arg(home.path()))
    };
    let made = own(&["self-signed-certificate", "create", "localhost"]);
    let made = String::from_utf8(made.stdout).unwrap();
    let [key, certificate] = ["keys/tls.key", "etc/tls.crt"].map(|name| home.path().join(name));
    assert!(made.contains(certificate.to_str().unwrap()), "{made}");
    let permissions = fs::metadata(&key).unwrap().permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
    let endpoint = format!(
        "ssl:port=0:interface=127.0.0.1:host=localhost:privateKey={}:certKey={}",
        key.display(),
        certificate.display()
    );
    own(&[
        "item",
        "set",
        "daemon",
        "daemon",
        &format!("ftp_endpoint={endpoint}"),
        "--pca",
    ]);
    let mut daemon = Daemon::start_at(home.path(), &endpoint);
    let url = daemon.incoming_url.clone();
    let port = url.strip_prefix("ftps://localhost:").unwrap().to_owned();
    let python = |script: &str| {
        let mut python = Command::new("python3");
        let output = run(python.args(["-c", script]).arg(&certificate).arg(&port));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = python(FTPLIB);
    assert_eq!(said, "226 received\n300000 ['a_1.dsc']\n");
    assert_eq!(python(INJECTION), "234 go on with TLS\nrefused\n");

    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = place.path().join(name);
        fs::write(&path, "x").unwrap();
        path
    };
    let sent = |options: &[&str], name: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
            .arg(&certificate)
            .args(options)
            .arg("--upload-file")
            .arg(file(name))
            .arg(format!("ftp://localhost:{port}/incoming/"))
            .output()
            .unwrap()
    };
    assert!(sent(&["--ssl-reqd"], "b_1.dsc").status.success());
    assert!(!sent(&[], "c_1.dsc").status.success());
    let commands = format!(
        "set ftp:ssl-force true; set ssl:ca-file {}; cd incoming; put {}; bye",
        certificate.display(),
        file("d_1.dsc").display()
    );
    run(Command::new("lftp").args([
        "-c",
        &format!("open -u anonymous,x -p {port} ftp://localhost; {commands}"),
    ]));

    // Our own client, on the far side of the test, and the instance's on this one.
    for (name, content) in Upload::new("hello", "1.0~test13+1", "trixie-test-unstable").unsigned() {
        fs::write(place.path().join(name), content).unwrap();
    }
    let changes = place.path().join("hello_1.0~test13+1_source.changes");
    let dput = |trusted: Option<&Path>| {
        let mut dput = Command::new(program());
        dput.args(["dput", "--force", &url]).arg(&changes);
        dput.env("SSL_CERT_FILE", trusted.unwrap_or(Path::new("/dev/null")));
        dput.output().unwrap()
    };
    let stranger = dput(None);
    assert!(
        String::from_utf8_lossy(&stranger.stderr).contains("TLS"),
        "{stranger:?}"
    );
    let trusted = dput(Some(&certificate));
    assert!(trusted.status.success(), "{trusted:?}");
    daemon.logged("hello_1.0~test13+1_source.changes");
}
