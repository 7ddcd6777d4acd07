//! Items that administrators configure: one row each, under kind and name.
use rusqlite::{OptionalExtension, Row};

use crate::model::{Item, Status};

use super::{During, Error, Transaction};

pub fn get<T: Item>(tx: &Transaction<'_>, name: &str) -> Result<Option<(T, Status)>, Error> {
    let columns = tx
        .sql()
        .prepare_cached("SELECT name, body, status FROM item WHERE kind = ? AND name = ?")
        .and_then(|mut query| query.query_row((T::KIND, name), columns).optional())
        .during("read an item")?;
    columns.as_ref().map(decode).transpose()
}

/// All of a kind, by name.
pub fn all<T: Item>(tx: &Transaction<'_>) -> Result<Vec<(T, Status)>, Error> {
    let rows: Vec<Columns> = tx
        .sql()
        .prepare_cached("SELECT name, body, status FROM item WHERE kind = ? ORDER BY name")
        .and_then(|mut query| query.query_map([T::KIND], columns)?.collect())
        .during("read items")?;
    rows.iter().map(decode).collect()
}

/// Makes or replaces.
pub fn put<T: Item>(tx: &Transaction<'_>, item: &T, status: Status) -> Result<(), Error> {
    item.validate()?;
    let encode = |source| Error::Encode {
        what: T::KIND,
        source,
    };
    let body = serde_json::to_string(item).map_err(encode)?;
    let status = serde_json::to_string(&status).map_err(encode)?;
    tx.sql()
        .prepare_cached(
            "INSERT INTO item (kind, name, status, body) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET status = excluded.status, body = excluded.body",
        )
        .and_then(|mut insert| insert.execute((T::KIND, item.name(), status, body)))
        .during("write an item")?;
    Ok(())
}

pub fn remove<T: Item>(tx: &Transaction<'_>, name: &str) -> Result<bool, Error> {
    let removed = tx
        .sql()
        .prepare_cached("DELETE FROM item WHERE kind = ? AND name = ?")
        .and_then(|mut delete| delete.execute((T::KIND, name)))
        .during("remove an item")?;
    Ok(removed > 0)
}

struct Columns {
    name: String,
    body: String,
    status: String,
}

fn columns(row: &Row<'_>) -> Result<Columns, rusqlite::Error> {
    Ok(Columns {
        name: row.get(0)?,
        body: row.get(1)?,
        status: row.get(2)?,
    })
}

fn decode<T: Item>(columns: &Columns) -> Result<(T, Status), Error> {
    let decode = |source| Error::Decode {
        what: T::KIND,
        name: columns.name.clone(),
        source,
    };
    let item = serde_json::from_str(&columns.body).map_err(decode)?;
    let status = serde_json::from_str(&columns.status).map_err(decode)?;
    Ok((item, status))
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use crate::model::{Check, Invalid};
    use crate::store::Store;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Printer {
        name: String,
        pages: u32,
    }

    impl Item for Printer {
        const KIND: &'static str = "printer";
        fn name(&self) -> String {
            self.name.clone()
        }
        fn validate(&self) -> Result<(), Invalid> {
            if self.pages > 0 {
                return Ok(());
            }
            Err(Invalid {
                kind: Self::KIND,
                name: self.name(),
                field: "pages",
                fault: "none".into(),
            })
        }
    }

    fn printer(name: &str, pages: u32) -> Printer {
        Printer {
            name: name.into(),
            pages,
        }
    }

    #[test]
    fn items_are_kept_by_name_with_their_status() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("db")).unwrap();
        let unchecked = Status::Prepared(Check::Unchecked);
        let written: Result<(), Error> = store.write(|tx| {
            put(tx, &printer("b", 1), Status::Removed)?;
            put(tx, &printer("a", 1), Status::Removed)?;
            put(tx, &printer("b", 2), unchecked)
        });
        written.unwrap();
        let found: Result<(), Error> = store.write(|tx| {
            let found = all::<Printer>(tx)?;
            assert_eq!(
                found,
                [
                    (printer("a", 1), Status::Removed),
                    (printer("b", 2), unchecked)
                ]
            );
            assert!(remove::<Printer>(tx, "a")?);
            assert!(!remove::<Printer>(tx, "a")?);
            assert_eq!(get::<Printer>(tx, "a")?, None);
            assert_eq!(get(tx, "b")?, Some((printer("b", 2), unchecked)));
            Ok(())
        });
        found.unwrap();
    }

    #[test]
    fn an_invalid_item_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("db")).unwrap();
        let refused = store.write(|tx| put(tx, &printer("a", 0), Status::Removed));
        assert!(matches!(refused, Err(Error::Invalid(_))));
    }
}
