//! The instance's signing keys on disk: which ones sign now, and how one takes the place of another.
//!
//! `signing.asc` signs messages and indices. In a [`rollover`] the next key signs indices beside it until the window
//! ends; then the next key becomes `signing.asc`, for other instances know the former one until they are told. The
//! former key is kept. Whoever changes keys is another process than the daemon: [`Keys`] sees what changed.
mod rollover;
mod warning;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::cause::with_causes;
use crate::home::Home;
use crate::pgp::{self, SigningKey, SigningKeys};

pub use rollover::{begin, finish, settle};
pub use warning::Warning;

use rollover::Record;

/// How long messages of a retired key are still ours: they may have been under way, or wait for a peer.
const UNDER_WAY: SignedDuration = SignedDuration::from_hours(7 * 24);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Key(#[from] pgp::Error),
    #[error("can't {action} {path}")]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{path} is malformed")]
    Malformed {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("make a new signing key with: mini-buildd key rotate")]
    Unable { source: pgp::Error },
    #[error(
        "key {next} is taking the place of another until {until}; end that early with: \
         mini-buildd key rotate --finish"
    )]
    UnderWay { next: String, until: Timestamp },
    #[error("no key is taking the place of another; begin with: mini-buildd key rotate")]
    NothingToFinish,
    #[error(
        "key {next} expires before it would sign alone, on {until}; name a shorter time with --window DAYS"
    )]
    TooShort { next: String, until: Timestamp },
}

/// A key that takes the place of the signing key.
#[derive(Clone, Debug)]
pub struct Next {
    pub key: SigningKey,
    /// When the signing key ends to sign.
    pub until: Timestamp,
}

/// A key that was the signing key.
#[derive(Clone, Debug)]
pub struct Retired {
    pub key: SigningKey,
    pub at: Timestamp,
}

/// All keys of an instance at a time.
#[derive(Clone, Debug)]
pub struct KeySet {
    primary: SigningKey,
    pub next: Option<Next>,
    /// The newest last.
    pub retired: Vec<Retired>,
}

impl KeySet {
    /// Reads what is on disk; an error if none may sign.
    pub fn load(home: &Home) -> Result<KeySet, Error> {
        let keys = KeySet::read(home)?;
        match keys.primary.can_sign() {
            Err(source) if keys.signing().fingerprints().is_empty() => {
                Err(Error::Unable { source })
            }
            _ => Ok(keys),
        }
    }

    /// Reads what is on disk, expired or not.
    pub fn read(home: &Home) -> Result<KeySet, Error> {
        let record = Record::read(home)?;
        let primary = SigningKey::read(&home.signing_key())?;
        let other = |fingerprint: &str| SigningKey::read(&home.other_key(fingerprint));
        let next = match record.next {
            // It has been put in place, and the record is about to say so.
            Some(next) if next.fingerprint == primary.fingerprint() => None,
            Some(next) => Some(Next {
                key: other(&next.fingerprint)?,
                until: next.until,
            }),
            None => None,
        };
        let retired = record.retired.iter().filter_map(|retired| {
            // Administrators may delete a key that was stolen.
            let key = other(&retired.fingerprint).ok()?;
            Some(Retired {
                key,
                at: retired.at,
            })
        });
        Ok(KeySet {
            retired: retired.collect(),
            primary,
            next,
        })
    }

    /// Signs what instances send each other, and indices.
    pub fn primary(&self) -> &SigningKey {
        &self.primary
    }

    /// All that sign indices.
    pub fn signing(&self) -> SigningKeys {
        let next = self.next.as_ref().map(|next| next.key.clone());
        SigningKeys::from(self.primary.clone()).with(next)
    }

    /// All whose messages are our own.
    pub fn own(&self, now: Timestamp) -> SigningKeys {
        let former = self
            .retired
            .iter()
            .filter(|retired| retired.at + UNDER_WAY > now)
            .map(|retired| retired.key.clone());
        self.signing().with(former)
    }
}

/// The keys of a running daemon: always those on disk, while these can be read.
#[derive(Debug)]
pub struct Keys {
    home: Home,
    known: Mutex<(Stamp, Arc<KeySet>)>,
}

/// Device, inode, size and time of signing.asc and rollover.json, which are replaced as a whole.
type Stamp = [Option<(u64, u64, u64, i64, i64)>; 2];

impl Keys {
    pub fn open(home: &Home) -> Result<Keys, Error> {
        let known = (stamp(home), Arc::new(KeySet::load(home)?));
        Ok(Keys {
            home: home.clone(),
            known: Mutex::new(known),
        })
    }

    /// The keys as they are on disk; those of before, where these can't be read.
    pub fn now(&self) -> Arc<KeySet> {
        let stamp = stamp(&self.home);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != stamp {
            known.0 = stamp;
            match KeySet::load(&self.home) {
                Ok(keys) => {
                    info!(
                        keys = keys.signing().fingerprints().join(","),
                        "other keys sign"
                    );
                    known.1 = Arc::new(keys);
                }
                Err(error) => warn!(error = with_causes(&error), "the keys of before still sign"),
            }
        }
        Arc::clone(&known.1)
    }

    /// As [`Keys::now`], after a rollover whose window has ended is finished.
    pub fn settled(&self, now: Timestamp) -> Arc<KeySet> {
        if let Err(error) = settle(&self.home, now) {
            warn!(
                error = with_causes(&error),
                "can't finish the rollover of keys"
            );
        }
        self.now()
    }
}

fn stamp(home: &Home) -> Stamp {
    [home.signing_key(), home.rollover()].map(|path| {
        let meta = fs::metadata(path).ok()?;
        let (seconds, nanoseconds) = (meta.mtime(), meta.mtime_nsec());
        Some((meta.dev(), meta.ino(), meta.size(), seconds, nanoseconds))
    })
}

/// Waits until no other process changes keys.
fn lock(home: &Home) -> Result<File, Error> {
    let path = home.keys();
    let locked = File::open(&path).and_then(|directory| {
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(directory)
    });
    locked.map_err(|source| Error::File {
        action: "lock",
        path,
        source,
    })
}
