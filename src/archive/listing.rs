//! Questions about what is where.
use std::path::PathBuf;
use std::str::FromStr;

use rusqlite::Params;

use crate::deb::PackageName;
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::store::{During, Transaction};

use super::digests::{Digests, Kind};
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
