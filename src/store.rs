//! The database: one SQLite file that holds items, jobs, events and the archive's tables.
//!
//! Reading order: this file opens, [`schema`] makes and migrates the tables, [`items`] is what administrators configure
//! ([`catalog`]: all of it at once) and [`actions`] what they asked for, [`users`] who may log in ([`links`] is what was mailed to them), [`jobs`]
//! what is going on, [`event_log`] what happened, [`letters`] whom it is still to be told.
pub mod actions;
pub mod catalog;
pub mod event_log;
pub mod items;
pub mod jobs;
pub mod letters;
pub mod links;
mod schema;
pub mod users;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::fault;

/// How long a writer waits for one of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Readers that are kept open; more are opened while more are at work.
const KEPT_READERS: usize = 2;
/// KiB of pages that a connection keeps; the kernel has the file's pages too.
const CACHE: i32 = 2048;

/// The database of an instance; one writer at a time, readers beside it (WAL).
///
/// Several processes may have it open. A transaction must not begin another one on the same thread.
pub struct Store {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// Work on the database inside one transaction.
pub struct Transaction<'a> {
    inner: rusqlite::Transaction<'a>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{path} is not a database of mini-buildd")]
    Foreign { path: PathBuf },
    #[error(
        "{path} was written by a newer mini-buildd (schema {found}, this program knows {known})"
    )]
    Newer {
        path: PathBuf,
        found: usize,
        known: usize,
    },
    #[error("can't make database {path}")]
    Make {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("can't {action}")]
    Sql {
        action: &'static str,
        source: rusqlite::Error,
    },
    #[error(transparent)]
    Invalid(#[from] crate::model::Invalid),
    #[error("can't write {what} as JSON")]
    Encode {
        what: &'static str,
        source: serde_json::Error,
    },
    #[error("can't read {what} {name} from the database")]
    Decode {
        what: &'static str,
        name: String,
        source: serde_json::Error,
    },
}

/// Says what SQLite was doing when it failed.
pub(crate) trait During<T> {
    fn during(self, action: &'static str) -> Result<T, Error>;
}

impl<T> During<T> for Result<T, rusqlite::Error> {
    fn during(self, action: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Sql { action, source })
    }
}

impl Store {
    /// Opens, makes or migrates the database (`synchronous=FULL`, `application_id` set).
    pub fn open(path: &Path) -> Result<Store, Error> {
        // SQLite takes an empty file for a new database, and its -wal and -shm inherit the mode.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| Error::Make {
                path: path.to_owned(),
                source,
            })?;
        let mut writer = connect(path)?;
        schema::check(&writer, path)?;
        write_ahead(&writer).during("switch the database to write-ahead logging")?;
        schema::migrate(&mut writer, path)?;
        Ok(Store {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
        })
    }

    /// Runs `work` in one IMMEDIATE transaction: all of it, or, on `Err`, nothing.
    pub fn write<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = lock(&self.writer);
        let inner = fault::in_database("begin", &self.path)
            .and_then(|()| writer.transaction_with_behavior(TransactionBehavior::Immediate))
            .during("begin a transaction")?;
        let transaction = Transaction { inner };
        let value = work(&transaction)?;
        fault::in_database("commit", &self.path)
            .and_then(|()| transaction.inner.commit())
            .during("commit a transaction")?;
        Ok(value)
    }

    /// Runs `work` on one consistent state.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let kept = lock(&self.readers).pop();
        let mut reader = match kept {
            Some(reader) => reader,
            None => self.open_reader()?,
        };
        let result = {
            let inner = reader
                .transaction_with_behavior(TransactionBehavior::Deferred)
                .during("begin to read")?;
            work(&Transaction { inner })
        };
        let mut readers = lock(&self.readers);
        if readers.len() < KEPT_READERS {
            readers.push(reader);
        }
        result
    }

    fn open_reader(&self) -> Result<Connection, Error> {
        let reader = connect(&self.path)?;
        reader
            .pragma_update(None, "query_only", true)
            .during("open the database for reading")?;
        Ok(reader)
    }
}

impl Transaction<'_> {
    /// The connection, for the modules that own tables.
    pub(crate) fn sql(&self) -> &Connection {
        &self.inner
    }
}

/// A panic under the lock has rolled its transaction back, so what is behind it is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(64);
        // A commit must survive the loss of power: NORMAL may lose the last ones in WAL mode.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Less than zero: not pages but KiB (sqlite.org/pragma.html).
        connection.pragma_update(None, "cache_size", -CACHE)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(connection)
    };
    open().map_err(|source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::Foreign {
            path: path.to_owned(),
        },
        _ => Error::Sql {
            action: "open the database",
            source,
        },
    })
}

