//! Rows only: a prepared package enters a dist, what was there moves into the rollbacks.
use rusqlite::OptionalExtension;

use crate::deb::{Component, PackageName};
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
                source_package: prepared.source.clone(),
                version: prepared.version.clone(),
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
    let missing = |what: &'static str, word: &str| Error::NotInDist {
        diststr: settings.diststr.clone(),
        what,
        word: word.to_owned(),
        package: package.title(),
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
mod tests {
    use super::*;
    use crate::archive::fixture::Fixture;
    use crate::archive::sample::Binary;

    /// `VERSION VERSION …` of hello in unstable, rollback0, rollback1; `-` where there is none.
    fn versions(fixture: &Fixture) -> String {
        let listed = fixture.list("hello");
        [None, Some(0), Some(1)]
            .map(|rollback| {
                listed
                    .iter()
                    .find(|listed| listed.diststr.rollback == rollback)
                    .map_or("-", |listed| listed.version.as_str())
            })
            .join(" ")
    }

    #[test]
    fn what_was_there_moves_through_the_rollbacks() {
        let fixture = Fixture::new();
        for (version, expected) in [
            ("1", "1 - -"),
            ("2", "2 1 -"),
            ("3", "3 2 1"),
            ("4", "4 3 2"),
        ] {
            fixture.install("hello", version).unwrap();
            assert_eq!(versions(&fixture), expected);
        }
        let listed = fixture.list("hello");
        assert_eq!(listed[0].architectures, ["source", "amd64"]);
        assert_eq!(
            listed[2].dsc.to_str(),
            Some("pool/main/h/hello/hello_2.dsc")
        );
        // All of history is in ended rows.
        assert_eq!(
            fixture.count("SELECT count(*) FROM slot WHERE removed_at IS NULL"),
            6
        );
        assert_eq!(fixture.count("SELECT count(DISTINCT package) FROM slot"), 8);
    }

    #[test]
    fn a_version_that_is_in_a_rollback_already_is_not_shifted_again() {
        let fixture = Fixture::new();
        for version in ["1", "2", "1", "2"] {
            fixture.install("hello", version).unwrap();
        }
        // 1 was in rollback0 when 2 replaced it for the second time; 2 was not when 1 replaced it.
        assert_eq!(versions(&fixture), "2 2 1");
    }

    #[test]
    fn only_dists_that_change_become_dirty() {
        let fixture = Fixture::new();
        fixture.settle();
        fixture.install("hello", "1").unwrap();
        assert_eq!(fixture.dirty(), ["sid-test-unstable"]);
        fixture.install("hello", "2").unwrap();
        assert_eq!(
            fixture.dirty(),
            ["sid-test-unstable", "sid-test-unstable-rollback0"]
        );
    }

    #[test]
    fn the_same_installation_again_changes_nothing() {
        let fixture = Fixture::new();
        fixture.install("hello", "1").unwrap();
        fixture.settle();
        let slots = fixture.count("SELECT count(*) FROM slot");
        fixture.install("hello", "1").unwrap();
        assert_eq!(fixture.dirty(), Vec::<String>::new());
        assert_eq!(fixture.count("SELECT count(*) FROM slot"), slots);
        assert_eq!(versions(&fixture), "1 - -");
    }

    #[test]
    fn the_same_version_with_other_binaries_is_refused() {
        let fixture = Fixture::new();
        fixture.install("hello", "1").unwrap();
        let more = fixture.samples.binary(&Binary {
            name: "hello-more",
            version: "1",
            architecture: "all",
            source: "hello",
            section: "misc",
        });
        let (dsc, binary) = fixture.files("hello", "1");
        let refused = fixture.install_files(dsc, vec![binary, more]);
        assert!(
            matches!(refused, Err(Error::OtherBinaries { .. })),
            "{refused:?}"
        );
        assert_eq!(fixture.list("hello")[0].architectures, ["source", "amd64"]);
    }

    #[test]
    fn a_binary_that_another_source_builds_now_is_taken_over() {
        let fixture = Fixture::new();
        fixture.install("hello", "1").unwrap();
        let dsc = fixture.samples.source("greeter", "2", "misc");
        let binary = fixture.samples.binary(&Binary {
            name: "hello",
            version: "2",
            architecture: "all",
            source: "greeter",
            section: "misc",
        });
        fixture.install_files(dsc, vec![binary]).unwrap();
        assert_eq!(fixture.list("hello")[0].architectures, ["source"]);
        assert_eq!(fixture.list("greeter")[0].architectures, ["source", "all"]);
    }

    #[test]
    fn what_a_dist_does_not_publish_is_refused() {
        let fixture = Fixture::new();
        let dsc = fixture.samples.source("hello", "1", "misc");
        for (architecture, section) in [("mips", "misc"), ("amd64", "universe/misc")] {
            let binary = fixture.samples.binary(&Binary {
                name: "hello",
                version: "1",
                architecture,
                source: "hello",
                section,
            });
            let refused = fixture.install_files(dsc.clone(), vec![binary]);
            assert!(matches!(refused, Err(Error::NotInDist { .. })));
        }
        let elsewhere = "sid-test-nowhere".parse().unwrap();
        let (dsc, binary) = fixture.package("hello", "2");
        let prepared = fixture.prepare(dsc, vec![binary]).unwrap();
        let refused = fixture
            .store
            .write(|tx| fixture.archive.install(tx, &prepared, &elsewhere, 0));
        assert!(matches!(refused, Err(Error::UnknownDist { .. })));
        assert_eq!(fixture.count("SELECT count(*) FROM package"), 0);
    }

    #[test]
    fn components_keep_versions_of_their_own() {
        let fixture = Fixture::new();
        fixture.install("hello", "1").unwrap();
        let dsc = fixture.samples.source("hello", "2", "contrib/misc");
        fixture.install_files(dsc, Vec::new()).unwrap();
        let listed: Vec<String> = fixture
            .list("hello")
            .iter()
            .map(|listed| format!("{} {}", listed.component, listed.version))
            .collect();
        assert_eq!(listed, ["contrib 2", "main 1"]);
    }

    #[test]
    fn the_content_digest_tells_whether_apt_sees_the_same() {
        let fixture = Fixture::new();
        let digest = || {
            let dists = ["sid-test-unstable".parse().unwrap()];
            fixture
                .store
                .read(|tx| fixture.archive.content_digest(tx, &dists))
                .unwrap()
        };
        let empty = digest();
        fixture.install("hello", "1").unwrap();
        let first = digest();
        fixture.install("hello", "1").unwrap();
        assert_eq!(digest(), first);
        assert_ne!(first, empty);
        fixture.install("hello", "2").unwrap();
        assert_ne!(digest(), first);
    }

    #[test]
    fn all_and_an_architecture_share_an_index() {
        assert!(overlap("binary-amd64", "binary-amd64"));
        assert!(overlap("binary-amd64", "binary-all"));
        assert!(overlap("binary-all", "binary-kfreebsd-amd64"));
        assert!(!overlap("binary-amd64", "binary-i386"));
        assert!(!overlap("binary-all", "debian-installer/binary-all"));
        assert!(!overlap("binary-all", "source"));
        assert!(overlap("source", "source"));
    }
}
