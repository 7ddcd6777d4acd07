//! What the database knows of published files.
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::deb::release::IndexFile;
use crate::store::{self, During, Transaction};

use super::super::Error;
use super::super::assembly::{FORMS, Piece};
use super::super::dist::Dist;
use super::super::pieces::Form;
use super::super::snapshot;
use super::{Plan, Planned, by_hash};

/// A file that the last Release lists.
#[derive(Debug)]
pub(in super::super) struct Live {
    pub(in super::super) index: IndexFile,
    pub(super) input: String,
    /// Its sums at offsets, to go on from.
    pub(in super::super) states: Vec<u8>,
}

/// All of a dist, by path.
pub(in super::super) fn live(
    tx: &Transaction<'_>,
    dist: i64,
) -> Result<HashMap<String, Live>, Error> {
    let rows: Vec<Live> = tx
        .sql()
        .prepare_cached(
            "SELECT path, size, md5, sha256, sha512, input, states FROM index_file
             WHERE dist = ? AND retired IS NULL",
        )
        .and_then(|mut query| {
            query
                .query_map([dist], |row| {
                    Ok(Live {
                        index: IndexFile {
                            path: row.get(0)?,
                            size: row.get::<_, i64>(1)?.cast_unsigned(),
                            md5: row.get(2)?,
                            sha256: row.get(3)?,
                            sha512: row.get(4)?,
                        },
                        input: row.get(5)?,
                        states: row.get(6)?,
                    })
                })?
                .collect()
        })
        .during("read index files")?;
    Ok(rows
        .into_iter()
        .map(|live| (live.index.path.clone(), live))
        .collect())
}

/// Pieces of an index as it is published.
pub(in super::super) fn pieces(
    tx: &Transaction<'_>,
    dist: i64,
    path: &str,
) -> Result<Vec<Piece>, Error> {
    Ok(tx
        .sql()
        .prepare_cached(
            "SELECT first, digest, raw, gz, xz, zst FROM piece
             WHERE dist = ? AND path = ? ORDER BY first",
        )
        .and_then(|mut query| query.query_map((dist, path), piece)?.collect())
        .during("read the pieces of an index")?)
}

fn piece(row: &Row<'_>) -> Result<Piece, rusqlite::Error> {
    let mut sizes = [0; FORMS];
    for (number, size) in sizes.iter_mut().enumerate() {
        *size = row.get::<_, i64>(2 + number)?.cast_unsigned();
    }
    Ok(Piece {
        first: row.get(0)?,
        digest: row.get(1)?,
        sizes,
    })
}

/// A piece of this text as another index of the repository has it: its sizes, and its file and offset by form.
pub(super) struct Elsewhere {
    pub(super) piece: Piece,
    pub(super) places: Vec<(PathBuf, u64)>,
}

/// Looks for a piece by the digest of its text.
pub(super) fn elsewhere(
    tx: &Transaction<'_>,
    dists: &std::path::Path,
    repository: &str,
    digest: &[u8; 32],
) -> Result<Option<Elsewhere>, Error> {
    let found: Option<(i64, String, String, Piece)> = tx
        .sql()
        .prepare_cached(
            "SELECT first, digest, raw, gz, xz, zst, dist, path, dist.name
             FROM piece JOIN dist ON dist.id = dist
             WHERE digest = ? AND dist.repository = ? LIMIT 1",
        )
        .and_then(|mut query| {
            query
                .query_row((digest, repository), |row| {
                    Ok((row.get(6)?, row.get(7)?, row.get(8)?, piece(row)?))
                })
                .optional()
        })
        .during("look for a piece")?;
    let Some((dist, path, name, piece)) = found else {
        return Ok(None);
    };
    let before: Vec<Piece> = pieces(tx, dist, &path)?
        .into_iter()
        .take_while(|other| other.first != piece.first)
        .collect();
    let mut places = Vec::with_capacity(FORMS);
    for (number, form) in Form::ALL.into_iter().enumerate() {
        let file = format!("{path}{}", form.extension());
        let sha256: Option<String> = tx
            .sql()
            .prepare_cached(
                "SELECT sha256 FROM index_file WHERE dist = ? AND path = ? AND retired IS NULL",
            )
            .and_then(|mut query| query.query_row((dist, &file), |row| row.get(0)).optional())
            .during("look for a piece")?;
        let Some(sha256) = sha256 else {
            return Ok(None);
        };
        let offset: u64 = before.iter().map(|piece| piece.length(number)).sum();
        places.push((
            by_hash(&dists.join(&name), &file, &sha256),
            form.header().len() as u64 + offset,
        ));
    }
    Ok(Some(Elsewhere { piece, places }))
}

