//! The database: one SQLite file that holds items, jobs, events and the archive's tables.
//!
//! Reading order: this file opens and migrates, [`items`] what administrators configure ([`catalog`]: all of it at
//! once), [`jobs`] what is going on,
//! [`event_log`] what happened.
pub mod catalog;
pub mod event_log;
pub mod items;
pub mod jobs;

use std::path::{Path, PathBuf};

/// The database of an instance; one writer at a time, readers beside it (WAL).
pub struct Store {}

/// Work on the database inside one transaction.
pub struct Transaction<'a> {
    pub(in crate::store) _inner: std::marker::PhantomData<&'a ()>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{path} is not a database of mini-buildd")]
    Foreign { path: PathBuf },
    #[error("can't {action}")]
    Sql {
        action: &'static str,
        source: rusqlite::Error,
    },
}

impl Store {
    /// Opens, makes or migrates the database (`synchronous=FULL`, `application_id` set).
    pub fn open(_path: &Path) -> Result<Store, Error> {
        todo!()
    }
    /// Runs `work` in one IMMEDIATE transaction: all of it, or, on `Err`, nothing.
    pub fn write<T, E: From<Error>>(
        &self,
        _work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        todo!()
    }
    /// Runs `work` on one consistent state.
    pub fn read<T, E: From<Error>>(
        &self,
        _work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        todo!()
    }
}
