//! What the database knows of published files.
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::Connection;

use crate::deb::release::IndexFile;
use crate::store::{self, During, Transaction};

use super::super::Error;
use super::super::dist::Dist;
use super::{Plan, Planned};

/// A file that the last Release lists.
pub(super) struct Live {
    pub(super) index: IndexFile,
    pub(super) input: String,
}

/// All of a dist, by path.
pub(super) fn live(tx: &Transaction<'_>, dist: i64) -> Result<HashMap<String, Live>, Error> {
    let rows: Vec<Live> = tx
        .sql()
        .prepare_cached(
            "SELECT path, size, md5, sha256, input FROM index_file
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
                        },
                        input: row.get(4)?,
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
    now: Timestamp,
) -> Result<(), store::Error> {
    let sql = tx.sql();
    let settle = || {
        for plan in plans {
            settle_plan(sql, plan, now.as_second())?;
        }
        for dist in removed {
            sql.prepare_cached("DELETE FROM index_file WHERE dist = ?")?
                .execute([dist.id])?;
            settle_dist(sql, dist, now.as_second())?;
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
        "INSERT INTO index_file (dist, path, sha256, md5, size, input, generation, published_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET
             input = excluded.input, generation = excluded.generation,
             published_at = excluded.published_at, retired = NULL, retired_at = NULL",
    )?;
    for Planned { index, input, .. } in &plan.files {
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
            index.size.cast_signed(),
            input,
            generation,
            now,
        ))?;
    }
    settle_dist(sql, &plan.dist, now)
}

fn settle_dist(sql: &Connection, dist: &Dist, now: i64) -> Result<(), rusqlite::Error> {
    sql.prepare_cached(
        "UPDATE dist SET dirty = dirty - ?, serial = serial + 1, published_at = ? WHERE id = ?",
    )?
    .execute((dist.dirty, now, dist.id))?;
    Ok(())
}
