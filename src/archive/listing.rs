//! Questions about what is where.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;

use rusqlite::Params;

use crate::deb::{Component, PackageName, Version};
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::store::{During, Transaction};

use super::digests::{Digests, Kind};
use super::dist::Dist;
use super::{Error, Listed};

pub(super) fn list(
    tx: &Transaction<'_>,
    repository: &Identity,
    source: &PackageName,
) -> Result<Vec<Listed>, Error> {
    read(
        tx,
        "package.repository = ? AND package.source = ?",
        (repository.as_str(), source.as_str()),
    )
}

pub(super) fn list_all(
    tx: &Transaction<'_>,
    repository: &Identity,
    diststr: Option<&Diststr>,
) -> Result<Vec<Listed>, Error> {
    let name = diststr.map(ToString::to_string);
    read(
        tx,
        "dist.repository = ?1 AND (?2 IS NULL OR dist.name = ?2)",
        (repository.as_str(), name),
    )
}

/// How much a repository has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    pub repository: String,
    /// Source and binary packages, those of the past included.
    pub packages: i64,
    /// Dists that clients do not yet see as they are.
    pub unpublished: i64,
    /// Bytes of the pool.
    pub pool: i64,
}

/// Of all repositories that have dists.
pub fn amounts(tx: &Transaction<'_>) -> Result<Vec<Amount>, Error> {
    Ok(tx
        .sql()
        .prepare_cached(
            "SELECT repository, sum(dirty > 0),
                    (SELECT count(*) FROM package WHERE package.repository = dist.repository),
                    (SELECT coalesce(sum(size), 0) FROM pool_file
                     WHERE pool_file.repository = dist.repository)
             FROM dist GROUP BY repository",
        )
        .and_then(|mut query| {
            query
                .query_map([], |row| {
                    Ok(Amount {
                        repository: row.get(0)?,
                        unpublished: row.get(1)?,
                        packages: row.get(2)?,
                        pool: row.get(3)?,
                    })
                })?
                .collect()
        })
        .during("count packages")?)
}

/// A source package of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged {
    pub source: PackageName,
    pub version: Version,
    pub component: Component,
    /// `source`, and those of its binaries.
    pub architectures: Vec<String>,
}

