//! Secrets that were mailed to users, good once and for a time.
use jiff::Timestamp;
use rusqlite::params;

use crate::model::user::UserName;

use super::{During, Error, Transaction};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Of a new user.
    Activate,
    /// Of a password.
    Reset,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::Activate => "activate",
            Purpose::Reset => "reset",
        }
    }
}

pub fn add(
    tx: &Transaction<'_>,
    digest: &str,
    user: &UserName,
    purpose: Purpose,
    expires: Timestamp,
) -> Result<(), Error> {
    tx.sql()
        .execute(
            "INSERT INTO link (digest, user, purpose, expires_at) VALUES (?, ?, ?, ?)",
            params![digest, user.as_str(), purpose.as_str(), expires.as_second()],
        )
        .during("note a mailed link")?;
    Ok(())
}

/// Tells whether a link is good.
pub fn has(
    tx: &Transaction<'_>,
    digest: &str,
    user: &str,
    purpose: Purpose,
    now: Timestamp,
) -> Result<bool, Error> {
    tx.sql()
        .query_row(
            "SELECT count(*) FROM link WHERE digest = ? AND user = ? AND purpose = ? AND expires_at > ?",
            params![digest, user, purpose.as_str(), now.as_second()],
            |row| row.get::<_, i64>(0),
        )
        .map(|count| count > 0)
        .during("look for a mailed link")
}

/// Uses a link up, and all others of the user's for the same purpose; `false`: it is not good.
pub fn take(
    tx: &Transaction<'_>,
    digest: &str,
    user: &str,
    purpose: Purpose,
    now: Timestamp,
) -> Result<bool, Error> {
    if !has(tx, digest, user, purpose, now)? {
        return Ok(false);
    }
    forget(tx, user, Some(purpose))?;
    Ok(true)
}

/// Takes from a user all links, or those for one purpose.
pub fn forget(tx: &Transaction<'_>, user: &str, purpose: Option<Purpose>) -> Result<(), Error> {
    tx.sql()
        .execute(
            "DELETE FROM link WHERE user = ?1 AND (?2 IS NULL OR purpose = ?2)",
            params![user, purpose.map(Purpose::as_str)],
        )
        .during("forget a user's mailed links")?;
    Ok(())
}

/// Forgets links that are no longer good, and users who never proved their address.
pub fn expire(tx: &Transaction<'_>, now: Timestamp) -> Result<(), Error> {
    let now = now.as_second();
    tx.sql()
        .execute(
            "DELETE FROM user WHERE active = 0 AND name IN
                 (SELECT user FROM link WHERE purpose = 'activate' AND expires_at <= ?)",
            [now],
        )
        .during("forget users who never were active")?;
    tx.sql()
        .execute("DELETE FROM link WHERE expires_at <= ?", [now])
        .during("forget mailed links")?;
    Ok(())
}
