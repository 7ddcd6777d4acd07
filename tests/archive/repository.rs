//! A published repository, made anew by each test.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use mini_buildd::archive::{ArchiveDir, DistSettings, Installation};
use mini_buildd::deb::Paragraph;
use mini_buildd::home::Home;
use mini_buildd::pgp::{Keyring, SigningKey};
use mini_buildd::store::Store;

use crate::sample::{self, Binary, Samples};

pub(crate) const DIST: &str = "sid-test-unstable";
pub(crate) const ROLLBACK: &str = "sid-test-unstable-rollback0";
pub(crate) const COMPONENTS: [&str; 2] = ["main", "contrib"];

/// What a control file may say.
const FIELDS: &str = "Installed-Size: 12\nProvides: planet (= 3), earth\nRecommends: hello-data | nothing\n\
    Multi-Arch: foreign\nPriority: extra\nHomepage: https://world.example.org/?a=b#c\n\
    Built-Using: sun (= 1:4)\nX-Custom:  kept \n\
    Description: the w\u{f6}rld\n Long text.\n .\n   indented\n .\n last\n";

pub(crate) struct Repository {
    directory: tempfile::TempDir,
    pub(crate) home: Home,
    store: Arc<Store>,
    pub(crate) archive: ArchiveDir,
    pub(crate) samples: Samples,
    pub(crate) key: SigningKey,
}

