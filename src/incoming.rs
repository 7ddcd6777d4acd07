//! The door: a received .changes becomes an upload, a buildrequest or a buildresult, or goes to quarantine.
use std::io;
use std::path::{Path, PathBuf};

use crate::deb::FileName;

pub struct Incoming {}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

impl Incoming {
    /// Makes a private staging directory for one connection.
    pub fn staging(&self) -> io::Result<PathBuf> {
        todo!()
    }
    /// Commits that this complete .changes has arrived; it won't be forgotten from here on. Synchronous.
    pub fn received(&self, _staging: &Path, _changes: &FileName) -> Result<(), Error> {
        todo!()
    }
    /// Takes what a closed connection left: its .changes go on, all else is deleted. Never blocks.
    pub fn closed(&self, _staging: PathBuf) {
        todo!()
    }
}
