//! Long work that administrators asked for, and how it ended.
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::{During, Error, Transaction};

/// The last ones that are kept.
const KEPT: i64 = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub id: i64,
    pub title: String,
    pub user: String,
    pub asked: Timestamp,
    pub begun: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// JSON that it gave.
    pub result: Option<String>,
    /// What it did, a line a step; written when it ends.
    pub log: String,
}

const COLUMNS: &str = "id, title, user, asked_at, begun_at, ended_at, error, result, log";

pub fn add(tx: &Transaction<'_>, title: &str, user: &str, now: Timestamp) -> Result<i64, Error> {
    tx.sql()
        .execute(
            "INSERT INTO action (title, user, asked_at) VALUES (?, ?, ?)",
            params![title, user, now.as_second()],
        )
        .during("note an action")?;
    let id = tx.sql().last_insert_rowid();
    tx.sql()
        .execute(
            "DELETE FROM action WHERE id <= ? AND ended_at IS NOT NULL",
            [id - KEPT],
        )
        .during("forget old actions")?;
    Ok(id)
}

pub fn begin(tx: &Transaction<'_>, id: i64, now: Timestamp) -> Result<(), Error> {
    tx.sql()
        .execute(
            "UPDATE action SET begun_at = ? WHERE id = ?",
            [now.as_second(), id],
        )
        .during("note the begin of an action")?;
    Ok(())
}

/// How an action ended: with JSON, or with the reason of its failure.
pub fn end(
    tx: &Transaction<'_>,
    id: i64,
    now: Timestamp,
    outcome: Result<&str, &str>,
    log: &str,
) -> Result<(), Error> {
    tx.sql()
        .execute(
            "UPDATE action SET ended_at = ?, result = ?, error = ?, log = ? WHERE id = ?",
            params![now.as_second(), outcome.ok(), outcome.err(), log, id],
        )
        .during("note the end of an action")?;
    Ok(())
}

/// Ends what an earlier daemon left unfinished.
pub fn end_unfinished(tx: &Transaction<'_>, now: Timestamp, error: &str) -> Result<usize, Error> {
    tx.sql()
        .execute(
            "UPDATE action SET ended_at = ?, error = ? WHERE ended_at IS NULL",
            params![now.as_second(), error],
        )
        .during("note the end of actions")
}

pub fn get(tx: &Transaction<'_>, id: i64) -> Result<Option<Action>, Error> {
    tx.sql()
        .prepare_cached(&format!("SELECT {COLUMNS} FROM action WHERE id = ?"))
        .and_then(|mut query| query.query_row([id], read).optional())
        .during("read an action")
}

/// The latest first, those before an id only.
pub fn latest(tx: &Transaction<'_>, before: i64, limit: u32) -> Result<Vec<Action>, Error> {
    let query = format!("SELECT {COLUMNS} FROM action WHERE id < ? ORDER BY id DESC LIMIT ?");
    tx.sql()
        .prepare_cached(&query)
        .and_then(|mut query| query.query_map(params![before, limit], read)?.collect())
        .during("read actions")
}

fn read(row: &Row<'_>) -> Result<Action, rusqlite::Error> {
    let time = |seconds: i64| Timestamp::from_second(seconds).unwrap_or_default();
    Ok(Action {
        id: row.get(0)?,
        title: row.get(1)?,
        user: row.get(2)?,
        asked: time(row.get(3)?),
        begun: row.get::<_, Option<i64>>(4)?.map(time),
        ended: row.get::<_, Option<i64>>(5)?.map(time),
        error: row.get(6)?,
        result: row.get(7)?,
        log: row.get(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn what_a_daemon_leaves_unfinished_ends_with_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("db")).unwrap();
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let made: Result<(), Error> = store.write(|tx| {
            let first = add(tx, "check chroot trixie:amd64", "admin", now)?;
            begin(tx, first, now)?;
            end(tx, first, now, Ok("{}"), "a\nb\n")?;
            let second = add(tx, "setup", "admin", now)?;
            assert_eq!(end_unfinished(tx, now, "the daemon ended")?, 1);
            let found = latest(tx, i64::MAX, 10)?;
            assert_eq!([found[0].id, found[1].id], [second, first]);
            assert_eq!(found[0].error.as_deref(), Some("the daemon ended"));
            assert_eq!(found[1].result.as_deref(), Some("{}"));
            assert_eq!(get(tx, first)?.unwrap().log, "a\nb\n");
            assert_eq!(latest(tx, second, 10)?.len(), 1);
            Ok(())
        });
        made.unwrap();
    }
}