/// Paths that the dist no longer has.
pub(super) fn dropped(plan: &Plan) -> Vec<&str> {
    let planned: HashSet<&str> = plan
        .files
        .iter()
        .map(|file| file.index.path.as_str())
        .collect();
    plan.live
        .keys()
        .map(String::as_str)
        .filter(|path| !planned.contains(path))
        .collect()
}

/// Notes that the plans are published; changes that came meanwhile leave a dist dirty.
pub(super) fn settle(
    tx: &Transaction<'_>,
    plans: &[Plan],
    removed: &[Dist],
    snapshots: &[(i64, Vec<snapshot::Row>)],
    now: Timestamp,
) -> Result<(), store::Error> {
    let sql = tx.sql();
    let settle = || {
        for plan in plans {
            settle_plan(sql, plan, now.as_second())?;
        }
        for (dist, rows) in snapshots {
            snapshot::settle(sql, *dist, rows)?;
        }
        for dist in removed {
            for table in ["index_file", "piece", "snapshot"] {
                sql.execute(&format!("DELETE FROM {table} WHERE dist = ?"), [dist.id])?;
            }
            settle_dist(sql, dist, 0, now.as_second())?;
        }
        Ok(())
    };
    settle().during("note what is published")
}

fn settle_plan(sql: &Connection, plan: &Plan, now: i64) -> Result<(), rusqlite::Error> {
    let dist = plan.dist.id;
    let generation = plan.dist.serial + 1;
    let mut retire = sql.prepare_cached(
        "UPDATE index_file SET retired = ?, retired_at = ?
         WHERE dist = ? AND path = ? AND retired IS NULL",
    )?;
    for path in dropped(plan) {
        retire.execute((generation, now, dist, path))?;
    }
    let mut list = sql.prepare_cached(
        "INSERT INTO index_file
             (dist, path, sha256, md5, sha512, size, input, states, generation, published_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET
             sha512 = excluded.sha512, input = excluded.input, states = excluded.states,
             generation = excluded.generation, published_at = excluded.published_at,
             retired = NULL, retired_at = NULL",
    )?;
    for Planned {
        index,
        input,
        states,
        ..
    } in &plan.files
    {
        let live = plan.live.get(&index.path);
        if live.is_some_and(|live| live.index == *index && live.input == *input) {
            continue;
        }
        retire.execute((generation, now, dist, &index.path))?;
        list.execute((
            dist,
            &index.path,
            &index.sha256,
            &index.md5,
            &index.sha512,
            index.size.cast_signed(),
            input,
            states,
            generation,
            now,
        ))?;
    }
    for (path, before, after) in &plan.pieces {
        settle_pieces(sql, dist, path, before, after)?;
    }
    settle_dist(sql, &plan.dist, plan.upto, now)
}

fn settle_pieces(
    sql: &Connection,
    dist: i64,
    path: &str,
    before: &[Piece],
    after: &[Piece],
) -> Result<(), rusqlite::Error> {
    let known: HashMap<&str, &Piece> = before
        .iter()
        .map(|piece| (piece.first.as_str(), piece))
        .collect();
    let stays = |piece: &&Piece| known.get(piece.first.as_str()) == Some(piece);
    let staying: HashSet<&str> = after
        .iter()
        .filter(stays)
        .map(|piece| piece.first.as_str())
        .collect();
    let mut delete =
        sql.prepare_cached("DELETE FROM piece WHERE dist = ? AND path = ? AND first = ?")?;
    for piece in before {
        if !staying.contains(piece.first.as_str()) {
            delete.execute((dist, path, &piece.first))?;
        }
    }
    let mut insert = sql.prepare_cached("INSERT INTO piece VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
    for piece in after {
        if !staying.contains(piece.first.as_str()) {
            let [raw, gz, xz, zst] = piece.sizes.map(u64::cast_signed);
            insert.execute((dist, path, &piece.first, piece.digest, raw, gz, xz, zst))?;
        }
    }
    Ok(())
}

fn settle_dist(sql: &Connection, dist: &Dist, upto: i64, now: i64) -> Result<(), rusqlite::Error> {
    sql.prepare_cached(
        "UPDATE dist SET dirty = dirty - ?, serial = serial + 1, published = ?, published_at = ?
         WHERE id = ?",
    )?
    .execute((dist.dirty, upto, now, dist.id))?;
    Ok(())
}
