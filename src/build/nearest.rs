//! The nearest layer: of those that hold some of the packages that are wanted and none else, the one that holds the most.
//!
//! So one more build dependency installs one more package, not all of them.
use std::collections::BTreeSet;

use super::steps::Build;
use super::stop::Stop;
use super::upgraded::{Upgraded, failed, has};
use backends::LayerKey;

use crate::chroots::apt::Plan;

/// Kind of memo: what is installed in a layer of build dependencies, by its key.
const INSTALLED: &str = "installed";
/// Layers between the base and a session; each costs every lookup of a file a little.
const DEEPEST: usize = 20;

/// What a layer of build dependencies differs in from the upgraded chroot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installed {
    /// Key of the upgraded chroot.
    upgraded: String,
    /// Names and digests of packages; names of removed ones after a dash.
    packages: BTreeSet<String>,
}

impl Installed {
    pub(super) fn new(upgraded: &Upgraded, plan: &Plan) -> Installed {
        let installed = plan.downloads.iter();
        let installed = installed.map(|deb| format!("{} {}", deb.name, deb.sha256));
        let removed = plan.removals.iter().map(|name| format!("- {name}"));
        Installed {
            upgraded: upgraded.key.0.clone(),
            packages: installed.chain(removed).collect(),
        }
    }

    fn parse(text: &str) -> Option<Installed> {
        let mut lines = text.lines().map(ToOwned::to_owned);
        Some(Installed {
            upgraded: lines.next()?,
            packages: lines.collect(),
        })
    }

    fn text(&self) -> String {
        let packages = self.packages.iter().map(|package| format!("\n{package}"));
        [self.upgraded.clone()]
            .into_iter()
            .chain(packages)
            .collect()
    }

    /// Tells whether `self` can be made from what `other` holds by installing more, and saves a good part of it.
    fn is_worth(&self, other: &Installed) -> bool {
        self.upgraded == other.upgraded
            && other.packages.is_subset(&self.packages)
            && other.packages.len() * 3 >= self.packages.len()
    }

    /// Tells whether `plan`, on `other`, ends at `self`.
    pub(super) fn is_completed_by(&self, other: &Installed, plan: &Installed) -> bool {
        let union: BTreeSet<&String> = other.packages.union(&plan.packages).collect();
        union.into_iter().eq(&self.packages)
    }
}

/// Remembers what a new layer holds.
pub(super) fn remember(build: &Build, layer: &LayerKey, installed: &Installed) -> Result<(), Stop> {
    build.remember(INSTALLED, &layer.0, &installed.text())
}

/// The nearest layer to what is wanted, if any is near.
pub(super) fn find(
    build: &Build,
    wanted: &Installed,
) -> Result<Option<(LayerKey, Installed)>, Stop> {
    let layers = build.backend.layers().map_err(failed("list"))?;
    let depth = |key: &LayerKey| {
        let mut depth = 1;
        let mut next = layers.iter().find(|layer| layer.key == *key);
        while let Some(parent) = next.and_then(|layer| layer.parent.as_ref()) {
            depth += 1;
            next = layers.iter().find(|layer| layer.key == *parent);
        }
        depth
    };
    let near = layers.iter().filter_map(|layer| {
        let text = build.memo.get(INSTALLED, &layer.key.0)?;
        let installed = Installed::parse(&text)?;
        let fits = wanted.is_worth(&installed) && depth(&layer.key) < DEEPEST;
        fits.then(|| (layer.key.clone(), installed))
    });
    let nearest = near.max_by_key(|(_, installed)| installed.packages.len());
    match nearest {
        Some((key, installed)) if has(build, &key)? => Ok(Some((key, installed))),
        Some(_) | None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(packages: &[&str]) -> Installed {
        Installed {
            upgraded: "aa".to_owned(),
            packages: packages.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn a_layer_with_some_of_what_is_wanted_is_near() {
        let wanted = installed(&["a_1 00", "b_1 11", "c_1 22", "- d"]);
        assert!(wanted.is_worth(&installed(&["a_1 00", "b_1 11"])));
        assert!(!wanted.is_worth(&installed(&["a_1 00"])));
        assert!(!wanted.is_worth(&installed(&["a_1 00", "b_2 33"])));
        assert!(!wanted.is_worth(&installed(&["a_1 00", "b_1 11", "- e"])));
        let mut other = installed(&["a_1 00", "b_1 11"]);
        other.upgraded = "bb".to_owned();
        assert!(!wanted.is_worth(&other));
    }

    #[test]
    fn only_the_same_packages_make_the_same_layer() {
        let wanted = installed(&["a_1 00", "b_1 11", "c_1 22"]);
        let near = installed(&["a_1 00", "b_1 11"]);
        assert!(wanted.is_completed_by(&near, &installed(&["c_1 22"])));
        assert!(!wanted.is_completed_by(&near, &installed(&[])));
        assert!(!wanted.is_completed_by(&near, &installed(&["c_1 22", "d_1 44"])));
    }

    #[test]
    fn what_is_remembered_is_read_again() {
        let wanted = installed(&["a_1 00", "- d"]);
        assert_eq!(Installed::parse(&wanted.text()), Some(wanted));
    }
}