/// Sources of a dist by name, at most `limit`, behind the name `after`.
pub(super) fn page(
    tx: &Transaction<'_>,
    dist: &Dist,
    after: &str,
    limit: u32,
) -> Result<Vec<Paged>, Error> {
    let mut page: Vec<[String; 3]> = Vec::new();
    for component in &dist.settings.components {
        // In the order of the index, so that all but the page is left alone.
        let rows = tx
            .sql()
            .prepare_cached(
                "SELECT slot.name, package.version, slot.component
                 FROM slot CROSS JOIN package ON package.id = slot.package
                 WHERE slot.dist = ? AND slot.component = ? AND slot.name > ?
                   AND slot.index_name = 'source' AND slot.removed IS NULL
                 ORDER BY slot.name LIMIT ?",
            )
            .and_then(|mut query| {
                let key = (dist.id, component.as_str(), after, limit);
                query
                    .query_map(key, |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?
                    .collect::<Result<Vec<_>, _>>()
            })
            .during("list a page of sources")?;
        page.extend(rows);
    }
    page.sort();
    page.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let (Some(first), Some(last)) = (page.first(), page.last()) else {
        return Ok(Vec::new());
    };
    let architectures = architectures(tx, dist, [&first[0], &last[0]])?;
    page.iter()
        .map(|[source, version, component]| {
            let built = architectures.get(&(source.clone(), version.clone()));
            let built = built.into_iter().flatten().cloned();
            Ok(Paged {
                source: word("source", source)?,
                version: word("version", version)?,
                component: word("component", component)?,
                architectures: std::iter::once("source".to_owned()).chain(built).collect(),
            })
        })
        .collect()
}

/// Architectures of the binaries that a dist has, by source and its version, of a range of sources.
fn architectures(
    tx: &Transaction<'_>,
    dist: &Dist,
    [first, last]: [&str; 2],
) -> Result<BTreeMap<(String, String), BTreeSet<String>>, Error> {
    let rows: Vec<[String; 3]> = tx
        .sql()
        .prepare_cached(
            "SELECT package.source, package.source_version, package.architecture
             FROM package CROSS JOIN slot ON slot.package = package.id AND slot.dist = ?1
             WHERE package.repository = ?2 AND package.source BETWEEN ?3 AND ?4
               AND package.kind <> 'dsc' AND slot.removed IS NULL",
        )
        .and_then(|mut query| {
            let key = (
                dist.id,
                dist.settings.diststr.repository.as_str(),
                first,
                last,
            );
            query
                .query_map(key, |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?
                .collect()
        })
        .during("list the binaries of a page")?;
    let mut found: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for [source, version, architecture] in rows {
        found
            .entry((source, version))
            .or_default()
            .insert(architecture);
    }
    Ok(found)
}

fn read(
    tx: &Transaction<'_>,
    condition: &str,
    parameters: impl Params,
) -> Result<Vec<Listed>, Error> {
    let rows: Vec<[String; 6]> = tx
        .sql()
        .prepare_cached(&format!(
            "SELECT dist.name, slot.component, package.version,
                    (SELECT path FROM package_file
                     WHERE package_file.package = package.id AND path LIKE '%.dsc'),
                    (SELECT coalesce(group_concat(architecture, ' '), '') FROM
                        (SELECT DISTINCT binary.architecture
                         FROM package AS binary CROSS JOIN slot AS place ON place.package = binary.id
                         WHERE binary.repository = package.repository
                           AND binary.source = package.name
                           AND binary.source_version = package.version
                           AND binary.kind <> 'dsc'
                           AND place.dist = dist.id AND place.removed IS NULL
                         ORDER BY binary.architecture)),
                    package.source
             FROM package
             JOIN slot ON slot.package = package.id AND slot.removed IS NULL
             JOIN dist ON dist.id = slot.dist AND dist.removed_at IS NULL
             WHERE {condition} AND package.kind = 'dsc'
             ORDER BY dist.id, package.source, slot.component"
        ))
        .and_then(|mut query| {
            query
                .query_map(parameters, |row| {
                    Ok([
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                    ])
                })?
                .collect()
        })
        .during("list a source")?;
    rows.into_iter()
        .map(
            |[diststr, component, version, dsc, architectures, source]| {
                Ok(Listed {
                    diststr: word("distribution string", &diststr)?,
                    component: word("component", &component)?,
                    source: word("source", &source)?,
                    version: word("version", &version)?,
                    architectures: std::iter::once("source")
                        .chain(architectures.split_whitespace())
                        .map(str::to_owned)
                        .collect(),
                    dsc: PathBuf::from(dsc),
                })
            },
        )
        .collect()
}

fn word<T: FromStr>(what: &'static str, value: &str) -> Result<T, Error> {
    value.parse().map_err(|_| Error::Row {
        what,
        value: value.to_owned(),
    })
}

pub(super) fn content_digest(
    tx: &Transaction<'_>,
    repository: &Identity,
    dists: &[Diststr],
) -> Result<String, Error> {
    let mut names: Vec<String> = dists.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    let mut text = String::new();
    for name in names {
        let packages: Vec<String> = tx
            .sql()
            .prepare_cached(
                "SELECT slot.component || ' ' || slot.index_name || ' ' || slot.package
                 FROM dist JOIN slot ON slot.dist = dist.id AND slot.removed IS NULL
                 WHERE dist.repository = ? AND dist.name = ? AND dist.removed_at IS NULL
                   AND slot.index_name <> 'source'
                 ORDER BY slot.component, slot.index_name, slot.name",
            )
            .and_then(|mut query| {
                query
                    .query_map((repository.as_str(), &name), |row| row.get(0))?
                    .collect()
            })
            .during("read the packages of a dist")?;
        for package in packages {
            text.extend([&name, " ", &package, "\n"]);
        }
    }
    Ok(Digests::of(Kind::Usual, text.as_bytes()).sha256)
}
