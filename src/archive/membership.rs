//! Rows only: which packages of a source are in which dist, and how they come and go.
use std::collections::BTreeSet;

use rusqlite::Row;

use crate::deb::{PackageName, Version};
use crate::model::Diststr;
use crate::store::{During, Transaction};

use super::Error;
use super::dist::{self, Dist};
use super::moment::Change;

/// A package in an index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub(super) component: String,
    pub(super) index_name: String,
    pub(super) name: String,
    pub(super) package: i64,
}

impl Member {
    pub(super) fn of(row: &Row<'_>) -> Result<Member, rusqlite::Error> {
        Ok(Member {
            component: row.get(0)?,
            index_name: row.get(1)?,
            name: row.get(2)?,
            package: row.get(3)?,
        })
    }
}

/// A version of a source in a dist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) component: String,
    pub(super) version: Version,
}

/// One source package in dists.
///
/// CROSS JOIN has SQLite begin with the few packages of the source, not with the many of a dist.
pub(super) struct Source<'a> {
    pub(super) change: &'a Change<'a>,
    pub(super) name: &'a PackageName,
}

/// What a package that another source has in a higher version means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takeover {
    Refused,
    /// In rollbacks, which follow their suite whatever they hold.
    Allowed,
}

impl Source<'_> {
    fn tx(&self) -> &Transaction<'_> {
        self.change.tx
    }

    /// Its versions in a dist, of all components, newest first; those too whose packages came without it.
    pub(super) fn present(&self, dist: i64) -> Result<Vec<Present>, Error> {
        let rows: Vec<(String, String)> = self
            .tx()
            .sql()
            .prepare_cached(
                "SELECT coalesce(max(CASE kind WHEN 'dsc' THEN slot.component END), min(slot.component)),
                        package.source_version
                 FROM package CROSS JOIN slot ON slot.package = package.id
                 WHERE package.repository = ? AND package.source = ?
                   AND slot.dist = ? AND slot.removed IS NULL
                 GROUP BY package.source_version",
            )
            .and_then(|mut query| {
                let key = (self.change.repository.as_str(), self.name.as_str(), dist);
                query
                    .query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .during("look for a source in a dist")?;
        let mut present = rows
            .into_iter()
            .map(|(component, version)| {
                let version = version.parse().map_err(|_| Error::Row {
                    what: "version",
                    value: version,
                })?;
                Ok(Present { component, version })
            })
            .collect::<Result<Vec<Present>, Error>>()?;
        present.sort_by(|one, other| other.version.cmp(&one.version));
        Ok(present)
    }

    /// Its versions in one component of a dist, newest first.
    pub(super) fn versions(&self, dist: i64, component: &str) -> Result<Vec<Version>, Error> {
        let mut present = self.present(dist)?;
        present.retain(|present| present.component == component);
        Ok(present.into_iter().map(|present| present.version).collect())
    }

    /// The source and all its binaries of a version, sorted.
    pub(super) fn members(&self, dist: i64, version: &Version) -> Result<Vec<Member>, Error> {
        let mut members: Vec<Member> = self
            .tx()
            .sql()
            .prepare_cached(
                "SELECT slot.component, slot.index_name, slot.name, slot.package
                 FROM package CROSS JOIN slot ON slot.package = package.id
                 WHERE package.repository = ? AND package.source = ? AND package.source_version = ?
                   AND slot.dist = ? AND slot.removed IS NULL",
            )
            .and_then(|mut query| {
                let key = (
                    self.change.repository.as_str(),
                    self.name.as_str(),
                    version.as_str(),
                    dist,
                );
                query.query_map(key, Member::of)?.collect()
            })
            .during("read the packages of a source in a dist")?;
        members.sort();
        Ok(members)
    }

    /// Puts a version into a dist, which keeps as many as its settings say; what leaves goes into the rollbacks.
    ///
    /// Tells whether anything changed: the same version with the same packages is there already.
    pub(super) fn enter(
        &self,
        to: &Dist,
        component: &str,
        version: &Version,
        members: &[Member],
        rollbacks: u32,
    ) -> Result<bool, Error> {
        let present = self.versions(to.id, component)?;
        if present.contains(version) {
            if self.members(to.id, version)? == members {
                return Ok(false);
            }
            return Err(Error::OtherBinaries {
                package: format!("{} {version}", self.name),
                diststr: to.settings.diststr.clone(),
            });
        }
        let kept = usize::try_from(to.settings.keep.max(1) - 1).unwrap_or(usize::MAX);
        // The oldest first, so that the newest ends up in the first rollback.
        for leaving in present.iter().skip(kept).rev() {
            self.shift(to, component, leaving, rollbacks)?;
            self.end_version(to.id, leaving)?;
        }
        add(self.change, to.id, members, Takeover::Refused)?;
        dist::touch(self.tx(), to.id)?;
        Ok(true)
    }

    /// Copies each rollback into the next and a version of the dist into the first, as stock does: nothing happens
    /// where the version is in a rollback already, and an empty one empties none.
    pub(super) fn shift(
        &self,
        from: &Dist,
        component: &str,
        version: &Version,
        rollbacks: u32,
    ) -> Result<(), Error> {
        let places = self.rollbacks(&from.settings.diststr, rollbacks)?;
        for place in &places {
            if self.versions(place.id, component)?.contains(version) {
                return Ok(());
            }
        }
        for pair in places.windows(2).rev() {
            let [from, to] = pair else {
                continue;
            };
            if let Some(version) = self.versions(from.id, component)?.first() {
                let members = self.members(from.id, version)?;
                self.replace(to.id, component, version, &members)?;
            }
        }
        match places.first() {
            Some(first) => {
                let members = self.members(from.id, version)?;
                self.replace(first.id, component, version, &members)
            }
            None => Ok(()),
        }
    }

    /// Rollbacks 0 to `number` - 1 of a dist.
    fn rollbacks(&self, diststr: &Diststr, number: u32) -> Result<Vec<Dist>, Error> {
        (0..number)
            .map(|number| {
                let rollback = diststr.with_rollback(number);
                dist::get(self.tx(), self.change.repository, &rollback)
            })
            .collect()
    }

    /// Makes a version the only one of a component in a rollback.
    pub(super) fn replace(
        &self,
        dist: i64,
        component: &str,
        version: &Version,
        members: &[Member],
    ) -> Result<(), Error> {
        let present = self.versions(dist, component)?;
        if present == [version.clone()] && self.members(dist, version)? == members {
            return Ok(());
        }
        for old in &present {
            self.end_version(dist, old)?;
        }
        add(self.change, dist, members, Takeover::Allowed)?;
        dist::touch(self.tx(), dist)
    }

    /// Ends the membership of the source and its binaries of a version.
    pub(super) fn end_version(&self, dist: i64, version: &Version) -> Result<(), Error> {
        for member in self.members(dist, version)? {
            end(self.change, dist, &member)?;
        }
        dist::touch(self.tx(), dist)
    }
}

pub(super) fn end(change: &Change<'_>, dist: i64, member: &Member) -> Result<(), Error> {
    let moment = change.moment()?;
    change
        .tx
        .sql()
        .prepare_cached(
            "UPDATE slot SET removed = ? WHERE dist = ? AND component = ? AND index_name = ?
               AND name = ? AND package = ? AND removed IS NULL",
        )
        .and_then(|mut update| {
            update.execute((
                moment,
                dist,
                &member.component,
                &member.index_name,
                &member.name,
                member.package,
            ))
        })
        .during("remove a package from a dist")?;
    Ok(())
}

/// Adds packages; a binary that another source had built leaves: an index has one source of a name.
pub(super) fn add(
    change: &Change<'_>,
    dist: i64,
    members: &[Member],
    takeover: Takeover,
) -> Result<(), Error> {
    for member in members {
        take_over(change, dist, member, takeover)?;
        begin(change, dist, member)?;
    }
    Ok(())
}

/// Makes a dist that holds `now` hold `then`; tells whether that changed anything.
pub(super) fn hold(
    change: &Change<'_>,
    dist: i64,
    now: &BTreeSet<Member>,
    then: &BTreeSet<Member>,
) -> Result<bool, Error> {
    if now == then {
        return Ok(false);
    }
    for gone in now.difference(then) {
        end(change, dist, gone)?;
    }
    for come in then.difference(now) {
        begin(change, dist, come)?;
    }
    dist::touch(change.tx, dist)?;
    Ok(true)
}

fn begin(change: &Change<'_>, dist: i64, member: &Member) -> Result<(), Error> {
    let moment = change.moment()?;
    change
        .tx
        .sql()
        .prepare_cached(
            "INSERT INTO slot (dist, component, index_name, name, package, added)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .and_then(|mut insert| {
            insert.execute((
                dist,
                &member.component,
                &member.index_name,
                &member.name,
                member.package,
                moment,
            ))
        })
        .during("add a package to a dist")?;
    Ok(())
}

