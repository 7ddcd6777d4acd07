//! A repository with one suite and two rollbacks, for tests.
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use tempfile::TempDir;

use crate::model::Diststr;
use crate::pgp::{SigningKey, SigningKeys};
use crate::store::{Error as StoreError, Store};

use super::client::Client;
use super::sample::{Binary, Samples};
use super::{ArchiveDir, DistSettings, Error, Installation, Listed, Prepared, Transferred};

pub(super) const ROLLBACKS: u32 = 2;

pub(super) struct Fixture {
    pub(super) directory: TempDir,
    pub(super) store: Arc<Store>,
    pub(super) archive: ArchiveDir,
    pub(super) samples: Samples,
}

/// One key for all tests.
pub(super) fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate("Test", "test@example.org").unwrap())
}

pub(super) fn keys() -> SigningKeys {
    key().clone().into()
}

pub(super) fn diststr() -> Diststr {
    "sid-test-unstable".parse().unwrap()
}

pub(super) fn settings() -> Vec<DistSettings> {
    std::iter::once(None)
        .chain((0..ROLLBACKS).map(Some))
        .map(|rollback| DistSettings {
            diststr: Diststr {
                rollback,
                ..diststr()
            },
            origin: "Test".into(),
            components: ["main", "contrib", "non-free"]
                .map(|word| word.parse().unwrap())
                .into(),
            architectures: vec!["amd64".parse().unwrap()],
            not_automatic: true,
            but_automatic_upgrades: rollback.is_none(),
            keep: 1,
            valid_days: None,
            sha512: false,
        })
        .collect()
}

/// The repository in `directory`, as another process would open it.
pub(super) fn open(directory: &std::path::Path) -> (Arc<Store>, ArchiveDir) {
    let store = Arc::new(Store::open(&directory.join("db")).unwrap());
    let archive = ArchiveDir::new(
        directory.join("test"),
        "test".parse().unwrap(),
        Arc::clone(&store),
    );
    (store, archive)
}

impl Fixture {
    pub(super) fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let (store, archive) = open(directory.path());
        store
            .write(|tx| archive.configure(tx, &settings()))
            .unwrap();
        Fixture {
            samples: Samples::new(directory.path().join("samples")),
            directory,
            store,
            archive,
        }
    }

    /// Makes the source and binary of a native package.
    pub(super) fn package(&self, name: &str, version: &str) -> (PathBuf, PathBuf) {
        let binary = Binary {
            name,
            version,
            architecture: "amd64",
            source: name,
            section: "misc",
        };
        (
            self.samples.source(name, version, "misc"),
            self.samples.binary(&binary),
        )
    }

    /// The .dsc and .deb that were made.
    pub(super) fn files(&self, name: &str, version: &str) -> (PathBuf, PathBuf) {
        let file = |end: &str| {
            self.samples
                .directory
                .join(format!("{name}_{version}{end}"))
        };
        (file(".dsc"), file("_amd64.deb"))
    }

    pub(super) fn prepare(&self, dsc: PathBuf, binaries: Vec<PathBuf>) -> Result<Prepared, Error> {
        self.archive.prepare(&Installation {
            dsc,
            binaries,
            directories: vec![self.samples.directory.clone()],
            listed: Vec::new(),
        })
    }

    pub(super) fn install_prepared(&self, prepared: &Prepared) -> Result<bool, Error> {
        self.store
            .write(|tx| self.archive.install(tx, prepared, &diststr(), ROLLBACKS))
    }

    pub(super) fn install_files(
        &self,
        dsc: PathBuf,
        binaries: Vec<PathBuf>,
    ) -> Result<bool, Error> {
        self.install_prepared(&self.prepare(dsc, binaries)?)
    }

    /// Installs a package; it is made where that did not happen yet.
    pub(super) fn install(&self, name: &str, version: &str) -> Result<bool, Error> {
        let (dsc, binary) = self.files(name, version);
        if !dsc.exists() {
            self.package(name, version);
        }
        self.install_files(dsc, vec![binary])
    }

    pub(super) fn publish(&self, now: Timestamp) -> Vec<String> {
        let published = self.archive.publish(&keys(), now).unwrap();
        published.iter().map(ToString::to_string).collect()
    }

    /// What a client finds in a dist; panics on anything that does not fit.
    pub(super) fn client(&self, dist: &str) -> Client {
        Client::read(self.archive.directory(), dist).unwrap()
    }

    pub(super) fn list(&self, source: &str) -> Vec<Listed> {
        let source = source.parse().unwrap();
        self.store
            .read(|tx| self.archive.list(tx, &source))
            .unwrap()
    }

    /// When the dist changed last.
    pub(super) fn changed(&self) -> Timestamp {
        let moments = self
            .store
            .read(|tx| self.archive.moments(tx, Some(&diststr()), 1));
        moments.unwrap()[0].at
    }

    /// Takes hello out of the dist, without rollbacks.
    pub(super) fn remove(&self, dist: &str) -> Result<Transferred, Error> {
        let (source, from) = ("hello".parse().unwrap(), dist.parse().unwrap());
        self.store
            .write(|tx| self.archive.remove(tx, &source, &from, None, 0))
    }

    pub(super) fn roll_back(&self, at: Timestamp) -> Result<bool, Error> {
        let rolled = self
            .store
            .write(|tx| self.archive.roll_back(tx, &diststr(), at));
        rolled.map(|(_, changed)| changed)
    }

    pub(super) fn count(&self, query: &str) -> i64 {
        let mut count = 0;
        let read: Result<(), StoreError> = self.store.read(|tx| {
            count = tx.sql().query_row(query, [], |row| row.get(0)).unwrap();
            Ok(())
        });
        read.unwrap();
        count
    }

    pub(super) fn dirty(&self) -> Vec<String> {
        let repository = "test".parse().unwrap();
        self.store
            .read(|tx| super::dist::dirty(tx, &repository))
            .unwrap()
            .iter()
            .map(|dist| dist.settings.diststr.to_string())
            .collect()
    }

    /// Makes all dists look published.
    pub(super) fn settle(&self) {
        let written: Result<(), StoreError> = self.store.write(|tx| {
            tx.sql().execute("UPDATE dist SET dirty = 0", []).unwrap();
            Ok(())
        });
        written.unwrap();
    }
}
