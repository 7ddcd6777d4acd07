//! Jobs: messages received at the door, packagings, and builds of the builder. One row each, whole as JSON beside the
//! columns that are searched.
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, Params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::deb::FileName;
use crate::model::job::{Packaging, PackagingState};
use crate::model::{BuildKey, Buildrequest, PackageKey, Timecode};

use super::{During, Error, Transaction};

/// A complete .changes in a staging directory, not yet taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub staging: PathBuf,
    pub changes: FileName,
    /// Time of arrival; becomes the upload's timecode.
    pub timecode: Timecode,
}

/// Makes or replaces.
pub fn add_received(tx: &Transaction<'_>, received: &Received) -> Result<(), Error> {
    let body = encode("received upload", received)?;
    tx.sql()
        .prepare_cached(
            "INSERT INTO received (staging, changes, body) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET body = excluded.body",
        )
        .and_then(|mut insert| {
            let staging = received.staging.as_os_str().as_bytes();
            insert.execute((staging, received.changes.as_str(), body))
        })
        .during("note a received upload")?;
    Ok(())
}

/// All, oldest first.
pub fn received(tx: &Transaction<'_>) -> Result<Vec<Received>, Error> {
    let query = "SELECT changes, body FROM received ORDER BY id";
    bodies(tx, "received upload", query, [])
}

/// Those of one staging directory, oldest first.
pub fn received_in(tx: &Transaction<'_>, staging: &Path) -> Result<Vec<Received>, Error> {
    let query = "SELECT changes, body FROM received WHERE staging = ? ORDER BY id";
    let staging = staging.as_os_str().as_bytes();
    bodies(tx, "received upload", query, [staging])
}

pub fn remove_received(tx: &Transaction<'_>, received: &Received) -> Result<(), Error> {
    tx.sql()
        .prepare_cached("DELETE FROM received WHERE staging = ? AND changes = ?")
        .and_then(|mut delete| {
            let staging = received.staging.as_os_str().as_bytes();
            delete.execute((staging, received.changes.as_str()))
        })
        .during("remove a received upload")?;
    Ok(())
}

/// Makes or replaces.
pub fn put_packaging(tx: &Transaction<'_>, packaging: &Packaging) -> Result<(), Error> {
    let finished = match packaging.state {
        PackagingState::Accepted | PackagingState::Packaging => false,
        PackagingState::Installed
        | PackagingState::Failed { .. }
        | PackagingState::Rejected { .. } => true,
    };
    let body = encode("packaging", packaging)?;
    tx.sql()
        .prepare_cached(
            "INSERT INTO packaging (key, finished, body) VALUES (?, ?, ?)
             ON CONFLICT (key) DO UPDATE SET finished = excluded.finished, body = excluded.body",
        )
        .and_then(|mut insert| insert.execute((packaging.key.to_string(), finished, body)))
        .during("write a packaging")?;
    Ok(())
}

pub fn packaging(tx: &Transaction<'_>, key: &PackageKey) -> Result<Option<Packaging>, Error> {
    let query = "SELECT key, body FROM packaging WHERE key = ?";
    Ok(bodies(tx, "packaging", query, [key.to_string()])?.pop())
}

/// Those in state Accepted or Packaging, oldest first.
pub fn unfinished_packagings(tx: &Transaction<'_>) -> Result<Vec<Packaging>, Error> {
    let query = "SELECT key, body FROM packaging WHERE finished = 0 ORDER BY id";
    bodies(tx, "packaging", query, [])
}

/// A buildrequest that this builder took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub request: Buildrequest,
    /// SHA-256 of the buildrequest's .changes: the same again does nothing, another is refused.
    pub digest: String,
    /// Fingerprint of the key that signed it.
    pub requester: String,
    /// How many supervisors were started for it.
    #[serde(default)]
    pub attempts: u32,
    pub state: BuilderState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuilderState {
    Queued,
    /// A supervisor was started.
    Building,
    /// The buildresult is signed and lies in the build directory.
    Built,
    Uploaded,
}

/// Makes or replaces.
pub fn put_build(tx: &Transaction<'_>, build: &Build) -> Result<(), Error> {
    let finished = match build.state {
        BuilderState::Queued | BuilderState::Building | BuilderState::Built => false,
        BuilderState::Uploaded => true,
    };
    let body = encode("build", build)?;
    tx.sql()
        .prepare_cached(
            "INSERT INTO build (key, finished, body) VALUES (?, ?, ?)
             ON CONFLICT (key) DO UPDATE SET finished = excluded.finished, body = excluded.body",
        )
        .and_then(|mut insert| insert.execute((build.request.key().to_string(), finished, body)))
        .during("write a build")?;
    Ok(())
}

pub fn build(tx: &Transaction<'_>, key: &BuildKey) -> Result<Option<Build>, Error> {
    let query = "SELECT key, body FROM build WHERE key = ?";
    Ok(bodies(tx, "build", query, [key.to_string()])?.pop())
}

/// All that are not Uploaded, oldest first.
pub fn unfinished_builds(tx: &Transaction<'_>) -> Result<Vec<Build>, Error> {
    let query = "SELECT key, body FROM build WHERE finished = 0 ORDER BY id";
    bodies(tx, "build", query, [])
}

/// The latest first, those before an id only.
pub fn latest_builds(
    tx: &Transaction<'_>,
    before: i64,
    limit: u32,
) -> Result<Vec<(i64, Build)>, Error> {
    let query = "SELECT key, body, id FROM build WHERE id < ? ORDER BY id DESC LIMIT ?";
    let rows: Vec<(String, String, i64)> = tx
        .sql()
        .prepare_cached(query)
        .and_then(|mut query| {
            query
                .query_map((before, limit), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?
                .collect()
        })
        .during("read builds")?;
    rows.into_iter()
        .map(|(name, body, id)| {
            let what = "build";
            let build = serde_json::from_str(&body);
            let build = build.map_err(|source| Error::Decode { what, name, source })?;
            Ok((id, build))
        })
        .collect()
}

/// SHA-256 of a message that was taken under this key: same key and digest again is a repetition.
pub fn message_digest(
    tx: &Transaction<'_>,
    kind: &str,
    key: &BuildKey,
) -> Result<Option<String>, Error> {
    tx.sql()
        .prepare_cached("SELECT digest FROM message WHERE kind = ? AND key = ?")
        .and_then(|mut query| {
            query
                .query_row((kind, key.to_string()), |row| row.get(0))
                .optional()
        })
        .during("look for a message")
}

/// Makes or replaces.
pub fn put_message_digest(
    tx: &Transaction<'_>,
    kind: &str,
    key: &BuildKey,
    digest: &str,
) -> Result<(), Error> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO message (kind, key, digest) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET digest = excluded.digest",
        )
        .and_then(|mut insert| insert.execute((kind, key.to_string(), digest)))
        .during("note a message")?;
    Ok(())
}

fn encode(what: &'static str, value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Encode { what, source })
}

/// Runs a query of (name, JSON) columns.
fn bodies<T: DeserializeOwned>(
    tx: &Transaction<'_>,
    what: &'static str,
    query: &'static str,
    parameters: impl Params,
) -> Result<Vec<T>, Error> {
    let rows: Vec<(String, String)> = tx
        .sql()
        .prepare_cached(query)
        .and_then(|mut query| {
            query
                .query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .during("read jobs")?;
    rows.into_iter()
        .map(|(name, body)| {
            serde_json::from_str(&body).map_err(|source| Error::Decode { what, name, source })
        })
        .collect()
}
