//! Rows of dists: what is wanted, what is dirty.
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::OptionalExtension;

use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::store::{During, Transaction};

use super::{DistSettings, Error};

/// A dist as its row has it.
#[derive(Debug)]
pub(super) struct Dist {
    pub(super) id: i64,
    pub(super) settings: DistSettings,
    /// Changes since the last publication.
    pub(super) dirty: i64,
    /// Number of publications.
    pub(super) serial: i64,
    /// The moment that the last one shows.
    pub(super) published: i64,
    /// No longer wanted.
    pub(super) removed: bool,
}

struct Columns {
    id: i64,
    name: String,
    settings: String,
    dirty: i64,
    serial: i64,
    published: i64,
    removed: bool,
}

const COLUMNS: &str = "id, name, settings, dirty, serial, published, removed_at IS NOT NULL";

fn columns(row: &rusqlite::Row<'_>) -> Result<Columns, rusqlite::Error> {
    Ok(Columns {
        id: row.get(0)?,
        name: row.get(1)?,
        settings: row.get(2)?,
        dirty: row.get(3)?,
        serial: row.get(4)?,
        published: row.get(5)?,
        removed: row.get(6)?,
    })
}

fn decode(columns: Columns) -> Result<Dist, Error> {
    let settings =
        serde_json::from_str(&columns.settings).map_err(|source| crate::store::Error::Decode {
            what: "dist",
            name: columns.name,
            source,
        })?;
    Ok(Dist {
        id: columns.id,
        settings,
        dirty: columns.dirty,
        serial: columns.serial,
        published: columns.published,
        removed: columns.removed,
    })
}

pub(super) fn configure(
    tx: &Transaction<'_>,
    repository: &Identity,
    wanted: &[DistSettings],
) -> Result<(), Error> {
    for settings in wanted {
        if settings.diststr.repository != *repository {
            return Err(unknown(repository, &settings.diststr));
        }
        put(tx, repository, settings)?;
    }
    for dist in all(tx, repository)? {
        let is_wanted = wanted
            .iter()
            .any(|settings| settings.diststr == dist.settings.diststr);
        if !is_wanted && !dist.removed {
            tx.sql()
                .prepare_cached(
                    "UPDATE dist SET removed_at = unixepoch(), dirty = dirty + 1 WHERE id = ?",
                )
                .and_then(|mut update| update.execute([dist.id]))
                .during("remove a dist")?;
        }
    }
    Ok(())
}

fn put(tx: &Transaction<'_>, repository: &Identity, settings: &DistSettings) -> Result<(), Error> {
    let text = serde_json::to_string(settings).map_err(|source| crate::store::Error::Encode {
        what: "dist",
        source,
    })?;
    tx.sql()
        .prepare_cached(
            "INSERT INTO dist (repository, name, settings) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET
                 settings = excluded.settings, removed_at = NULL, dirty = dirty + 1
             WHERE settings <> excluded.settings OR removed_at IS NOT NULL",
        )
        .and_then(|mut insert| {
            insert.execute((repository.as_str(), settings.diststr.to_string(), text))
        })
        .during("write a dist")?;
    Ok(())
}

/// All rows, in the order in which they were first wanted.
pub(super) fn all(tx: &Transaction<'_>, repository: &Identity) -> Result<Vec<Dist>, Error> {
    let rows: Vec<Columns> = tx
        .sql()
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM dist WHERE repository = ? ORDER BY id"
        ))
        .and_then(|mut query| query.query_map([repository.as_str()], columns)?.collect())
        .during("read dists")?;
    rows.into_iter().map(decode).collect()
}

pub(super) fn dirty(tx: &Transaction<'_>, repository: &Identity) -> Result<Vec<Dist>, Error> {
    let mut dists = all(tx, repository)?;
    dists.retain(|dist| dist.dirty > 0);
    Ok(dists)
}

