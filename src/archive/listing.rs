//! Questions about what is where.
use std::path::PathBuf;
use std::str::FromStr;

use crate::deb::PackageName;
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::store::{During, Transaction};

use super::{Error, Listed, index};

pub(super) fn list(
    tx: &Transaction<'_>,
    repository: &Identity,
    source: &PackageName,
) -> Result<Vec<Listed>, Error> {
    let rows: Vec<[String; 5]> = tx
        .sql()
        .prepare_cached(
            "SELECT dist.name, slot.component, package.version,
                    (SELECT path FROM package_file
                     WHERE package_file.package = package.id AND path LIKE '%.dsc'),
                    (SELECT coalesce(group_concat(architecture, ' '), '') FROM
                        (SELECT DISTINCT binary.architecture
                         FROM package AS binary JOIN slot AS place ON place.package = binary.id
                         WHERE binary.repository = package.repository
                           AND binary.source = package.name
                           AND binary.source_version = package.version
                           AND binary.kind <> 'dsc'
                           AND place.dist = dist.id AND place.removed_at IS NULL
                         ORDER BY binary.architecture))
             FROM package
             JOIN slot ON slot.package = package.id AND slot.removed_at IS NULL
             JOIN dist ON dist.id = slot.dist AND dist.removed_at IS NULL
             WHERE package.repository = ? AND package.source = ? AND package.kind = 'dsc'
             ORDER BY dist.id, slot.component",
        )
        .and_then(|mut query| {
            query
                .query_map((repository.as_str(), source.as_str()), |row| {
                    Ok([
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                    ])
                })?
                .collect()
        })
        .during("list a source")?;
    rows.into_iter()
        .map(|[diststr, component, version, dsc, architectures]| {
            Ok(Listed {
                diststr: word("distribution string", &diststr)?,
                component: word("component", &component)?,
                source: source.clone(),
                version: word("version", &version)?,
                architectures: std::iter::once("source")
                    .chain(architectures.split_whitespace())
                    .map(str::to_owned)
                    .collect(),
                dsc: PathBuf::from(dsc),
            })
        })
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
                 FROM dist JOIN slot ON slot.dist = dist.id AND slot.removed_at IS NULL
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
    Ok(index::digest(&text))
}
