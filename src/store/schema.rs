//! The tables, as a list of migrations; the database's `user_version` counts those that were made.
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{During, Error};

/// `mbd3` in ASCII; file(1) and `PRAGMA application_id` show whose file it is.
const APPLICATION_ID: i32 = 0x6d62_6433;

/// Never changed once released; a new matter is a new member.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/1-jobs.sql"),
    include_str!("schema/2-archive.sql"),
    include_str!("schema/3-history.sql"),
];

/// Refuses files of other programs and of newer versions, without writing.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), Error> {
    let id: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .during("read the database's header")?;
    let version = user_version(connection)?;
    if id == APPLICATION_ID {
        return known(version, path);
    }
    let tables: u32 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .during("list the database's tables")?;
    if id == 0 && version == 0 && tables == 0 {
        return Ok(());
    }
    // Another process may have made it between the two questions.
    match connection.pragma_query_value(None, "application_id", |row| row.get(0)) {
        Ok(APPLICATION_ID) => known(user_version(connection)?, path),
        _ => Err(Error::Foreign {
            path: path.to_owned(),
        }),
    }
}

/// Makes what is missing, in one transaction.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    if user_version(connection)? == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .during("begin to migrate the database")?;
    let present = user_version(&transaction)?;
    known(present, path)?;
    for migration in MIGRATIONS.iter().skip(present) {
        transaction
            .execute_batch(migration)
            .during("migrate the database")?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .during("mark the database as ours")?;
    transaction
        .execute_batch(&format!("PRAGMA user_version = {}", MIGRATIONS.len()))
        .during("note the database's schema")?;
    transaction.commit().during("migrate the database")
}

fn user_version(connection: &Connection) -> Result<usize, Error> {
    let version: i32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .during("read the database's schema version")?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

fn known(version: usize, path: &Path) -> Result<(), Error> {
    if version <= MIGRATIONS.len() {
        return Ok(());
    }
    Err(Error::Newer {
        path: path.to_owned(),
        found: version,
        known: MIGRATIONS.len(),
    })
}
