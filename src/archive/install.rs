//! Rows only: a prepared package enters a dist, what was there moves into the rollbacks.
use rusqlite::OptionalExtension;

use crate::deb::{Component, PackageName, Version};
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::store::{During, Transaction};

use super::dist::{self, Dist};
use super::prepare::{Kind, Package};
use super::{Error, Prepared, pool};

/// A package in an index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    component: String,
    index_name: String,
    name: String,
    package: i64,
}

pub(super) fn install(
    tx: &Transaction<'_>,
    repository: &Identity,
    prepared: &Prepared,
    diststr: &Diststr,
    rollbacks: u32,
) -> Result<(), Error> {
    let dist = dist::get(tx, repository, diststr)?;
    for package in &prepared.packages {
        check_place(&dist, package)?;
    }
    let mut members = prepared
        .packages
        .iter()
        .map(|package| {
            Ok(Member {
                component: package.component.to_string(),
                index_name: package.index_name(),
                name: package.name.to_string(),
                package: put_package(tx, repository, prepared, package)?,
            })
        })
        .collect::<Result<Vec<Member>, Error>>()?;
    members.sort();
    let slots = Slots {
        tx,
        repository,
        component: &prepared.component,
        source: &prepared.source,
    };
    let present = slots.version(dist.id)?;
    if let Some(version) = &present {
        if version == prepared.version.as_str() {
            if slots.members(dist.id, version)? == members {
                return Ok(());
            }
            return Err(Error::OtherBinaries {
                package: format!("{} {}", prepared.source, prepared.version),
                diststr: diststr.clone(),
            });
        }
        shift(&slots, &dist, version, rollbacks)?;
    }
    slots.replace(dist.id, present.as_deref(), &members)?;
    dist::touch(tx, dist.id)
}

/// The dist must publish what the package is for, or it would vanish unseen.
fn check_place(dist: &Dist, package: &Package) -> Result<(), Error> {
    let settings = &dist.settings;
    let missing = |what: &str, word: &str| Error::NotInDist {
        diststr: settings.diststr.clone(),
        missing: format!("{what} {word}, which {} needs", package.title()),
    };
    if !settings.components.contains(&package.component) {
        return Err(missing("component", package.component.as_str()));
    }
    let architecture = &package.architecture;
    let is_published = package.kind == Kind::Dsc
        || architecture.as_str() == "all"
        || settings.architectures.contains(architecture);
    if !is_published {
        return Err(missing("architecture", architecture.as_str()));
    }
    Ok(())
}

/// Copies each rollback into the next and the dist into the first, as stock does: nothing happens where the version is
/// in a rollback already, and an empty one empties none.
fn shift(slots: &Slots<'_>, dist: &Dist, version: &str, rollbacks: u32) -> Result<(), Error> {
    let mut places = vec![dist.id];
    for number in 0..rollbacks {
        let rollback = Diststr {
            rollback: Some(number),
            ..dist.settings.diststr.clone()
        };
        places.push(dist::get(slots.tx, slots.repository, &rollback)?.id);
    }
    for rollback in places.iter().skip(1) {
        if slots.version(*rollback)?.as_deref() == Some(version) {
            return Ok(());
        }
    }
    for pair in places.windows(2).rev() {
        let [from, to] = *pair else {
            continue;
        };
        let Some(version) = slots.version(from)? else {
            continue;
        };
        let members = slots.members(from, &version)?;
        slots.replace(to, slots.version(to)?.as_deref(), &members)?;
        dist::touch(slots.tx, to)?;
    }
    Ok(())
}

/// Membership of one source package, of one component, in dists.
struct Slots<'a> {
    tx: &'a Transaction<'a>,
    repository: &'a Identity,
    component: &'a Component,
    source: &'a PackageName,
}

