//! Rows only: what is in a dist goes to another one, leaves it, or becomes what it was.
use std::collections::BTreeSet;

use crate::deb::{PackageName, Version};
use crate::model::Diststr;

use super::dist::{self, Dist};
use super::install::check_place;
use super::membership::{self, Member, Present, Source};
use super::moment::{Change, Moment};
use super::view::View;
use super::{Error, view};

/// A version of a source that came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    pub component: String,
    pub version: Version,
    /// `false`: it was there already.
    pub changed: bool,
}

/// What leaves the destination goes into its rollbacks 0 to `rollbacks` - 1.
pub(super) fn copy(
    change: &Change<'_>,
    name: &PackageName,
    from: &Diststr,
    to: &Diststr,
    version: Option<&Version>,
    rollbacks: u32,
) -> Result<Transferred, Error> {
    let from = dist::get(change.tx, change.repository, from)?;
    let to = dist::get(change.tx, change.repository, to)?;
    let source = Source { change, name };
    let present = choose(&source, &from, version)?;
    let members = source.members(from.id, &present.version)?;
    for member in &members {
        check_place(&to, &member.component, &member.index_name, || {
            format!("{} of {name} {}", member.name, present.version)
        })?;
    }
    let there = source.versions(to.id, &present.component)?;
    if let Some(higher) = there.first().filter(|there| **there > present.version) {
        return Err(Error::Lower {
            package: format!("{name} {}", present.version),
            diststr: Box::new(to.settings.diststr),
            present: higher.clone(),
        });
    }
    let Present { component, version } = present;
    let changed = source.enter(&to, &component, &version, &members, rollbacks)?;
    Ok(Transferred {
        component,
        version,
        changed,
    })
}

/// Copies a version from a rollback back into its dist, which must have none.
pub(super) fn restore(
    change: &Change<'_>,
    name: &PackageName,
    from: &Diststr,
    version: Option<&Version>,
) -> Result<Transferred, Error> {
    let to = from.without_rollback();
    let target = dist::get(change.tx, change.repository, &to)?;
    let source = Source { change, name };
    if let Some(present) = source.present(target.id)?.first() {
        return Err(Error::Present {
            package: format!("{name} {}", present.version),
            diststr: to,
        });
    }
    copy(change, name, from, &to, version, 0)
}

/// Takes a version out of a dist; from a dist with `rollbacks` it goes into the first, and where it leaves a rollback,
/// the next ones move up.
pub(super) fn remove(
    change: &Change<'_>,
    name: &PackageName,
    from: &Diststr,
    version: Option<&Version>,
    rollbacks: u32,
) -> Result<Transferred, Error> {
    let dist = dist::get(change.tx, change.repository, from)?;
    let source = Source { change, name };
    let Present { component, version } = choose(&source, &dist, version)?;
    match from.rollback {
        None => {
            source.shift(&dist, &component, &version, rollbacks)?;
            source.end_version(dist.id, &version)?;
        }
        Some(number) => {
            source.end_version(dist.id, &version)?;
            close_gap(&source, from, number, &component)?;
        }
    }
    Ok(Transferred {
        component,
        version,
        changed: true,
    })
}

/// Moves what the rollbacks behind `number` hold one down.
fn close_gap(
    source: &Source<'_>,
    diststr: &Diststr,
    number: u32,
    component: &str,
) -> Result<(), Error> {
    let change = source.change;
    let main = diststr.without_rollback();
    let mut empty = number;
    loop {
        let next = match dist::get(change.tx, change.repository, &main.with_rollback(empty + 1)) {
            Ok(next) => next,
            Err(Error::UnknownDist { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(version) = source.versions(next.id, component)?.into_iter().next() else {
            return Ok(());
        };
        let members = source.members(next.id, &version)?;
        let to = dist::get(change.tx, change.repository, &main.with_rollback(empty))?;
        source.end_version(next.id, &version)?;
        source.replace(to.id, component, &version, &members)?;
        empty += 1;
    }
}

/// The version that is meant; one must be named where there are several.
fn choose(source: &Source<'_>, dist: &Dist, version: Option<&Version>) -> Result<Present, Error> {
    let mut present = source.present(dist.id)?;
    if let Some(version) = version {
        present.retain(|present| present.version == *version);
    }
    let diststr = dist.settings.diststr.clone();
    match present.len() {
        1 => Ok(present.remove(0)),
        0 => Err(Error::NotThere {
            package: match version {
                Some(version) => format!("{} {version}", source.name),
                None => source.name.to_string(),
            },
            diststr,
        }),
        _ => Err(Error::Ambiguous {
            package: source.name.to_string(),
            diststr: Box::new(diststr),
            versions: present
                .iter()
                .map(|present| present.version.to_string())
                .collect::<Vec<String>>()
                .join(", "),
        }),
    }
}

/// Makes a dist hold what it held at a moment; tells whether that changed anything.
pub(super) fn roll_back(
    change: &Change<'_>,
    diststr: &Diststr,
    moment: &Moment,
) -> Result<bool, Error> {
    let dist = dist::get(change.tx, change.repository, diststr)?;
    let now = members(change, &View::now(dist.id))?;
    let then = members(change, &View::at(dist.id, moment.id))?;
    for member in &then {
        check_place(&dist, &member.component, &member.index_name, || {
            member.name.clone()
        })?;
    }
    membership::hold(change, dist.id, &now, &then)
}

fn members(change: &Change<'_>, view: &View) -> Result<BTreeSet<Member>, Error> {
    view::members(change.tx, view).map(BTreeSet::from_iter)
}

#[cfg(test)]
mod tests;
