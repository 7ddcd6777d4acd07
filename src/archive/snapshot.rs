//! States that are kept under a name: dists/DIST/snapshots/NAME, as stock has them.
use std::path::PathBuf;

use jiff::Timestamp;

use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::model::snapshot::SnapshotName;
use crate::pgp::SigningKeys;
use crate::store::{During, Transaction};

use super::dist::{self, Dist};
use super::state::{self, State};
use super::view::View;
use super::{ArchiveDir, Error, moment};

/// A kept state of a dist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub diststr: Diststr,
    pub name: SnapshotName,
    pub created: Timestamp,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) moment: i64,
    created: i64,
    pub(super) published: bool,
    pub(super) removed: bool,
}

/// Keeps what a dist is now; a name is given once.
pub(super) fn create(
    tx: &Transaction<'_>,
    repository: &Identity,
    diststr: &Diststr,
    name: &SnapshotName,
    now: Timestamp,
) -> Result<(), Error> {
    let dist = dist::get(tx, repository, diststr)?;
    let moment = moment::latest(tx, repository)?;
    let created = tx
        .sql()
        .prepare_cached(
            "INSERT INTO snapshot (dist, name, moment, created_at) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET
                 moment = excluded.moment, created_at = excluded.created_at, published = 0, removed = 0
             WHERE removed = 1",
        )
        .and_then(|mut insert| insert.execute((dist.id, name.as_str(), moment, now.as_second())))
        .during("note a snapshot")?;
    if created == 0 {
        return Err(Error::SnapshotExists {
            name: name.to_string(),
            diststr: diststr.clone(),
        });
    }
    dist::touch(tx, dist.id)
}

pub(super) fn exists(tx: &Transaction<'_>, dist: i64, name: &SnapshotName) -> Result<bool, Error> {
    Ok(tx
        .sql()
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM snapshot WHERE dist = ? AND name = ?)")
        .and_then(|mut query| query.query_row((dist, name.as_str()), |row| row.get(0)))
        .during("look for a snapshot")?)
}

/// Gives up a snapshot; its directory goes with the next publication.
pub(super) fn delete(
    tx: &Transaction<'_>,
    repository: &Identity,
    diststr: &Diststr,
    name: &SnapshotName,
) -> Result<(), Error> {
    let dist = dist::get(tx, repository, diststr)?;
    let deleted = tx
        .sql()
        .prepare_cached(
            "UPDATE snapshot SET removed = 1 WHERE dist = ? AND name = ? AND removed = 0",
        )
        .and_then(|mut update| update.execute((dist.id, name.as_str())))
        .during("give up a snapshot")?;
    if deleted == 0 {
        return Err(Error::NoSnapshot {
            name: name.to_string(),
            diststr: diststr.clone(),
        });
    }
    dist::touch(tx, dist.id)
}

/// Snapshots of a dist, oldest first.
pub(super) fn list(
    tx: &Transaction<'_>,
    repository: &Identity,
    diststr: &Diststr,
) -> Result<Vec<Snapshot>, Error> {
    let dist = dist::get(tx, repository, diststr)?;
    rows(tx, dist.id)?
        .into_iter()
        .filter(|row| !row.removed)
        .map(|row| {
            Ok(Snapshot {
                diststr: diststr.clone(),
                name: row.name.parse().map_err(|_| Error::Row {
                    what: "snapshot's name",
                    value: row.name,
                })?,
                created: Timestamp::from_second(row.created).unwrap_or(Timestamp::UNIX_EPOCH),
            })
        })
        .collect()
}

pub(super) fn rows(tx: &Transaction<'_>, dist: i64) -> Result<Vec<Row>, Error> {
    Ok(tx
        .sql()
        .prepare_cached(
            "SELECT name, moment, created_at, published, removed FROM snapshot
             WHERE dist = ? ORDER BY created_at, name",
        )
        .and_then(|mut query| {
            query
                .query_map([dist], |row| {
                    Ok(Row {
                        name: row.get(0)?,
                        moment: row.get(1)?,
                        created: row.get(2)?,
                        published: row.get(3)?,
                        removed: row.get(4)?,
                    })
                })?
                .collect()
        })
        .during("read snapshots")?)
}

/// Makes the directories of a dist's snapshots what the rows say; returns the rows of those that changed.
pub(super) fn publish(
    archive: &ArchiveDir,
    dist: &Dist,
    keys: &SigningKeys,
    now: Timestamp,
) -> Result<Vec<Row>, Error> {
    let rows = archive.store.read(|tx| rows(tx, dist.id))?;
    let mut settled = Vec::new();
    for row in rows {
        let directory = directory(archive, &dist.settings.diststr, &row.name);
        if row.removed {
            state::remove(archive, &directory)?;
        } else if !row.published || !state::is_there(&directory) {
            let state = State {
                dist,
                view: View::at(dist.id, row.moment),
                suite: format!("{}/snapshots/{}", dist.settings.diststr, row.name),
                date: now,
            };
            archive
                .store
                .read(|tx| state::write(archive, tx, &state, &directory, keys, now))?;
        } else {
            continue;
        }
        settled.push(row);
    }
    Ok(settled)
}

/// Notes what was published; what became of a snapshot meanwhile is left to the next publication.
pub(super) fn settle(
    sql: &rusqlite::Connection,
    dist: i64,
    rows: &[Row],
) -> Result<(), rusqlite::Error> {
    for row in rows {
        let settle = if row.removed {
            "DELETE FROM snapshot WHERE dist = ? AND name = ? AND moment = ? AND removed = 1"
        } else {
            "UPDATE snapshot SET published = 1
             WHERE dist = ? AND name = ? AND moment = ? AND removed = 0"
        };
        sql.prepare_cached(settle)?
            .execute((dist, &row.name, row.moment))?;
    }
    Ok(())
}

pub(super) fn directory(archive: &ArchiveDir, diststr: &Diststr, name: &str) -> PathBuf {
    let dists = archive.directory.join("dists");
    let snapshots = dists.join(diststr.to_string()).join("snapshots");
    snapshots.join(name)
}

#[cfg(test)]
mod tests;
