//! A dist as it is, or as it was at a moment.
use std::collections::BTreeMap;

use crate::store::{During, Transaction};

use super::Error;
use super::membership::Member;

/// What of a dist is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) dist: i64,
    /// `None`: as it is.
    moment: Option<i64>,
}

/// A package that is other than before: what it is, then versions before and after, lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub component: String,
    /// `source`, `binary-amd64`, `debian-installer/binary-all`
    pub index_name: String,
    pub name: String,
    pub before: Vec<String>,
    pub after: Vec<String>,
}

impl View {
    pub(super) fn now(dist: i64) -> View {
        View { dist, moment: None }
    }

    pub(super) fn at(dist: i64, moment: i64) -> View {
        View {
            dist,
            moment: Some(moment),
        }
    }

    /// SQL that holds for the rows of `slot` that it shows.
    pub(super) fn condition(&self) -> String {
        match self.moment {
            // An index of its own serves what is there now.
            None => format!("slot.dist = {} AND slot.removed IS NULL", self.dist),
            Some(moment) => format!(
                "slot.dist = {} AND slot.added <= {moment}
                 AND (slot.removed IS NULL OR slot.removed > {moment})",
                self.dist
            ),
        }
    }
}

pub(super) fn members(tx: &Transaction<'_>, view: &View) -> Result<Vec<Member>, Error> {
    let condition = view.condition();
    Ok(tx
        .sql()
        .prepare(&format!(
            "SELECT component, index_name, name, package FROM slot WHERE {condition}"
        ))
        .and_then(|mut query| query.query_map([], Member::of)?.collect())
        .during("read the packages of a dist")?)
}

/// What is other in the second, by component, index and name.
pub(super) fn diff(
    tx: &Transaction<'_>,
    before: &View,
    after: &View,
) -> Result<Vec<Difference>, Error> {
    let mut packages: BTreeMap<Member, [bool; 2]> = BTreeMap::new();
    for (side, view) in [before, after].into_iter().enumerate() {
        for member in members(tx, view)? {
            packages.entry(member).or_default()[side] = true;
        }
    }
    let mut differences: BTreeMap<(String, String, String), Difference> = BTreeMap::new();
    for (member, sides) in packages {
        if sides == [true, true] {
            continue;
        }
        let version = version(tx, member.package)?;
        let key = (member.component, member.index_name, member.name);
        let difference = differences
            .entry(key.clone())
            .or_insert_with(|| Difference {
                component: key.0,
                index_name: key.1,
                name: key.2,
                before: Vec::new(),
                after: Vec::new(),
            });
        match sides {
            [true, _] => difference.before.push(version),
            [false, _] => difference.after.push(version),
        }
    }
    Ok(differences.into_values().collect())
}

fn version(tx: &Transaction<'_>, package: i64) -> Result<String, Error> {
    Ok(tx
        .sql()
        .prepare_cached("SELECT version FROM package WHERE id = ?")
        .and_then(|mut query| query.query_row([package], |row| row.get(0)))
        .during("read a package")?)
}
