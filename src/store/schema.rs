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
    include_str!("schema/4-accounts.sql"),
    include_str!("schema/5-actions.sql"),
    include_str!("schema/6-links.sql"),
    include_str!("schema/7-letters.sql"),
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

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    /// What an instance of the second schema has: a package that was replaced, one that came and left in one second.
    const BEFORE: &str = "
        INSERT INTO dist (id, repository, name, settings, dirty, serial, published_at, removed_at) VALUES
            (1, 'one', 'sid-one-unstable', '{}', 0, 4, 1700, NULL),
            (2, 'two', 'sid-two-unstable', '{}', 1, 0, NULL, 1800);
        INSERT INTO package VALUES
            (7, 'one', 'dsc', 'hello', '1', 'source', 'hello', '1', 'main', 'x', 'y', 's', 'l'),
            (8, 'one', 'dsc', 'hello', '2', 'source', 'hello', '2', 'main', 'x', 'y', 's', 'l'),
            (9, 'two', 'dsc', 'hello', '1', 'source', 'hello', '1', 'main', 'x', 'y', 's', 'l');
        INSERT INTO slot VALUES
            (3, 1, 'main', 'source', 'hello', 7, 1000, 2000),
            (4, 1, 'main', 'source', 'hello', 8, 2000, NULL),
            (5, 2, 'main', 'source', 'hello', 9, 2000, 2000),
            (6, 2, 'main', 'source', 'hello', 9, 500, NULL);
        INSERT INTO index_file VALUES (1, 'main/source/Sources', 'aa', 'bb', 9, 'in', 4, 1700, NULL, NULL);
        INSERT INTO event (directory, body) VALUES ('d', 'b');";

    fn rows(connection: &Connection, query: &str) -> Vec<String> {
        let mut query = connection.prepare(query).unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn times_of_the_second_schema_become_moments() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let old = Connection::open(&path).unwrap();
        for migration in &MIGRATIONS[..2] {
            old.execute_batch(migration).unwrap();
        }
        old.execute_batch(BEFORE).unwrap();
        let header = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2");
        old.execute_batch(&header).unwrap();
        drop(old);
        drop(Store::open(&path).unwrap());

        let new = Connection::open(&path).unwrap();
        assert_eq!(
            rows(
                &new,
                "SELECT repository || ' ' || at || ' ' || action FROM moment ORDER BY repository, id"
            ),
            [
                "one 1000000 change",
                "one 2000000 change",
                "two 500000 change",
                "two 2000000 change"
            ]
        );
        assert_eq!(
            rows(
                &new,
                "SELECT slot.id || ' ' || dist || ' ' || package || ' ' || began.at || ' ' || coalesce(ended.at, '-')
                 FROM slot JOIN moment AS began ON began.id = added LEFT JOIN moment AS ended ON ended.id = removed
                 ORDER BY slot.id"
            ),
            ["3 1 7 1000000 2000000", "4 1 8 2000000 -", "5 2 9 2000000 2000000", "6 2 9 500000 -"]
        );
        assert_eq!(
            rows(
                &new,
                "SELECT id || ' ' || dirty || ' ' || serial || ' ' || published || ' ' || forgotten FROM dist"
            ),
            ["1 0 4 0 0", "2 1 0 0 0"]
        );
        assert_eq!(
            rows(
                &new,
                "SELECT path || ' ' || sha256 || ' ' || hex(states) FROM index_file"
            ),
            ["main/source/Sources aa "]
        );
        assert_eq!(
            rows(&new, "SELECT body FROM event WHERE written = 0"),
            ["b"]
        );
        assert_eq!(
            rows(&new, "SELECT 'fault' FROM pragma_foreign_key_check"),
            Vec::<String>::new()
        );
        // An id is never given again.
        new.execute_batch("DELETE FROM slot WHERE id = 6; INSERT INTO slot VALUES (NULL, 2, 'c', 'i', 'n', 9, 1, NULL)")
            .unwrap();
        assert_eq!(rows(&new, "SELECT CAST(max(id) AS TEXT) FROM slot"), ["7"]);
    }

    #[test]
    fn a_database_of_the_first_schema_gets_all_tables() {
        let directory = tempfile::tempdir().unwrap();
        let [old, fresh] = ["old", "fresh"].map(|name| directory.path().join(name));
        let first = Connection::open(&old).unwrap();
        first.execute_batch(MIGRATIONS[0]).unwrap();
        first
            .execute_batch(&format!(
                "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1"
            ))
            .unwrap();
        drop(first);
        let schemas = [old, fresh].map(|path| {
            drop(Store::open(&path).unwrap());
            let connection = Connection::open(&path).unwrap();
            rows(
                &connection,
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name",
            )
        });
        assert_eq!(schemas[0], schemas[1]);
        assert!(schemas[0].len() > 10);
    }
}
