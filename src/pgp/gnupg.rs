//! GnuPG beside us in tests: keys and signatures as uploaders have them.
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A home of GnuPG that goes away with its agent.
pub(crate) struct GnuPg {
    home: TempDir,
}

impl GnuPg {
    pub(crate) fn new() -> GnuPg {
        GnuPg {
            home: tempfile::Builder::new().prefix("gpg").tempdir().unwrap(),
        }
    }

    fn gpg(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new("gpg");
        command
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--batch", "--no-tty", "--quiet", "--yes"])
            .args(["--pinentry-mode", "loopback"])
            .args(arguments);
        run(command, input)
    }

    fn must(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.gpg(arguments, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {arguments:?}: {said}");
        output.stdout
    }

    /// Makes a signing key; `expire` as gpg reads it: `never`, `1d`.
    pub(crate) fn make_key(&self, user_id: &str, algorithm: &str, expire: &str) {
        self.make_key_at(user_id, algorithm, expire, "");
    }

    /// Makes a key for another usage than signing.
    pub(crate) fn make_key_for(&self, user_id: &str, algorithm: &str, usage: &str) {
        let key = ["--quick-generate-key", user_id, algorithm, usage, "never"];
        self.must(&[&["--passphrase", ""][..], &key[..]].concat(), b"");
    }

    pub(crate) fn add_subkey(&self, user_id: &str, algorithm: &str, usage: &str) {
        let fingerprint = self.fingerprint(user_id);
        let key = ["--quick-add-key", &fingerprint, algorithm, usage, "never"];
        self.must(&[&["--passphrase", ""][..], &key[..]].concat(), b"");
    }

    /// Makes a key at another time: `20200101T000000`.
    pub(crate) fn make_key_at(&self, user_id: &str, algorithm: &str, expire: &str, time: &str) {
        let key = [user_id, algorithm, "sign", expire];
        let make = ["--passphrase", "", "--quick-generate-key"];
        self.must(&at(time, &[&make[..], &key[..]].concat()), b"");
    }

    pub(crate) fn make_key_with_passphrase(&self, user_id: &str, passphrase: &str) {
        let key = ["--quick-generate-key", user_id, "ed25519", "sign", "never"];
        self.must(&[&["--passphrase", passphrase][..], &key[..]].concat(), b"");
    }

    pub(crate) fn export(&self, user_id: &str) -> Vec<u8> {
        self.must(&["--armor", "--export", user_id], b"")
    }

    pub(crate) fn export_secret(&self, user_id: &str) -> Vec<u8> {
        self.must(&["--armor", "--export-secret-keys", user_id], b"")
    }

    /// With a stub in the place of the primary secret key.
    pub(crate) fn export_secret_subkeys(&self, user_id: &str) -> Vec<u8> {
        self.must(&["--armor", "--export-secret-subkeys", user_id], b"")
    }

    pub(crate) fn export_locked(&self, user_id: &str, passphrase: &str) -> Vec<u8> {
        let export = ["--passphrase", passphrase, "--export-secret-keys", user_id];
        self.must(&export, b"")
    }

    pub(crate) fn fingerprint(&self, user_id: &str) -> String {
        let listed = self.must(&["--with-colons", "--list-keys", user_id], b"");
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:"));
        line.unwrap().split(':').nth(9).unwrap().into()
    }

    /// Revokes a key by the certificate that GnuPG made with it.
    pub(crate) fn revoke(&self, user_id: &str) {
        let fingerprint = self.fingerprint(user_id);
        let path = format!("openpgp-revocs.d/{fingerprint}.rev");
        let certificate = std::fs::read_to_string(self.home.path().join(path)).unwrap();
        let certificate = certificate.replace(":-----BEGIN", "-----BEGIN");
        self.must(&["--import"], certificate.as_bytes());
    }

    /// Clearsigns with further options, at another time if one is given.
    pub(crate) fn clearsign(
        &self,
        user_ids: &[&str],
        options: &[&str],
        time: &str,
        text: &str,
    ) -> Vec<u8> {
        let mut arguments = at(time, options);
        for user_id in user_ids {
            arguments.extend(["--local-user", user_id]);
        }
        arguments.push("--clearsign");
        self.must(&arguments, text.as_bytes())
    }
}

fn at<'a>(time: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    match time {
        "" => arguments.into(),
        _ => [&["--faked-system-time", time][..], arguments].concat(),
    }
}

impl Drop for GnuPg {
    fn drop(&mut self) {
        // The agent of this home, not that of the user.
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "all"])
            .status();
    }
}

/// Verifies by gpgv with one armored key; the file names of `inputs` are its arguments, in order.
pub(crate) fn gpgv(armored_key: &str, inputs: &[&[u8]]) -> Result<String, String> {
    let output = run_gpgv(armored_key, inputs);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What gpgv says of each signature: it ends badly if it does not know all the keys, and apt reads this.
pub(crate) fn gpgv_status(armored_key: &str, inputs: &[&[u8]]) -> String {
    let output = run_gpgv(armored_key, inputs);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run_gpgv(armored_key: &str, inputs: &[&[u8]]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let keyring = directory.path().join("keyring.gpg");
    dearmor(armored_key, &keyring);
    let mut command = Command::new("gpgv");
    command.arg("--status-fd=1").arg("--keyring").arg(&keyring);
    for (number, input) in inputs.iter().enumerate() {
        let path = directory.path().join(number.to_string());
        std::fs::write(&path, input).unwrap();
        command.arg(path);
    }
    run(command, b"")
}

fn dearmor(armored: &str, path: &Path) {
    let mut command = Command::new("gpg");
    command.args(["--batch", "--dearmor"]);
    let output = run(command, armored.as_bytes());
    assert!(output.status.success());
    std::fs::write(path, output.stdout).unwrap();
}

fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|fault| panic!("{command:?}: {fault}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}