/// Ends what other sources have of a name, in its index and in those that are published together with it.
///
/// Refuses where theirs is in a version at least as high: apt would never see the new one, and whoever may upload one
/// source would take away packages of all others.
fn take_over(
    change: &Change<'_>,
    dist: i64,
    member: &Member,
    takeover: Takeover,
) -> Result<(), Error> {
    let others: Vec<(Member, [String; 3])> = change
        .tx
        .sql()
        .prepare_cached(
            "SELECT slot.component, slot.index_name, slot.name, slot.package,
                    live.source, live.version, new.version
             FROM slot JOIN package live ON live.id = slot.package JOIN package new ON new.id = ?
             WHERE slot.dist = ? AND slot.component = ? AND slot.name = ? AND slot.removed IS NULL
               AND live.source <> new.source",
        )
        .and_then(|mut query| {
            let key = (member.package, dist, &member.component, &member.name);
            query
                .query_map(key, |row| {
                    Ok((Member::of(row)?, [row.get(4)?, row.get(5)?, row.get(6)?]))
                })?
                .collect()
        })
        .during("look for a name of another source")?;
    for (other, [source_name, live, new]) in others {
        if !overlap(&other.index_name, &member.index_name) {
            continue;
        }
        let is_higher = match (new.parse::<Version>(), live.parse::<Version>()) {
            (Ok(new), Ok(live)) => new > live,
            _ => false,
        };
        if takeover == Takeover::Refused && !is_higher {
            return Err(Error::Takeover {
                package: format!("{} {new}", member.name),
                source_name,
                version: live,
            });
        }
        end(change, dist, &other)?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

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
