//! Moments: what changed when, in order; a dist can be seen as it was at each.
use std::cell::Cell;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};

use crate::model::repository::Identity;
use crate::store::{During, Transaction};

use super::Error;

/// A change of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    pub(super) id: i64,
    /// To the millisecond; no two changes of a repository have the same.
    pub at: Timestamp,
    /// `install hello 1.0 into sid-test-unstable`
    pub action: String,
}

impl Moment {
    /// Its time as names have it: `2026-11-22T05:40:01.234Z`.
    pub fn name(&self) -> String {
        format!("{:.3}", self.at)
    }
}

/// A change under way: its moment is made when the first row changes.
pub(super) struct Change<'a> {
    pub(super) tx: &'a Transaction<'a>,
    pub(super) repository: &'a Identity,
    action: String,
    moment: Cell<Option<i64>>,
}

impl<'a> Change<'a> {
    pub(super) fn new(
        tx: &'a Transaction<'a>,
        repository: &'a Identity,
        action: String,
    ) -> Change<'a> {
        Change {
            tx,
            repository,
            action,
            moment: Cell::new(None),
        }
    }

    /// Id of its moment.
    pub(super) fn moment(&self) -> Result<i64, Error> {
        if let Some(id) = self.moment.get() {
            return Ok(id);
        }
        // Later than the one before even where the clock was set back, or two come in one millisecond.
        let id = self
            .tx
            .sql()
            .prepare_cached(
                "INSERT INTO moment (repository, at, action)
                 SELECT ?1, max(CAST(unixepoch('subsec') * 1000 AS INTEGER),
                                1 + coalesce((SELECT max(at) FROM moment WHERE repository = ?1), 0)), ?2",
            )
            .and_then(|mut insert| insert.insert((self.repository.as_str(), &self.action)))
            .during("note a change of a repository")?;
        self.moment.set(Some(id));
        Ok(id)
    }
}

fn moment(row: &Row<'_>) -> Result<Moment, rusqlite::Error> {
    let at = Timestamp::from_millisecond(row.get(1)?);
    Ok(Moment {
        id: row.get(0)?,
        at: at.unwrap_or(Timestamp::UNIX_EPOCH),
        action: row.get(2)?,
    })
}

/// The last one of a repository; 0 before the first.
pub(super) fn latest(tx: &Transaction<'_>, repository: &Identity) -> Result<i64, Error> {
    Ok(tx
        .sql()
        .prepare_cached("SELECT id FROM moment WHERE repository = ? ORDER BY at DESC LIMIT 1")
        .and_then(|mut query| {
            query
                .query_row([repository.as_str()], |row| row.get(0))
                .optional()
        })
        .during("look for the last change of a repository")?
        .unwrap_or(0))
}

/// The last change of a dist that is not after `at`; `None`: it had none yet, or it is forgotten.
pub(super) fn of_dist(
    tx: &Transaction<'_>,
    repository: &Identity,
    dist: i64,
    at: Timestamp,
) -> Result<Option<Moment>, Error> {
    Ok(tx
        .sql()
        .prepare_cached(
            "SELECT id, at, action FROM moment
             WHERE id = (
                 WITH last (id) AS (
                     SELECT id FROM moment WHERE repository = ?1 AND at <= ?3 ORDER BY at DESC LIMIT 1)
                 SELECT max(coalesce((SELECT max(added) FROM slot
                                      WHERE dist = ?2 AND added <= last.id), 0),
                            coalesce((SELECT max(removed) FROM slot
                                      WHERE dist = ?2 AND removed IS NOT NULL AND removed <= last.id), 0))
                 FROM last)",
        )
        .and_then(|mut query| {
            query
                .query_row((repository.as_str(), dist, at.as_millisecond()), moment)
                .optional()
        })
        .during("look for a change of a dist")?)
}

/// Changes of a dist, or of all, newest first.
pub(super) fn list(
    tx: &Transaction<'_>,
    repository: &Identity,
    dist: Option<i64>,
    limit: u32,
) -> Result<Vec<Moment>, Error> {
    Ok(tx
        .sql()
        .prepare_cached(
            "SELECT id, at, action FROM moment
             WHERE repository = ?1
               AND (?2 IS NULL
                    OR EXISTS (SELECT 1 FROM slot WHERE dist = ?2 AND added = moment.id)
                    OR EXISTS (SELECT 1 FROM slot
                               WHERE dist = ?2 AND removed IS NOT NULL AND removed = moment.id))
             ORDER BY id DESC LIMIT ?3",
        )
        .and_then(|mut query| {
            query
                .query_map((repository.as_str(), dist, limit), moment)?
                .collect()
        })
        .during("list the changes of a repository")?)
}
