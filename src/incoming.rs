//! The door: a received .changes becomes an upload, a buildrequest or a buildresult, or goes to quarantine.
//!
//! A message is a row from the moment its .changes is complete, so it survives everything. [`door`] takes it in the
//! order names, signature ([`authority`]), text, sums ([`listing`]), and only then links its files to their place
//! ([`directory`]) and turns the row into a job; what differs by kind is in `admission` and in `upload`, `buildrequest`
//! and `buildresult`. What fails here ([`fault`]) goes to [`quarantine`] and ends REJECTED ([`refusal`]).
mod admission;
pub mod authority;
mod buildrequest;
mod buildresult;
pub mod claim;
pub mod directory;
pub mod door;
pub mod fault;
pub mod listing;
pub mod quarantine;
pub mod refusal;
mod upload;

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use crate::deb::FileName;
use crate::home::{FileError, Home};
use crate::model::{BuildKey, PackageKey, Timecode};
use crate::remotes::Load;
use crate::store::jobs::{self, Received};
use crate::store::{self, Store};

/// What the servers see of the door.
pub struct Incoming {
    home: Home,
    store: Arc<Store>,
    closed: mpsc::UnboundedSender<PathBuf>,
    load: Arc<Load>,
    /// Arrivals are told apart by their microsecond.
    last_arrival: Mutex<Timestamp>,
}

/// What the door tells the packager; the rows are committed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    Upload(PackageKey),
    /// One of the results that this upload waits for came, or there will be none.
    Buildresult(PackageKey),
    /// A message of this build was lost: its builder is to be asked again.
    Lost(BuildKey),
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Key(#[from] crate::pgp::Error),
}

impl Incoming {
    /// `closed` gets the staging directories whose connections have ended.
    pub fn new(
        home: Home,
        store: Arc<Store>,
        closed: mpsc::UnboundedSender<PathBuf>,
        load: Arc<Load>,
    ) -> Incoming {
        Incoming {
            load,
            home,
            store,
            closed,
            last_arrival: Mutex::new(Timestamp::UNIX_EPOCH),
        }
    }

    /// Tells whether uploads are taken: not while the engine is stopped.
    pub fn is_open(&self) -> bool {
        self.load.is_running()
    }

    /// Makes a private staging directory for one connection.
    pub fn staging(&self) -> io::Result<PathBuf> {
        let path = self.home.staging(self.next_arrival().as_str());
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }

    /// Commits that this complete .changes has arrived; it won't be forgotten from here on. Synchronous.
    pub fn received(&self, staging: &Path, changes: &FileName) -> Result<(), Error> {
        let received = Received {
            staging: row_name(staging),
            changes: changes.clone(),
            timecode: self.next_arrival(),
        };
        Ok(self.store.write(|tx| jobs::add_received(tx, &received))?)
    }

    /// Takes what a closed connection left: its .changes go on, all else is deleted. Never blocks.
    pub fn closed(&self, staging: PathBuf) {
        // Without a receiver the daemon is stopping; the next start takes the directory.
        let _ = self.closed.send(staging);
    }

    /// Hands over all that was left by an earlier run: staging directories with a row and without, rows without one.
    pub fn recover(&self) -> Result<(), Error> {
        let path = self.home.incoming();
        let failed = FileError::of("read", &path);
        let mut left = BTreeSet::new();
        for entry in fs::read_dir(&path).map_err(&failed)? {
            left.insert(entry.map_err(&failed)?.path());
        }
        let rows = self.store.read(jobs::received)?;
        left.extend(rows.iter().map(|row| path.join(&row.staging)));
        for staging in left {
            self.closed(staging);
        }
        Ok(())
    }

    fn next_arrival(&self) -> Timecode {
        let mut last = self
            .last_arrival
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = next_microsecond(*last, Timestamp::now());
        Timecode::at(*last)
    }
}

/// Rows name a staging directory without its parents: a home may be moved.
fn row_name(staging: &Path) -> PathBuf {
    staging.file_name().map(PathBuf::from).unwrap_or_default()
}

fn next_microsecond(last: Timestamp, now: Timestamp) -> Timestamp {
    let next = last
        .checked_add(SignedDuration::from_micros(1))
        .unwrap_or(now);
    now.max(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_arrivals_in_one_microsecond_differ() {
        let now = Timestamp::from_microsecond(1_000_000).unwrap();
        let next = next_microsecond(now, now);
        assert_eq!(next.as_microsecond(), 1_000_001);
    }

    #[test]
    fn clock_that_jumps_back_gives_no_earlier_arrival() {
        let last = Timestamp::from_microsecond(2_000_000).unwrap();
        let now = Timestamp::from_microsecond(1_000_000).unwrap();
        assert!(next_microsecond(last, now) > last);
    }
}
