//! Users, with what they have: the hash of a password, sessions, tokens, subscriptions.
//!
//! Secrets are never kept: a session or token is known by the digest of what its holder has.
use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row};

use crate::model::user::{User, UserName};
use crate::model::{Item as _, Uploader};

use super::links::{self, Purpose};
use super::{During, Error, Transaction, items};

const COLUMNS: &str = "user.name, user.email, user.active, user.staff, user.superuser";

/// A token as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: i64,
    pub title: String,
    /// The calls that it is good for; `None`: all that its user may make.
    pub calls: Option<BTreeSet<String>>,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    pub used: Option<Timestamp>,
}

/// Wants to be told of a package, of a distribution; empty is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub package: String,
    pub distribution: String,
}

pub fn all(tx: &Transaction<'_>) -> Result<Vec<User>, Error> {
    tx.sql()
        .prepare_cached(&format!("SELECT {COLUMNS} FROM user ORDER BY name"))
        .and_then(|mut query| query.query_map([], user)?.collect())
        .during("read users")
}

/// A user and the hash of the password; that is empty where no password fits.
pub fn get(tx: &Transaction<'_>, name: &str) -> Result<Option<(User, String)>, Error> {
    tx.sql()
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, password FROM user WHERE name = ?"
        ))
        .and_then(|mut query| {
            query
                .query_row([name], |row| Ok((user(row)?, row.get(5)?)))
                .optional()
        })
        .during("read a user")
}

/// Makes or changes one; a password stays what it is.
pub fn put(tx: &Transaction<'_>, user: &User) -> Result<(), Error> {
    user.validate()?;
    let before = get(tx, user.name.as_str())?;
    tx.sql()
        .prepare_cached(
            "INSERT INTO user (name, email, active, staff, superuser) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET email = excluded.email, active = excluded.active,
                 staff = excluded.staff, superuser = excluded.superuser",
        )
        .and_then(|mut insert| {
            insert.execute((
                user.name.as_str(),
                &user.email,
                user.active,
                user.staff,
                user.superuser,
            ))
        })
        .during("write a user")?;
    let is_other = before.is_some_and(|(before, _)| before.email != user.email);
    if is_other || !user.active {
        links::forget(tx, user.name.as_str(), None)?;
    }
    if !user.active {
        end_sessions(tx, &user.name)?;
        close(tx, &user.name)?;
    }
    Ok(())
}

/// Who may not log in may not upload either; an administrator may activate the key again.
fn close(tx: &Transaction<'_>, name: &UserName) -> Result<(), Error> {
    match items::get::<Uploader>(tx, name.as_str())? {
        Some((uploader, status)) => items::put(tx, &uploader, status.deactivate()),
        None => Ok(()),
    }
}

/// Sets the hash of a password, and ends what was begun with the one before.
pub fn set_password(tx: &Transaction<'_>, name: &UserName, hash: &str) -> Result<(), Error> {
    tx.sql()
        .prepare_cached("UPDATE user SET password = ? WHERE name = ?")
        .and_then(|mut update| update.execute((hash, name.as_str())))
        .during("set a password")?;
    links::forget(tx, name.as_str(), Some(Purpose::Reset))?;
    end_sessions(tx, name)
}

/// With all that is the user's, the key for uploads too.
pub fn remove(tx: &Transaction<'_>, name: &UserName) -> Result<bool, Error> {
    let removed = tx
        .sql()
        .execute("DELETE FROM user WHERE name = ?", [name.as_str()])
        .during("remove a user")?;
    if removed > 0 {
        items::remove::<Uploader>(tx, name.as_str())?;
    }
    Ok(removed > 0)
}

/// Begins a session of a user who is still active and has still this hash of a password; `false`: that changed.
pub fn begin_session(
    tx: &Transaction<'_>,
    digest: &str,
    (name, hash): (&UserName, &str),
    [now, expires]: [Timestamp; 2],
) -> Result<bool, Error> {
    let present = get(tx, name.as_str())?;
    if !present.is_some_and(|(user, present)| user.active && present == hash) {
        return Ok(false);
    }
    let begin = || {
        let sql = tx.sql();
        sql.prepare_cached("DELETE FROM session WHERE expires_at <= ?")?
            .execute([now.as_second()])?;
        sql.prepare_cached("INSERT INTO session (digest, user, expires_at) VALUES (?, ?, ?)")?
            .execute((digest, name.as_str(), expires.as_second()))
    };
    begin().during("begin a session")?;
    Ok(true)
}

/// The active user of a session that is not over.
pub fn of_session(
    tx: &Transaction<'_>,
    digest: &str,
    now: Timestamp,
) -> Result<Option<User>, Error> {
    tx.sql()
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM session JOIN user ON user.name = session.user
             WHERE digest = ? AND expires_at > ? AND user.active"
        ))
        .and_then(|mut query| query.query_row((digest, now.as_second()), user).optional())
        .during("look for a session")
}

pub fn end_session(tx: &Transaction<'_>, digest: &str) -> Result<(), Error> {
    tx.sql()
        .execute("DELETE FROM session WHERE digest = ?", [digest])
        .during("end a session")?;
    Ok(())
}

fn end_sessions(tx: &Transaction<'_>, name: &UserName) -> Result<(), Error> {
    tx.sql()
        .execute("DELETE FROM session WHERE user = ?", [name.as_str()])
        .during("end a user's sessions")?;
    Ok(())
}