impl Slots<'_> {
    /// Version of the source in a dist.
    fn version(&self, dist: i64) -> Result<Option<String>, Error> {
        let version = self
            .tx
            .sql()
            .prepare_cached(
                "SELECT package.version FROM slot JOIN package ON package.id = slot.package
                 WHERE slot.dist = ? AND slot.component = ? AND slot.index_name = 'source'
                   AND slot.name = ? AND slot.removed_at IS NULL",
            )
            .and_then(|mut query| {
                let key = (dist, self.component.as_str(), self.source.as_str());
                query.query_row(key, |row| row.get(0)).optional()
            })
            .during("look for a source in a dist")?;
        Ok(version)
    }

    /// The source and all its binaries of a version, sorted.
    fn members(&self, dist: i64, version: &str) -> Result<Vec<Member>, Error> {
        let mut members: Vec<Member> = self
            .tx
            .sql()
            .prepare_cached(
                "SELECT slot.component, slot.index_name, slot.name, slot.package
                 FROM package JOIN slot ON slot.package = package.id
                 WHERE package.repository = ? AND package.source = ? AND package.source_version = ?
                   AND slot.dist = ? AND slot.removed_at IS NULL",
            )
            .and_then(|mut query| {
                let source = self.source.as_str();
                query
                    .query_map((self.repository.as_str(), source, version, dist), |row| {
                        Ok(Member {
                            component: row.get(0)?,
                            index_name: row.get(1)?,
                            name: row.get(2)?,
                            package: row.get(3)?,
                        })
                    })?
                    .collect()
            })
            .during("read the packages of a source in a dist")?;
        members.sort();
        Ok(members)
    }

    /// Ends the old version's membership and begins the new one's.
    ///
    /// A binary that another source had built leaves too: an index has a name once.
    fn replace(&self, dist: i64, old: Option<&str>, members: &[Member]) -> Result<(), Error> {
        if let Some(version) = old {
            for member in self.members(dist, version)? {
                self.end(dist, &member)?;
            }
        }
        for member in members {
            self.refuse_takeover(dist, member)?;
            self.end(dist, member)?;
            self.tx
                .sql()
                .prepare_cached(
                    "INSERT INTO slot (dist, component, index_name, name, package)
                     VALUES (?, ?, ?, ?, ?)",
                )
                .and_then(|mut insert| {
                    insert.execute((
                        dist,
                        &member.component,
                        &member.index_name,
                        &member.name,
                        member.package,
                    ))
                })
                .during("add a package to a dist")?;
        }
        Ok(())
    }

    /// Refuses a binary that another source has in a version at least as high: apt would never see it there, and
    /// whoever may upload one source would take away packages of all others.
    fn refuse_takeover(&self, dist: i64, member: &Member) -> Result<(), Error> {
        let sql = self.tx.sql();
        let others: Vec<(String, String, String, String)> = sql
            .prepare_cached(
                "SELECT slot.index_name, live.source, live.version, new.version
                 FROM slot JOIN package live ON live.id = slot.package JOIN package new ON new.id = ?
                 WHERE slot.dist = ? AND slot.component = ? AND slot.name = ? AND slot.removed_at IS NULL
                   AND live.source <> new.source",
            )
            .and_then(|mut query| {
                query
                    .query_map((member.package, dist, &member.component, &member.name), |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                    })?
                    .collect()
            })
            .during("look for a name of another source")?;
        for (index_name, source, live, new) in others {
            let is_higher = match (new.parse::<Version>(), live.parse::<Version>()) {
                (Ok(new), Ok(live)) => new > live,
                _ => false,
            };
            if overlap(&index_name, &member.index_name) && !is_higher {
                return Err(Error::Takeover {
                    package: format!("{} {new}", member.name),
                    source_name: source,
                    version: live,
                });
            }
        }
        Ok(())
    }

    /// Ends membership of this name in its index and in those that are published together with it.
    fn end(&self, dist: i64, member: &Member) -> Result<(), Error> {
        let sql = self.tx.sql();
        let present: Vec<(i64, String)> = sql
            .prepare_cached(
                "SELECT id, index_name FROM slot
                 WHERE dist = ? AND component = ? AND name = ? AND removed_at IS NULL",
            )
            .and_then(|mut query| {
                query
                    .query_map((dist, &member.component, &member.name), |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?
                    .collect()
            })
            .during("look for a name in a dist")?;
        for (id, index_name) in present {
            if overlap(&index_name, &member.index_name) {
                sql.prepare_cached("UPDATE slot SET removed_at = unixepoch() WHERE id = ?")
                    .and_then(|mut update| update.execute([id]))
                    .during("remove a package from a dist")?;
            }
        }
        Ok(())
    }
}