impl Repository {
    /// With two dists that have no packages and are not published yet.
    pub(crate) fn new() -> Repository {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path().join("home"));
        home.create().unwrap();
        let store = Arc::new(Store::open(&home.database()).unwrap());
        let identity = "test".parse().unwrap();
        let archive = ArchiveDir::new(home.repository(&identity), identity, Arc::clone(&store));
        let settings: Vec<DistSettings> = [DIST, ROLLBACK]
            .iter()
            .map(|name| DistSettings {
                diststr: name.parse().unwrap(),
                origin: "Test archive".into(),
                components: COMPONENTS.map(|name| name.parse().unwrap()).into(),
                architectures: architectures().map(|name| name.parse().unwrap()).into(),
                not_automatic: true,
                but_automatic_upgrades: *name == DIST,
                keep: 1,
                valid_days: Some(7),
                sha512: true,
            })
            .collect();
        store.write(|tx| archive.configure(tx, &settings)).unwrap();
        Repository {
            samples: Samples::new(directory.path().join("samples")),
            key: SigningKey::generate("Test", "test@example.org").unwrap(),
            home,
            store,
            archive,
            directory,
        }
    }

    /// With hello 1:1.2 and packages of all other kinds, published.
    pub(crate) fn with_packages() -> Repository {
        let repository = Repository::new();
        repository.build("1:1.2");
        let [own, other] = architectures();
        let binary = |name, architecture, section| {
            let binary = Binary {
                name,
                version: "3",
                architecture,
                source: "world",
                section,
            };
            repository.samples.binary_with(&binary, FIELDS)
        };
        let dsc = repository.samples.source("world", "3", "contrib/net");
        let binaries = vec![
            binary("world", own, "net"),
            binary("world", other, "net"),
            binary("world-dbgsym", own, "debug"),
            binary("world-udeb", own, "debian-installer"),
            binary("world-data-udeb", "all", "contrib/debian-installer"),
        ];
        repository.add(&dsc, binaries);
        repository.publish_at(Timestamp::now());
        repository
    }

    /// A path for files of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a directory for files of the test.
    pub(crate) fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Writes the key that signs the repository, for programs that read no armor.
    pub(crate) fn keyring(&self) -> PathBuf {
        let mut keyring = Keyring::default();
        keyring.add(self.key.public_armored().as_bytes()).unwrap();
        let path = self.path("keyring.gpg");
        fs::write(&path, keyring.to_binary()).unwrap();
        path
    }

    /// Puts a source and its binaries into the dist, what was there into the rollback.
    pub(crate) fn add(&self, dsc: &Path, binaries: Vec<PathBuf>) {
        let prepared = self
            .archive
            .prepare(&Installation {
                dsc: dsc.to_owned(),
                binaries,
                directories: vec![self.samples.directory.clone()],
                listed: Vec::new(),
            })
            .unwrap();
        let diststr = DIST.parse().unwrap();
        self.store
            .write(|tx| self.archive.install(tx, &prepared, &diststr, 1))
            .unwrap();
    }

    pub(crate) fn publish_at(&self, now: Timestamp) {
        self.archive.publish(&self.key.clone().into(), now).unwrap();
    }

    /// Adds hello, of main, and hello-data, of contrib; returns the .dsc and the .deb of hello.
    pub(crate) fn build(&self, version: &str) -> (PathBuf, PathBuf) {
        let binary = |name, architecture, section| {
            self.samples.binary(&Binary {
                name,
                version,
                architecture,
                source: "hello",
                section,
            })
        };
        let dsc = self.samples.source("hello", version, "misc");
        let deb = binary("hello", architectures()[0], "misc");
        let data = binary("hello-data", "all", "contrib/doc");
        self.add(&dsc, vec![deb.clone(), data]);
        (dsc, deb)
    }

    /// As [`Repository::build`], published.
    pub(crate) fn install(&self, version: &str) -> (PathBuf, PathBuf) {
        let built = self.build(version);
        self.publish_at(Timestamp::now());
        built
    }

    pub(crate) fn dist(&self) -> PathBuf {
        self.archive.directory().join("dists").join(DIST)
    }

    /// A file of the dist.
    pub(crate) fn published(&self, path: &str) -> String {
        fs::read_to_string(self.dist().join(path)).unwrap()
    }

    /// What apt asks for: it takes the strongest sum.
    pub(crate) fn listed_by_sha512(&self) -> BTreeMap<String, String> {
        listed(&self.published("Release"), "SHA512")
    }

    /// Path and SHA-256 of all that InRelease lists.
    pub(crate) fn listed(&self) -> BTreeMap<String, String> {
        listed(&self.published("Release"), "SHA256")
    }

    /// Compressed forms of Packages in the dist: `gz`.
    pub(crate) fn forms(&self) -> BTreeSet<String> {
        let listed = self.listed();
        let forms = listed
            .keys()
            .filter_map(|path| Some(path.split_once("/Packages.")?.1.to_owned()));
        forms.collect()
    }

    /// All stanzas of the indices of this name: component, below which directory, and stanza.
    pub(crate) fn stanzas(&self, name: &str) -> Vec<Stanza> {
        let listed = self.listed();
        let paths = listed
            .keys()
            .filter(|path| Path::new(path).file_name() == Some(name.as_ref()));
        paths
            .flat_map(|path| {
                let (component, rest) = path.split_once('/').unwrap();
                let directory = rest.rsplit_once('/').unwrap().0;
                let stanzas = Paragraph::parse_all(&self.published(path)).unwrap();
                stanzas.into_iter().map(|paragraph| Stanza {
                    component: component.to_owned(),
                    directory: directory.to_owned(),
                    paragraph,
                })
            })
            .collect()
    }
}

/// A package as an index has it.
#[derive(Debug)]
pub(crate) struct Stanza {
    pub(crate) component: String,
    /// `debian-installer/binary-amd64`
    pub(crate) directory: String,
    pub(crate) paragraph: Paragraph,
}

impl Stanza {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.paragraph
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// Architecture whose index it is in; `source` for a source.
    pub(crate) fn architecture(&self) -> &str {
        let directory = self.directory.as_str();
        directory
            .rsplit_once("binary-")
            .map_or(directory, |(_, name)| name)
    }

    pub(crate) fn is_udeb(&self) -> bool {
        self.directory.starts_with("debian-installer/")
    }
}

/// Path and digest of what a Release file lists in a field.
pub(crate) fn listed(release: &str, field: &str) -> BTreeMap<String, String> {
    let release: Paragraph = release.parse().unwrap();
    let lines = release.get(field).unwrap().lines().skip(1);
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[2].to_owned(), words[0].to_owned())
        })
        .collect()
}

/// The host's, and one that it is not.
pub(crate) fn architectures() -> [&'static str; 2] {
    static OWN: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let own = sample::run(Command::new("dpkg").arg("--print-architecture"));
        own.trim().to_owned()
    });
    let own = OWN.as_str();
    [own, if own == "amd64" { "arm64" } else { "amd64" }]
}
