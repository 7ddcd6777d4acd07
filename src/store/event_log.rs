//! Events, written in the transaction of the state change they tell of; their files and hooks follow.
use jiff::Timestamp;
use rusqlite::{Params, params};

use crate::model::Event;

use super::{During, Error, Transaction};

/// A row: the event and its directory below var/events.
#[derive(Clone, Debug)]
pub struct Logged {
    pub id: i64,
    pub event: Event,
    /// `SOURCE/VERSION/TIMECODE/ARCHITECTURE`
    pub directory: String,
}

pub fn add(tx: &Transaction<'_>, event: &Event, directory: &str) -> Result<i64, Error> {
    let body = serde_json::to_string(event).map_err(|source| Error::Encode {
        what: "event",
        source,
    })?;
    tx.sql()
        .prepare_cached("INSERT INTO event (directory, body) VALUES (?, ?)")
        .and_then(|mut insert| insert.insert((directory, body)))
        .during("write an event")
}

/// Those whose file is not known to be written, oldest first.
pub fn unwritten(tx: &Transaction<'_>) -> Result<Vec<Logged>, Error> {
    let query = "SELECT id, directory, body FROM event WHERE written = 0 ORDER BY id";
    logged(tx, query, [])
}

/// Tells whether there are such.
pub fn is_unwritten(tx: &Transaction<'_>) -> Result<bool, Error> {
    tx.sql()
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM event WHERE written = 0)")
        .and_then(|mut query| query.query_row([], |row| row.get(0)))
        .during("look for events")
}

/// The newest event's id; 0 before the first.
pub fn last(tx: &Transaction<'_>) -> Result<i64, Error> {
    tx.sql()
        .prepare_cached("SELECT coalesce(max(id), 0) FROM event")
        .and_then(|mut query| query.query_row([], |row| row.get(0)))
        .during("look for the newest event")
}

/// `has_letters`: letters about it are to be written.
pub fn mark_written(tx: &Transaction<'_>, id: i64, has_letters: bool) -> Result<(), Error> {
    tx.sql()
        .prepare_cached("UPDATE event SET written = 1, mailed = ? WHERE id = ?")
        .and_then(|mut update| update.execute((!has_letters, id)))
        .during("mark an event as written")?;
    Ok(())
}

/// Those that letters are to be written about, oldest first.
pub fn unmailed(tx: &Transaction<'_>) -> Result<Vec<Logged>, Error> {
    let query = "SELECT id, directory, body FROM event WHERE mailed = 0 ORDER BY id";
    logged(tx, query, [])
}

pub fn mark_mailed(tx: &Transaction<'_>, id: i64) -> Result<(), Error> {
    tx.sql()
        .prepare_cached("UPDATE event SET mailed = 1 WHERE id = ?")
        .and_then(|mut update| update.execute([id]))
        .during("mark an event as mailed")?;
    Ok(())
}

/// One of them.
pub fn get(tx: &Transaction<'_>, id: i64) -> Result<Option<Logged>, Error> {
    let query = "SELECT id, directory, body FROM event WHERE id = ?";
    Ok(logged(tx, query, [id])?.pop())
}

/// Forgets events that happened before a time and were told, by all their letters too.
pub fn forget(tx: &Transaction<'_>, before: Timestamp) -> Result<(), Error> {
    tx.sql()
        .execute(
            "DELETE FROM event WHERE written = 1 AND mailed = 1 AND json_extract(body, '$.timestamp') < ?
             AND id NOT IN (SELECT event FROM letter)",
            [as_written(before)],
        )
        .during("forget old events")?;
    Ok(())
}

/// The newest of those whose file is written, newest first.
pub fn told(tx: &Transaction<'_>, limit: u32) -> Result<Vec<Logged>, Error> {
    let query = "SELECT id, directory, body FROM event WHERE written = 1 ORDER BY id DESC LIMIT ?";
    logged(tx, query, [limit])
}

/// The newest, or the newest that happened before a time, newest first.
pub fn recent(
    tx: &Transaction<'_>,
    limit: u32,
    before: Option<Timestamp>,
) -> Result<Vec<Logged>, Error> {
    let Some(before) = before else {
        let query = "SELECT id, directory, body FROM event ORDER BY id DESC LIMIT ?";
        return logged(tx, query, [limit]);
    };
    let query = "SELECT id, directory, body FROM event
        WHERE json_extract(body, '$.timestamp') < ? ORDER BY id DESC LIMIT ?";
    logged(tx, query, params![as_written(before), limit])
}

/// A time as events have it: of one form, in UTC.
fn as_written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

fn logged(
    tx: &Transaction<'_>,
    query: &'static str,
    parameters: impl Params,
) -> Result<Vec<Logged>, Error> {
    let rows: Vec<(i64, String, String)> = tx
        .sql()
        .prepare_cached(query)
        .and_then(|mut query| {
            query
                .query_map(parameters, |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?
                .collect()
        })
        .during("read events")?;
    rows.into_iter()
        .map(|(id, directory, body)| {
            let event = serde_json::from_str(&body).map_err(|source| Error::Decode {
                what: "event",
                name: directory.clone(),
                source,
            })?;
            Ok(Logged {
                id,
                event,
                directory,
            })
        })
        .collect()
}
