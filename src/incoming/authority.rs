//! Whose signature opens the door for what.
use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;

use crate::model::Repository;
use crate::model::repository::Identity;
use crate::pgp::{Error, Keyring, SigningKeys, Verified};
use crate::store::catalog::Catalog;

/// Keys that may upload, and where.
pub struct Uploaders {
    keyring: Keyring,
    /// Fingerprint → repositories.
    grants: BTreeMap<String, BTreeSet<Identity>>,
    /// The instance's own keys may upload everywhere: ports are uploads of its own.
    own: SigningKeys,
}

impl Uploaders {
    pub fn load(catalog: &Catalog, own: &SigningKeys) -> Result<Uploaders, Error> {
        let mut keyring = Keyring::default();
        keyring.add(own.public_armored()?.as_bytes())?;
        let mut uploaders = Uploaders {
            keyring,
            grants: BTreeMap::new(),
            own: own.clone(),
        };
        for uploader in catalog.uploaders() {
            let mut keys = Keyring::default();
            if let Err(error) = keys.add(uploader.key.as_bytes()) {
                warn!(user = uploader.user, %error, "key of uploader is passed over");
                continue;
            }
            uploaders.keyring.add(uploader.key.as_bytes())?;
            uploaders.grant(&keys, &uploader.may_upload_to);
        }
        for (repository, _) in catalog.repositories() {
            uploaders.add_extra_keyrings(repository);
        }
        Ok(uploaders)
    }

    fn add_extra_keyrings(&mut self, repository: &Repository) {
        for path in &repository.extra_uploader_keyrings {
            let mut keys = Keyring::default();
            let added = keys
                .add_file(path)
                .and_then(|()| self.keyring.add_file(path));
            match added {
                Ok(()) => self.grant(&keys, std::slice::from_ref(&repository.identity)),
                Err(error) => {
                    warn!(keyring = %path.display(), %error, "extra uploader keyring is passed over");
                }
            }
        }
    }

    fn grant(&mut self, keys: &Keyring, repositories: &[Identity]) {
        for fingerprint in keys.fingerprints() {
            self.grants
                .entry(fingerprint)
                .or_default()
                .extend(repositories.iter().cloned());
        }
    }

    pub fn verify(&self, signed: &[u8]) -> Result<Verified, Error> {
        self.keyring.verify(signed)
    }

    pub fn may_upload(&self, fingerprint: &str, repository: &Identity) -> bool {
        self.own.holds(fingerprint)
            || self
                .grants
                .get(fingerprint)
                .is_some_and(|granted| granted.contains(repository))
    }
}

/// Keys of instances that may send buildrequests and buildresults.
pub struct Peers {
    keyring: Keyring,
    /// Fingerprint → URL.
    remotes: BTreeMap<String, String>,
    own: SigningKeys,
}

impl Peers {
    pub fn load(catalog: &Catalog, own: &SigningKeys) -> Result<Peers, Error> {
        let mut keyring = Keyring::default();
        keyring.add(own.public_armored()?.as_bytes())?;
        let mut remotes = BTreeMap::new();
        for remote in catalog.remotes() {
            let mut keys = Keyring::default();
            if let Err(error) = keys.add(remote.key.as_bytes()) {
                warn!(remote = remote.url, %error, "key of remote is passed over");
                continue;
            }
            keyring.add(remote.key.as_bytes())?;
            for fingerprint in keys.fingerprints() {
                remotes.insert(fingerprint, remote.url.clone());
            }
        }
        Ok(Peers {
            keyring,
            remotes,
            own: own.clone(),
        })
    }

    pub fn verify(&self, signed: &[u8]) -> Result<Verified, Error> {
        self.keyring.verify(signed)
    }

    /// Tells whether who signed with this key may ask `builder`, which we are as `own`.
    ///
    /// What we ask ourselves may name a URL that was ours before the last start.
    pub fn may_ask(&self, fingerprint: &str, builder: &str, own: &str) -> bool {
        let builder = builder.trim_end_matches('/');
        builder == own || self.own.holds(fingerprint) && !self.is_remote(builder)
    }

    fn is_remote(&self, url: &str) -> bool {
        self.remotes.values().any(|remote| remote == url)
    }

    /// Tells whether the key is that of the builder; who is no remote, is ourselves.
    pub fn is_builder(&self, fingerprint: &str, builder: &str) -> bool {
        if self.is_remote(builder) {
            return self
                .remotes
                .get(fingerprint)
                .is_some_and(|url| url == builder);
        }
        self.own.holds(fingerprint)
    }
}