/// Tells whether a dist of any repository waits to be published.
pub fn is_dirty(tx: &Transaction<'_>) -> Result<bool, Error> {
    tx.sql()
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM dist WHERE dirty > 0)")
        .and_then(|mut query| query.query_row([], |row| row.get(0)))
        .during("look for dirty dists")
        .map_err(Error::from)
}

/// A dist that is wanted.
pub(super) fn get(
    tx: &Transaction<'_>,
    repository: &Identity,
    diststr: &Diststr,
) -> Result<Dist, Error> {
    tx.sql()
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM dist WHERE repository = ? AND name = ? AND removed_at IS NULL"
        ))
        .and_then(|mut query| {
            query
                .query_row((repository.as_str(), diststr.to_string()), columns)
                .optional()
        })
        .during("read a dist")?
        .map(decode)
        .transpose()?
        .ok_or_else(|| unknown(repository, diststr))
}

/// Marks a dist as changed.
pub(super) fn touch(tx: &Transaction<'_>, id: i64) -> Result<(), Error> {
    tx.sql()
        .prepare_cached("UPDATE dist SET dirty = dirty + 1 WHERE id = ?")
        .and_then(|mut update| update.execute([id]))
        .during("mark a dist as changed")?;
    Ok(())
}

/// Marks dists as changed of whose validity half has passed; returns how many.
pub(super) fn renew(
    tx: &Transaction<'_>,
    repository: &Identity,
    now: Timestamp,
) -> Result<usize, Error> {
    Ok(tx
        .sql()
        .prepare_cached(
            "UPDATE dist SET dirty = dirty + 1
             WHERE repository = ? AND removed_at IS NULL AND dirty = 0
               AND published_at + 43200 * json_extract(settings, '$.valid_days') <= ?",
        )
        .and_then(|mut update| update.execute((repository.as_str(), now.as_second())))
        .during("look for dists to renew")?)
}

/// Marks a dist and its snapshots as to be signed anew.
pub(super) fn sign_anew(tx: &Transaction<'_>, id: i64) -> Result<(), Error> {
    tx.sql()
        .prepare_cached("UPDATE snapshot SET published = 0 WHERE dist = ?")
        .and_then(|mut update| update.execute([id]))
        .during("mark snapshots as to be signed anew")?;
    touch(tx, id)
}

/// Marks all dists and their snapshots as to be signed anew.
pub(super) fn sign_all_anew(tx: &Transaction<'_>, repository: &Identity) -> Result<(), Error> {
    let mut dists = all(tx, repository)?;
    dists.retain(|dist| !dist.removed);
    dists.iter().try_for_each(|dist| sign_anew(tx, dist.id))
}

/// Wanted dists of all repositories that have packages.
pub fn occupied(tx: &Transaction<'_>) -> Result<Vec<Diststr>, Error> {
    words(
        tx,
        "distribution string",
        "SELECT name FROM dist WHERE removed_at IS NULL AND EXISTS
             (SELECT 1 FROM slot WHERE slot.dist = dist.id AND slot.removed IS NULL)
         ORDER BY id",
    )
}

/// Repositories that have dists or had some.
pub fn repositories(tx: &Transaction<'_>) -> Result<Vec<Identity>, Error> {
    let query = "SELECT DISTINCT repository FROM dist ORDER BY repository";
    words(tx, "repository", query)
}

fn words<T: FromStr>(
    tx: &Transaction<'_>,
    what: &'static str,
    query: &str,
) -> Result<Vec<T>, Error> {
    let words: Vec<String> = tx
        .sql()
        .prepare_cached(query)
        .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
        .during("read names of dists")?;
    let parse = |value: String| value.parse().map_err(|_| Error::Row { what, value });
    words.into_iter().map(parse).collect()
}

fn unknown(repository: &Identity, diststr: &Diststr) -> Error {
    Error::UnknownDist {
        diststr: diststr.clone(),
        repository: repository.clone(),
    }
}