/// Returns the id of the new token.
pub fn add_token(
    tx: &Transaction<'_>,
    digest: &str,
    name: &UserName,
    title: &str,
    calls: Option<&BTreeSet<String>>,
    expires: Option<Timestamp>,
) -> Result<i64, Error> {
    let calls = calls.map(|calls| serde_json::json!(calls).to_string());
    let expires = expires.map(Timestamp::as_second);
    tx.sql()
        .prepare_cached(
            "INSERT INTO token (digest, user, title, calls, expires_at) VALUES (?, ?, ?, ?, ?)",
        )
        .and_then(|mut insert| insert.insert((digest, name.as_str(), title, calls, expires)))
        .during("write a token")
}

pub fn tokens(tx: &Transaction<'_>, name: &UserName) -> Result<Vec<Token>, Error> {
    tx.sql()
        .prepare_cached(
            "SELECT id, title, calls, created_at, expires_at, used_at FROM token
             WHERE user = ? ORDER BY id",
        )
        .and_then(|mut query| query.query_map([name.as_str()], token)?.collect())
        .during("read tokens")
}

/// `false`: the user has no such token.
pub fn remove_token(tx: &Transaction<'_>, name: &UserName, id: i64) -> Result<bool, Error> {
    let removed = tx
        .sql()
        .execute(
            "DELETE FROM token WHERE user = ? AND id = ?",
            (name.as_str(), id),
        )
        .during("remove a token")?;
    Ok(removed > 0)
}

/// The active user of a token that is still good, and the token.
pub fn of_token(
    tx: &Transaction<'_>,
    digest: &str,
    now: Timestamp,
) -> Result<Option<(User, Token)>, Error> {
    tx.sql()
        .prepare_cached(&format!(
            "SELECT id, title, calls, created_at, expires_at, used_at, {COLUMNS}
             FROM token JOIN user ON user.name = token.user
             WHERE digest = ?1 AND (expires_at IS NULL OR expires_at > ?2) AND user.active"
        ))
        .and_then(|mut query| {
            query
                .query_row((digest, now.as_second()), |row| {
                    Ok((user_from(row, 6)?, token(row)?))
                })
                .optional()
        })
        .during("look for a token")
}

pub fn note_use(tx: &Transaction<'_>, token: i64, now: Timestamp) -> Result<(), Error> {
    tx.sql()
        .prepare_cached("UPDATE token SET used_at = ? WHERE id = ?")
        .and_then(|mut update| update.execute((now.as_second(), token)))
        .during("note the use of a token")?;
    Ok(())
}

pub fn subscriptions(tx: &Transaction<'_>, name: &UserName) -> Result<Vec<Subscription>, Error> {
    tx.sql()
        .prepare_cached(
            "SELECT package, distribution FROM subscription WHERE user = ?
             ORDER BY package, distribution",
        )
        .and_then(|mut query| {
            query
                .query_map([name.as_str()], |row| {
                    Ok(Subscription {
                        package: row.get(0)?,
                        distribution: row.get(1)?,
                    })
                })?
                .collect()
        })
        .during("read subscriptions")
}

/// Who subscribed to what; only users who may log in.
pub fn subscribers(tx: &Transaction<'_>) -> Result<Vec<(User, Subscription)>, Error> {
    tx.sql()
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, package, distribution FROM subscription JOIN user ON user.name = subscription.user
             WHERE user.active ORDER BY user.name, package, distribution"
        ))
        .and_then(|mut query| {
            query
                .query_map([], |row| {
                    let subscription = Subscription {
                        package: row.get(5)?,
                        distribution: row.get(6)?,
                    };
                    Ok((user(row)?, subscription))
                })?
                .collect()
        })
        .during("read subscriptions")
}

/// `false`: it is there already.
pub fn subscribe(
    tx: &Transaction<'_>,
    name: &UserName,
    wanted: &Subscription,
) -> Result<bool, Error> {
    let added = tx
        .sql()
        .execute(
            "INSERT INTO subscription (user, package, distribution) VALUES (?, ?, ?)
             ON CONFLICT DO NOTHING",
            (name.as_str(), &wanted.package, &wanted.distribution),
        )
        .during("write a subscription")?;
    Ok(added > 0)
}

pub fn unsubscribe(
    tx: &Transaction<'_>,
    name: &UserName,
    subscription: &Subscription,
) -> Result<(), Error> {
    tx.sql()
        .execute(
            "DELETE FROM subscription WHERE user = ? AND package = ? AND distribution = ?",
            (
                name.as_str(),
                &subscription.package,
                &subscription.distribution,
            ),
        )
        .during("remove a subscription")?;
    Ok(())
}

fn user(row: &Row<'_>) -> Result<User, rusqlite::Error> {
    user_from(row, 0)
}

fn user_from(row: &Row<'_>, first: usize) -> Result<User, rusqlite::Error> {
    let name: String = row.get(first)?;
    Ok(User {
        name: name.parse().map_err(|fault| malformed(first, fault))?,
        email: row.get(first + 1)?,
        active: row.get(first + 2)?,
        staff: row.get(first + 3)?,
        superuser: row.get(first + 4)?,
    })
}

fn token(row: &Row<'_>) -> Result<Token, rusqlite::Error> {
    let time = |column| {
        let seconds: Option<i64> = row.get(column)?;
        let time = seconds.map(Timestamp::from_second).transpose();
        time.map_err(|fault| malformed(column, fault))
    };
    let calls: Option<String> = row.get(2)?;
    Ok(Token {
        id: row.get(0)?,
        title: row.get(1)?,
        calls: calls
            .map(|calls| serde_json::from_str(&calls))
            .transpose()
            .map_err(|fault| malformed(2, fault))?,
        created: time(3)?.unwrap_or_default(),
        expires: time(4)?,
        used: time(5)?,
    })
}

fn malformed(
    column: usize,
    fault: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(fault))
}
