//! The host's apt reads what the archive publishes.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use jiff::Timestamp;
use mini_buildd::archive::{ArchiveDir, DistSettings, Installation};
use mini_buildd::model::Diststr;
use mini_buildd::pgp::SigningKey;
use mini_buildd::store::Store;

#[path = "../src/archive/sample.rs"]
mod sample;

use sample::{Binary, Samples};

const DIST: &str = "sid-test-unstable";

/// A published repository, and an apt that knows nothing else.
struct Repository {
    directory: tempfile::TempDir,
    store: Arc<Store>,
    archive: ArchiveDir,
    samples: Samples,
    key: SigningKey,
}

impl Repository {
    fn new() -> Repository {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&directory.path().join("db")).unwrap());
        let archive = ArchiveDir::new(
            directory.path().join("test"),
            "test".parse().unwrap(),
            Arc::clone(&store),
        );
        let key = SigningKey::generate("Test", "test@example.org").unwrap();
        let repository = Repository {
            samples: Samples::new(directory.path().join("samples")),
            store,
            archive,
            key,
            directory,
        };
        let settings: Vec<DistSettings> = [DIST, "sid-test-unstable-rollback0"]
            .iter()
            .map(|name| DistSettings {
                diststr: name.parse().unwrap(),
                origin: "Test archive".into(),
                components: vec!["main".parse().unwrap(), "contrib".parse().unwrap()],
                architectures: vec![architecture().parse().unwrap()],
                not_automatic: true,
                but_automatic_upgrades: *name == DIST,
                keep: 1,
                valid_days: None,
                sha512: false,
            })
            .collect();
        repository
            .store
            .write(|tx| repository.archive.configure(tx, &settings))
            .unwrap();
        repository.configure_apt();
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configure_apt(&self) {
        for directory in [
            "apt/etc/sources.list.d",
            "apt/etc/apt.conf.d",
            "apt/etc/preferences.d",
            "apt/etc/trusted.gpg.d",
            "apt/state/lists/partial",
            "apt/cache/archives/partial",
            "download",
        ] {
            fs::create_dir_all(self.path(directory)).unwrap();
        }
        fs::write(self.path("apt/status"), "").unwrap();
        fs::write(self.path("key.asc"), self.key.public_armored()).unwrap();
        let root = self.archive.directory().display();
        let key = self.path("key.asc");
        let sources = format!(
            "Types: deb deb-src\nURIs: copy:{root}\nSuites: {DIST} {DIST}-rollback0\n\
             Components: main contrib\nSigned-By: {}\n",
            key.display()
        );
        fs::write(self.path("apt/etc/sources.list.d/test.sources"), sources).unwrap();
        let apt = self.path("apt");
        let apt = apt.display();
        let configuration = format!(
            "Dir::Etc \"{apt}/etc\";\nDir::Etc::main \"/dev/null\";\nDir::Etc::parts \"{apt}/etc/apt.conf.d\";\n\
             Dir::State \"{apt}/state\";\nDir::State::status \"{apt}/status\";\nDir::Cache \"{apt}/cache\";\n\
             APT::Sandbox::User \"root\";\nAPT::Architecture \"{}\";\nAPT::Architectures {{ \"{}\"; }};\n\
             Acquire::Check-Valid-Until \"true\";\nAcquire::Check-Date \"true\";\nAcquire::Languages \"none\";\n\
             Acquire::AllowInsecureRepositories \"false\";\nAcquire::Retries \"0\";\n",
            architecture(),
            architecture()
        );
        fs::write(self.path("apt.conf"), configuration).unwrap();
    }

    fn apt(&self, program: &str, arguments: &[&str]) -> Output {
        let output = Command::new(program)
            .args(arguments)
            .env("APT_CONFIG", self.path("apt.conf"))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.path("download"))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        output
    }

    /// `apt-get update` that must not even warn.
    fn update(&self) {
        let output = self.apt("apt-get", &["update", "--error-on=any"]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }

    fn policy(&self, package: &str) -> String {
        String::from_utf8(self.apt("apt-cache", &["policy", package]).stdout).unwrap()
    }

    /// Builds, installs with one rollback, and publishes.
    fn install(&self, version: &str) -> (PathBuf, PathBuf) {
        let binary = Binary {
            name: "hello",
            version,
            architecture: &architecture(),
            source: "hello",
            section: "misc",
        };
        let dsc = self.samples.source("hello", version, "misc");
        let deb = self.samples.binary(&binary);
        let data = self.samples.binary(&Binary {
            name: "hello-data",
            architecture: "all",
            section: "contrib/doc",
            ..binary
        });
        let prepared = self
            .archive
            .prepare(&Installation {
                dsc: dsc.clone(),
                binaries: vec![deb.clone(), data],
                directories: vec![self.samples.directory.clone()],
                listed: Vec::new(),
            })
            .unwrap();
        let diststr: Diststr = DIST.parse().unwrap();
        self.store
            .write(|tx| self.archive.install(tx, &prepared, &diststr, 1))
            .unwrap();
        self.archive.publish(&self.key, Timestamp::now()).unwrap();
        (dsc, deb)
    }
}

fn architecture() -> String {
    sample::run(Command::new("dpkg").arg("--print-architecture"))
        .trim()
        .to_owned()
}

fn assert_same(one: &Path, other: &Path) {
    assert!(
        fs::read(one).unwrap() == fs::read(other).unwrap(),
        "{} and {} differ",
        one.display(),
        other.display()
    );
}

#[test]
fn apt_downloads_sources_and_binaries() {
    let repository = Repository::new();
    let (dsc, deb) = repository.install("1:1.2");
    repository.update();
    repository.apt("apt-get", &["download", "hello", "hello-data"]);
    let downloaded = repository.path("download");
    assert_same(
        &downloaded.join(format!("hello_1%3a1.2_{}.deb", architecture())),
        &deb,
    );
    assert!(downloaded.join("hello-data_1%3a1.2_all.deb").exists());
    repository.apt("apt-get", &["source", "hello"]);
    assert_same(&downloaded.join("hello_1.2.dsc"), &dsc);
    assert!(downloaded.join("hello-1.2/debian/control").exists());
}

#[test]
fn apt_sees_each_publication_at_once_and_the_rollback_with_priority_one() {
    let repository = Repository::new();
    for version in ["1", "2", "3"] {
        // All within a second or two: no update may miss one.
        repository.install(version);
        repository.update();
        let policy = repository.policy("hello");
        assert!(
            policy.contains(&format!("Candidate: {version}\n")),
            "{policy}"
        );
    }
    let policy = repository.policy("hello");
    assert!(policy.contains("     3 100\n"), "{policy}");
    assert!(policy.contains("     2 1\n"), "{policy}");
    let sources = String::from_utf8(repository.apt("apt-cache", &["policy"]).stdout).unwrap();
    assert!(
        sources.contains(
            "release o=Test archive,a=sid-test-unstable-rollback0,n=sid-test-unstable-rollback0,\
             l=sid-test-unstable-rollback0,c=main"
        ),
        "{sources}"
    );
}

#[test]
fn apt_refuses_what_another_key_signed() {
    let repository = Repository::new();
    repository.install("1");
    let other = SigningKey::generate("Other", "other@example.org").unwrap();
    fs::write(repository.path("key.asc"), other.public_armored()).unwrap();
    let output = Command::new("apt-get")
        .args(["update", "--error-on=any"])
        .env("APT_CONFIG", repository.path("apt.conf"))
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("NO_PUBKEY"));
}
