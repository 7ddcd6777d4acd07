//! The clients that people have.
use std::process::{Command, Output};

use mini_buildd::upload;

use super::*;

/// Runs a client beside the server; its output is shown if it fails.
async fn run(mut command: Command) -> Output {
    let shown = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap_or_else(|fault| panic!("{shown}: {fault}"));
    assert!(
        output.status.success(),
        "{shown}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A client under a time limit, with a home of its own.
fn client(program: &str, home: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", program]).env("HOME", home);
    command.current_dir(home);
    command
}

/// An unsigned upload of one file, and a file that is not small.
fn package(directory: &Path) {
    let content = vec![7; 3 << 20];
    fs::write(directory.join("a_1.tar"), &content).unwrap();
    let sum = |program: &str| {
        let output = Command::new(program)
            .arg(directory.join("a_1.tar"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split(' ').next().unwrap().to_owned()
    };
    let size = content.len();
    let changes = format!(
        "Format: 1.8\nDate: Sun, 22 Nov 2026 08:00:00 +0000\nSource: a\nBinary: a\nArchitecture: all\nVersion: 1\n\
         Distribution: unstable\nMaintainer: A <a@example.org>\nDescription:\n a - test\nChanges:\n a (1)\n\
         Checksums-Sha1:\n {sha1} {size} a_1.tar\nChecksums-Sha256:\n {sha256} {size} a_1.tar\n\
         Files:\n {md5} {size} misc optional a_1.tar\n",
        sha1 = sum("sha1sum"),
        sha256 = sum("sha256sum"),
        md5 = sum("md5sum"),
    );
    fs::write(directory.join("a_1_all.changes"), changes).unwrap();
}

async fn assert_package_left(served: &mut Served) {
    let left = served.left().await;
    assert_eq!(left.names(), ["a_1.tar", "a_1_all.changes"]);
    assert_eq!(left.files["a_1.tar"], vec![7; 3 << 20]);
    assert_eq!(left.received, ["a_1_all.changes"]);
}

#[tokio::test]
async fn curl_uploads() {
    let mut served = Served::new();
    let home = tempfile::tempdir().unwrap();
    package(home.path());
    let mut curl = client("curl", home.path());
    curl.args(["-sS", "-T", "{a_1.tar,a_1_all.changes}"])
        .arg(format!("{}/incoming/", served.url()));
    run(curl).await;
    assert_package_left(&mut served).await;
}

#[tokio::test]
async fn curl_uploads_by_pasv_and_absolute_path() {
    let mut served = Served::new();
    let home = tempfile::tempdir().unwrap();
    package(home.path());
    let mut curl = client("curl", home.path());
    curl.args(["-sS", "--disable-epsv", "--ftp-method", "nocwd"])
        .args(["-T", "{a_1.tar,a_1_all.changes}"])
        .arg(format!("{}/incoming/", served.url()));
    run(curl).await;
    assert_package_left(&mut served).await;
}

#[tokio::test]
async fn lftp_uploads() {
    let mut served = Served::new();
    let home = tempfile::tempdir().unwrap();
    package(home.path());
    let mut lftp = client("lftp", home.path());
    lftp.arg("-c").arg(format!(
        "set net:max-retries 1; set net:timeout 10; open {}; cd /incoming; put a_1.tar; put a_1_all.changes; ls; bye",
        served.url()
    ));
    let output = run(lftp).await;
    let list = String::from_utf8(output.stdout).unwrap();
    assert!(list.contains("a_1_all.changes"), "{list}");
    assert_package_left(&mut served).await;
}

#[tokio::test]
async fn dput_uploads() {
    let mut served = Served::new();
    let home = tempfile::tempdir().unwrap();
    package(home.path());
    let config = format!(
        "[test]\nmethod = ftp\nfqdn = {}\nlogin = anonymous\nincoming = /incoming\nallow_unsigned_uploads = 1\n\
         allow_dcut = 0\nrun_lintian = 0\n",
        served.address
    );
    fs::write(home.path().join("dput.cf"), config).unwrap();
    let mut dput = client("dput", home.path());
    dput.args([
        "--config",
        "dput.cf",
        "--unchecked",
        "test",
        "a_1_all.changes",
    ]);
    run(dput).await;
    assert_package_left(&mut served).await;
}

#[tokio::test]
async fn ftplib_of_python_uploads() {
    let mut served = Served::new();
    let home = tempfile::tempdir().unwrap();
    package(home.path());
    let script = format!(
        "import ftplib\n\
         ftp = ftplib.FTP()\n\
         ftp.connect('{}', {}, timeout=20)\n\
         ftp.login()\n\
         ftp.cwd('/incoming')\n\
         for name in ['a_1.tar', 'a_1_all.changes']:\n    ftp.storbinary('STOR ' + name, open(name, 'rb'))\n\
         assert ftp.nlst() == ['a_1.tar', 'a_1_all.changes']\n\
         assert ftp.size('a_1.tar') == 3 << 20\n\
         try:\n    ftp.delete('a_1.tar'); raise SystemExit('deleted')\nexcept ftplib.error_perm: pass\n\
         ftp.quit()\n",
        served.address.ip(),
        served.address.port()
    );
    let mut python = client("python3", home.path());
    python.args(["-c", &script]);
    run(python).await;
    assert_package_left(&mut served).await;
}

#[tokio::test]
async fn our_own_client_uploads_and_tells_refusals() {
    let mut served = Served::new();
    let home = tempfile::tempdir().unwrap();
    package(home.path());
    let (tar, changes) = (
        home.path().join("a_1.tar"),
        home.path().join("a_1_all.changes"),
    );
    upload::upload(&served.url(), std::slice::from_ref(&tar), &changes, &[])
        .await
        .unwrap();
    assert_package_left(&mut served).await;

    let fault = upload::upload(&served.url(), &[tar.clone(), tar], &changes, &[])
        .await
        .unwrap_err()
        .to_string();
    assert!(fault.contains("store a_1.tar"), "{fault}");
    assert!(fault.contains("550"), "{fault}");
    assert!(fault.contains("the file is there already"), "{fault}");
    assert_eq!(served.left().await.names(), ["a_1.tar"]);
}

#[tokio::test]
async fn our_own_client_uploads_by_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let mut served = Served::with(Limits::default(), "::1", &[]);
    let home = tempfile::tempdir().unwrap();
    package(home.path());
    let (tar, changes) = (
        home.path().join("a_1.tar"),
        home.path().join("a_1_all.changes"),
    );
    upload::upload(&served.url(), &[tar], &changes, &[])
        .await
        .unwrap();
    assert_package_left(&mut served).await;
}
