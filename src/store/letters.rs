//! Letters about events that the relay has not taken yet.
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::{During, Error, Transaction};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub id: i64,
    /// Row of the event that it is about.
    pub event: i64,
    pub recipient: String,
    /// Why they get it.
    pub reason: String,
    /// How often the relay was asked in vain.
    pub attempts: u32,
}

pub fn add(
    tx: &Transaction<'_>,
    event: i64,
    recipient: &str,
    reason: &str,
    due: Timestamp,
) -> Result<(), Error> {
    tx.sql()
        .prepare_cached("INSERT INTO letter (event, recipient, reason, due_at) VALUES (?, ?, ?, ?)")
        .and_then(|mut insert| insert.execute(params![event, recipient, reason, due.as_second()]))
        .during("note a letter")?;
    Ok(())
}

/// The one that is due first, and when it is; of those that are due at once, the one that was tried least.
pub fn next(tx: &Transaction<'_>) -> Result<Option<(Letter, Timestamp)>, Error> {
    tx.sql()
        .prepare_cached(
            "SELECT id, event, recipient, reason, attempts, due_at FROM letter ORDER BY due_at, attempts, id LIMIT 1",
        )
        .and_then(|mut query| {
            query
                .query_row([], |row| {
                    let letter = Letter {
                        id: row.get(0)?,
                        event: row.get(1)?,
                        recipient: row.get(2)?,
                        reason: row.get(3)?,
                        attempts: row.get(4)?,
                    };
                    let due: i64 = row.get(5)?;
                    Ok((letter, Timestamp::from_second(due).unwrap_or(Timestamp::MIN)))
                })
                .optional()
        })
        .during("look for letters")
}

pub fn count(tx: &Transaction<'_>) -> Result<u32, Error> {
    tx.sql()
        .query_row("SELECT count(*) FROM letter", [], |row| row.get(0))
        .during("count letters")
}

/// Forgets one that is sent, or will never be.
pub fn remove(tx: &Transaction<'_>, id: i64) -> Result<(), Error> {
    tx.sql()
        .execute("DELETE FROM letter WHERE id = ?", [id])
        .during("forget a letter")?;
    Ok(())
}

/// Notes an attempt in vain, and when the next is due.
pub fn put_off(tx: &Transaction<'_>, id: i64, due: Timestamp) -> Result<(), Error> {
    tx.sql()
        .execute(
            "UPDATE letter SET attempts = attempts + 1, due_at = ? WHERE id = ?",
            [due.as_second(), id],
        )
        .during("put a letter off")?;
    Ok(())
}

/// Makes all due at once.
pub fn hasten(tx: &Transaction<'_>, now: Timestamp) -> Result<(), Error> {
    tx.sql()
        .execute("UPDATE letter SET due_at = ?", [now.as_second()])
        .during("make letters due")?;
    Ok(())
}

/// Puts all off that are due before a time.
pub fn put_all_off(tx: &Transaction<'_>, due: Timestamp) -> Result<(), Error> {
    let due = due.as_second();
    tx.sql()
        .execute("UPDATE letter SET due_at = ?1 WHERE due_at < ?1", [due])
        .during("put letters off")?;
    Ok(())
}