/// Switches to WAL; SQLite answers "busy" at once while another process does the same, whatever the time-out.
fn write_ahead(connection: &Connection) -> Result<(), rusqlite::Error> {
    let start = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && start.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn value(store: &Store, key: &str) -> Option<i64> {
        let mut found = None;
        let read: Result<(), Error> = store.read(|tx| {
            let query = "SELECT generation FROM note WHERE key = ?";
            found = tx.sql().query_row(query, [key], |row| row.get(0)).ok();
            Ok(())
        });
        read.unwrap();
        found
    }

    fn set(tx: &Transaction<'_>, key: &str, value: i64) -> Result<(), Error> {
        tx.sql()
            .prepare_cached("INSERT OR REPLACE INTO note VALUES (?, ?)")
            .and_then(|mut insert| insert.execute((key, value)))
            .during("write a note")?;
        Ok(())
    }

    fn store_with_notes(path: &Path) -> Store {
        let store = Store::open(path).unwrap();
        let made: Result<(), Error> = store.write(|tx| {
            tx.sql()
                .execute_batch("CREATE TABLE IF NOT EXISTS note (key TEXT PRIMARY KEY, generation)")
                .during("make a table")
        });
        made.unwrap();
        store
    }

    /// Runs `child` of this module in a process of its own.
    fn start(task: &str, path: &Path) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child", "--quiet"])
            .env("STORE_TASK", task)
            .env("STORE_PATH", path)
            .spawn()
            .unwrap()
    }

    #[test]
    fn child() {
        let Some(task) = std::env::var_os("STORE_TASK") else {
            return;
        };
        let path = PathBuf::from(std::env::var_os("STORE_PATH").unwrap());
        let store = store_with_notes(&path);
        let add = |tx: &Transaction<'_>, key: &str| -> Result<(), Error> {
            let query = "SELECT coalesce(max(generation), 0) FROM note WHERE key = ?";
            let last: i64 = tx
                .sql()
                .query_row(query, [key], |row| row.get(0))
                .during("read a note")?;
            set(tx, key, last + 1)
        };
        if task == "write until killed" {
            loop {
                store
                    .write(|tx| add(tx, "left").and_then(|()| add(tx, "right")))
                    .unwrap();
            }
        }
        for _ in 0..200 {
            store.write(|tx| add(tx, "count")).unwrap();
        }
    }

    #[test]
    fn all_of_a_transaction_is_kept_or_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_with_notes(&directory.path().join("db"));
        store.write(|tx| set(tx, "a", 1)).unwrap();
        let failed = store.write(|tx| {
            set(tx, "a", 2)?;
            set(tx, "b", 2)?;
            Err::<(), Error>(Error::Foreign {
                path: PathBuf::new(),
            })
        });
        assert!(failed.is_err());
        assert_eq!(value(&store, "a"), Some(1));
        assert_eq!(value(&store, "b"), None);
    }

    #[test]
    fn a_panic_in_a_transaction_undoes_it_and_the_store_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_with_notes(&directory.path().join("db"));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                store.write(|tx| -> Result<(), Error> {
                    set(tx, "a", 1)?;
                    panic!("on purpose")
                })
            });
            assert!(writer.join().is_err());
        });
        assert_eq!(value(&store, "a"), None);
        store.write(|tx| set(tx, "a", 2)).unwrap();
        assert_eq!(value(&store, "a"), Some(2));
    }

    #[test]
    fn what_is_read_does_not_change_while_it_is_read_and_cannot_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_with_notes(&directory.path().join("db"));
        store.write(|tx| set(tx, "a", 1)).unwrap();
        let seen = |tx: &Transaction<'_>| -> i64 {
            let query = "SELECT generation FROM note WHERE key = 'a'";
            tx.sql().query_row(query, [], |row| row.get(0)).unwrap()
        };
        let read: Result<(), Error> = store.read(|tx| {
            assert_eq!(seen(tx), 1);
            store.write(|tx| set(tx, "a", 2))?;
            assert_eq!(seen(tx), 1);
            assert!(set(tx, "a", 3).is_err());
            Ok(())
        });
        read.unwrap();
        assert_eq!(value(&store, "a"), Some(2));
    }

    #[test]
    fn a_killed_writer_leaves_the_state_before_or_after() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let store = store_with_notes(&path);
        for _ in 0..5 {
            let before = value(&store, "left").unwrap_or(0);
            let mut writer = start("write until killed", &path);
            while value(&store, "left").unwrap_or(0) < before + 3 {
                std::thread::yield_now();
            }
            writer.kill().unwrap();
            writer.wait().unwrap();
            let reopened = Store::open(&path).unwrap();
            assert_eq!(value(&reopened, "left"), value(&reopened, "right"));
        }
    }

    #[test]
    fn two_processes_write_to_one_new_database() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let writers = [start("count", &path), start("count", &path)];
        for mut writer in writers {
            assert!(writer.wait().unwrap().success());
        }
        assert_eq!(value(&Store::open(&path).unwrap(), "count"), Some(400));
    }

    #[test]
    fn only_our_databases_of_a_known_schema_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let text = directory.path().join("text");
        std::fs::write(
            &text,
            "not a database, but long enough for a header\n".repeat(9),
        )
        .unwrap();
        assert!(matches!(Store::open(&text), Err(Error::Foreign { .. })));

        let foreign = directory.path().join("foreign");
        let other = Connection::open(&foreign).unwrap();
        other.execute_batch("CREATE TABLE theirs (a)").unwrap();
        drop(other);
        let before = std::fs::read(&foreign).unwrap();
        assert!(matches!(Store::open(&foreign), Err(Error::Foreign { .. })));
        assert_eq!(std::fs::read(&foreign).unwrap(), before);

        let ours = directory.path().join("ours");
        drop(Store::open(&ours).unwrap());
        drop(Store::open(&ours).unwrap());
        let newer = Connection::open(&ours).unwrap();
        newer.pragma_update(None, "user_version", 99).unwrap();
        let refused = Store::open(&ours).err().unwrap().to_string();
        assert!(
            refused.contains("newer mini-buildd (schema 99"),
            "{refused}"
        );
    }
}