/// Tells whether packages of both are in one Packages file: those of `all` are in every one.
fn overlap(one: &str, other: &str) -> bool {
    match (one.split_once("binary-"), other.split_once("binary-")) {
        (Some((one, first)), Some((other, second))) => {
            one == other && (first == second || first == "all" || second == "all")
        }
        _ => one == other,
    }
}

/// Gives the id of a package's row, made where there is none; one with other files is refused.
fn put_package(
    tx: &Transaction<'_>,
    repository: &Identity,
    prepared: &Prepared,
    package: &Package,
) -> Result<i64, Error> {
    for (path, sha256) in &package.files {
        pool::take(tx, repository, path, sha256)?;
    }
    if let Some(id) = find_package(tx, repository, package)? {
        let mut files: Vec<&str> = package
            .files
            .iter()
            .map(|(path, _)| path.as_str())
            .collect();
        files.sort_unstable();
        if package_files(tx, id)? == files {
            return Ok(id);
        }
        return Err(Error::OtherFiles {
            package: package.title(),
        });
    }
    let id = insert_package(tx, repository, prepared, package)?;
    for (path, _) in &package.files {
        tx.sql()
            .prepare_cached("INSERT INTO package_file (package, repository, path) VALUES (?, ?, ?)")
            .and_then(|mut insert| insert.execute((id, repository.as_str(), path)))
            .during("note the files of a package")?;
    }
    Ok(id)
}

fn find_package(
    tx: &Transaction<'_>,
    repository: &Identity,
    package: &Package,
) -> Result<Option<i64>, Error> {
    let id = tx
        .sql()
        .prepare_cached(
            "SELECT id FROM package
             WHERE repository = ? AND kind = ? AND name = ? AND version = ? AND architecture = ?",
        )
        .and_then(|mut query| {
            let key = (
                repository.as_str(),
                package.kind.as_str(),
                package.name.as_str(),
                package.version.as_str(),
                package.architecture.as_str(),
            );
            query.query_row(key, |row| row.get(0)).optional()
        })
        .during("look for a package")?;
    Ok(id)
}

fn package_files(tx: &Transaction<'_>, package: i64) -> Result<Vec<String>, Error> {
    let files = tx
        .sql()
        .prepare_cached("SELECT path FROM package_file WHERE package = ? ORDER BY path")
        .and_then(|mut query| query.query_map([package], |row| row.get(0))?.collect())
        .during("read the files of a package")?;
    Ok(files)
}

fn insert_package(
    tx: &Transaction<'_>,
    repository: &Identity,
    prepared: &Prepared,
    package: &Package,
) -> Result<i64, Error> {
    let id = tx
        .sql()
        .prepare_cached(
            "INSERT INTO package (repository, kind, name, version, architecture, source,
                                  source_version, component, section, priority, stanza, file_list)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .and_then(|mut insert| {
            insert.insert((
                repository.as_str(),
                package.kind.as_str(),
                package.name.as_str(),
                package.version.as_str(),
                package.architecture.as_str(),
                prepared.source.as_str(),
                prepared.version.as_str(),
                package.component.as_str(),
                &package.section,
                &package.priority,
                &package.stanza,
                package.file_list.join("\n"),
            ))
        })
        .during("write a package")?;
    Ok(id)
}

#[cfg(test)]
mod tests;
