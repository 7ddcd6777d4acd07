//! What a packager does on the own machine, with the tools a packager has: gpg, apt-get source, dpkg-buildpackage, dput.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::base::Base;

/// Somebody with an OpenPGP key.
pub(crate) struct Packager {
    home: TempDir,
    pub(crate) fingerprint: String,
}

/// Runs to the end; shows all output when it fails.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

impl Packager {
    pub(crate) fn new(name: &str) -> Packager {
        // In the base's directory, it goes even if nobody drops it, and the agent with it.
        let home = tempfile::Builder::new()
            .prefix("gpg")
            .tempdir_in(Base::get().path())
            .unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let mut packager = Packager {
            home,
            fingerprint: String::new(),
        };
        let user = format!("{name} <{}@example.org>", name.to_lowercase());
        run(packager.gpg().args([
            "--passphrase",
            "",
            "--quick-gen-key",
            &user,
            "ed25519",
            "sign",
            "never",
        ]));
        let listing = run(packager.gpg().args(["--with-colons", "--list-keys"]));
        let listing = String::from_utf8(listing.stdout).unwrap();
        let fingerprint = listing
            .lines()
            .find(|line| line.starts_with("fpr:"))
            .and_then(|line| line.split(':').nth(9))
            .unwrap();
        fingerprint.clone_into(&mut packager.fingerprint);
        packager
    }

    /// A program that finds the packager's keys.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("GNUPGHOME", self.home.path());
        command
    }

    fn gpg(&self) -> Command {
        let mut command = self.command("gpg");
        command.args(["--batch", "--quiet"]);
        command
    }

    pub(crate) fn public_key(&self) -> String {
        String::from_utf8(run(self.gpg().args(["--armor", "--export"])).stdout).unwrap()
    }

    /// Gives an unpacked source package a new top entry and builds the signed source; returns its .changes.
    pub(crate) fn build_source(&self, tree: &Path, version: &str, distribution: &str) -> PathBuf {
        self.build_source_with(tree, version, distribution, "-sa")
    }

    /// As [`Packager::build_source`]; `orig` tells dpkg-genchanges whether upstream's tar is in the .changes.
    pub(crate) fn build_source_with(
        &self,
        tree: &Path,
        version: &str,
        distribution: &str,
        orig: &str,
    ) -> PathBuf {
        let changelog = tree.join("debian/changelog");
        let old = fs::read_to_string(&changelog).unwrap_or_default();
        let source = old
            .split_whitespace()
            .next()
            .expect("the changelog has an entry")
            .to_owned();
        let date = String::from_utf8(run(Command::new("date").arg("-R")).stdout).unwrap();
        let entry = format!(
            "{source} ({version}) {distribution}; urgency=medium\n\n  * Rebuild.\n\n \
             -- Test Packager <packager@example.org>  {date}\n"
        );
        fs::write(&changelog, entry + &old).unwrap();
        let key = format!("--sign-key={}", self.fingerprint);
        run(self
            .command("dpkg-buildpackage")
            .args(["-S", orig, "-d", "-nc", "-ui", &key])
            .current_dir(tree));
        let file_version = version.split_once(':').map_or(version, |(_, rest)| rest);
        tree.parent()
            .unwrap()
            .join(format!("{source}_{file_version}_source.changes"))
    }
}

impl Drop for Packager {
    fn drop(&mut self) {
        // The agent ends by itself when its home is gone.
        let _ = self.command("gpgconf").args(["--kill", "all"]).output();
    }
}

/// A program of apt with a configuration of its own below `state`, that knows the given sources.list only and checks dates,
/// whatever the host's apt.conf says.
pub(crate) fn private_apt(program: &str, state: &Path, sources_list: &str) -> Command {
    fs::create_dir_all(state.join("lists/partial")).unwrap();
    fs::create_dir_all(state.join("cache/archives/partial")).unwrap();
    fs::create_dir_all(state.join("etc/sources.list.d")).unwrap();
    let extension = if sources_list.starts_with("Types:") {
        "sources"
    } else {
        "list"
    };
    fs::write(
        state
            .join("etc/sources.list.d/test")
            .with_extension(extension),
        sources_list,
    )
    .unwrap();
    let status = state.join("status");
    if !status.exists() {
        fs::write(&status, "").unwrap();
    }
    let mut command = Command::new(program);
    for (name, value) in [
        ("Dir::Etc::sourcelist", "/dev/null".into()),
        (
            "Dir::Etc::sourceparts",
            state.join("etc/sources.list.d").display().to_string(),
        ),
        ("Dir::Etc::preferencesparts", "/dev/null".into()),
        (
            "Dir::State::lists",
            state.join("lists").display().to_string(),
        ),
        ("Dir::State::status", status.display().to_string()),
        ("Dir::Cache", state.join("cache").display().to_string()),
        ("Acquire::Check-Valid-Until", "true".into()),
        ("Acquire::Check-Date", "true".into()),
        ("Acquire::Languages", "none".into()),
        ("APT::Sandbox::User", String::new()),
        ("Debug::NoLocking", "true".into()),
    ] {
        command.args(["-o", &format!("{name}={value}")]);
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// Codename and main archive of this host, from its own apt configuration.
fn host_archive() -> (String, String) {
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap()
        .to_owned();
    let targets = run(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(RELEASE) $(REPO_URI)",
        "Created-By: Packages",
    ]));
    let targets = String::from_utf8(targets.stdout).unwrap();
    let uri = targets
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{codename} ")))
        .expect("apt knows the archive of this host's release; run apt-get update");
    (codename, uri.to_owned())
}

/// Downloads a source package from the host's archive; returns its .dsc and its version.
fn debian_source(package: &str, directory: &Path) -> (PathBuf, String) {
    let (codename, uri) = host_archive();
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let sources =
        format!("deb-src [signed-by={keyring} check-valid-until=no] {uri} {codename} main\n");
    let state = directory.join("apt");
    run(private_apt("apt-get", &state, &sources).arg("update"));
    run(private_apt("apt-get", &state, &sources)
        .args(["source", "--download-only", package])
        .current_dir(directory));
    let dsc = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension().is_some_and(|extension| extension == "dsc")
                && path
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with(&format!("{package}_"))
        })
        .expect("apt-get source leaves a .dsc");
    let text = fs::read_to_string(&dsc).unwrap();
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("Version: "))
        .unwrap()
        .to_owned();
    (dsc, version)
}

/// Unpacks a source package of the host's archive; returns its tree and its version.
pub(crate) fn unpacked_source(package: &str, directory: &Path) -> (PathBuf, String) {
    let (dsc, version) = debian_source(package, directory);
    let tree = directory.join(format!("{package}-tree"));
    run(Command::new("dpkg-source")
        .args(["--no-check", "-x"])
        .arg(&dsc)
        .arg(&tree));
    fs::remove_file(&dsc).unwrap();
    (tree, version)
}
