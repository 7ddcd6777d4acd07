//! What old releases need that current ones don't.
use jiff::civil::Date;

use crate::deb::distro_info::{self, Release};
use crate::deb::{Codename, sources_list};

/// One thing that is odd about a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// Nobody signs its archives any more: they count although Release files and keys have expired, and keys that left
    /// the distributor's keyring sign them.
    Archived,
    /// Its apt can't install the build dependencies of a .dsc file (before apt 1.1).
    NoBuildDependenciesOfFiles,
}

/// Quirks of a distributor's releases up to one, the newest that has it.
///
/// What all releases can read needs none: keys are binary, sources have one line each.
const UP_TO: [(&str, &str, Quirk); 2] = [
    ("debian", "jessie", Quirk::NoBuildDependenciesOfFiles),
    ("ubuntu", "wily", Quirk::NoBuildDependenciesOfFiles),
];

/// Scripts of debootstrap for releases that are newer than it.
const SCRIPTS: [(&str, &str); 2] = [("debian", "sid"), ("ubuntu", "gutsy")];

/// What distro-info-data has on a distributor's releases.
#[derive(Clone, Debug)]
pub struct Distributor {
    /// Name of its table: `debian`.
    pub name: &'static str,
    pub releases: Vec<Release>,
}

/// The quirks of one release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Who released it, if anybody known did.
    pub distributor: Option<&'static str>,
    quirks: Vec<Quirk>,
}

impl Quirks {
    /// What is known of a release that has this codename; one that nobody knows has no quirks.
    pub fn of(codename: &Codename, distributors: &[Distributor], today: Date) -> Quirks {
        let found = distributors.iter().find_map(|distributor| {
            let release = distro_info::find(&distributor.releases, codename)?;
            Some((distributor, release))
        });
        let Some((distributor, release)) = found else {
            return Quirks::default();
        };
        let mut quirks = Vec::new();
        if release.end_of_life.is_some_and(|end| end < today) {
            quirks.push(Quirk::Archived);
        }
        let has = |(name, newest, _): &&(&str, &str, Quirk)| {
            let mut releases = distributor.releases.iter();
            let newest = releases.find(|release| release.series == *newest);
            *name == distributor.name
                && newest.is_some_and(|newest| release.created <= newest.created)
                && release.created.is_some()
                && release.version.is_some()
        };
        quirks.extend(UP_TO.iter().filter(has).map(|(_, _, quirk)| *quirk));
        Quirks {
            distributor: Some(distributor.name),
            quirks,
        }
    }

    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// The script that debootstrap takes for a release that it has none for.
    pub fn script(&self) -> Option<&'static str> {
        let mut scripts = SCRIPTS.iter();
        let (_, script) = scripts.find(|(name, _)| self.distributor == Some(*name))?;
        Some(script)
    }

    /// The apt source as this release needs it.
    #[must_use]
    pub fn apt_source(&self, mut source: sources_list::Source) -> sources_list::Source {
        if self.has(Quirk::Archived) {
            let options = source.options.iter_mut();
            for (name, value) in options {
                if name == "check-valid-until" {
                    "no".clone_into(value);
                }
            }
        }
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "version,codename,series,created,release,eol,eol-lts\n\
                          8,Jessie,jessie,2013-05-04,2015-04-26,2018-06-17,2020-06-30\n\
                          9,Stretch,stretch,2015-04-26,2017-06-17,2020-07-18,2022-06-30\n\
                          12,Bookworm,bookworm,2021-08-14,2023-06-10,2026-07-11,2028-06-30\n\
                          14,Forky,forky,2025-08-09\n\
                          ,Sid,sid,1993-08-16\n";
    const UBUNTU: &str = "version,codename,series,created,release,eol\n\
                          15.10,Wily Werewolf,wily,2015-05-05,2015-10-22,2016-07-22\n\
                          16.04 LTS,Xenial Xerus,xenial,2015-10-22,2016-04-21,2021-04-30\n";

    fn quirks(codename: &str, today: &str) -> Quirks {
        let distributors =
            [("debian", DEBIAN), ("ubuntu", UBUNTU)].map(|(name, table)| Distributor {
                name,
                releases: distro_info::parse(table),
            });
        Quirks::of(
            &codename.parse().unwrap(),
            &distributors,
            today.parse().unwrap(),
        )
    }

    #[test]
    fn a_release_is_archived_when_its_long_term_support_is_over() {
        let is_archived = |codename, today| quirks(codename, today).has(Quirk::Archived);
        assert!(is_archived("stretch", "2022-07-01"));
        assert!(!is_archived("stretch", "2022-06-30"));
        assert!(!is_archived("bookworm", "2026-11-22"));
        assert!(is_archived("xenial", "2026-11-22"));
        for codename in ["forky", "sid", "house"] {
            assert!(!is_archived(codename, "2099-01-01"), "{codename}");
        }
    }

    #[test]
    fn a_quirk_is_that_of_all_earlier_releases() {
        let is_old =
            |codename| quirks(codename, "2026-11-22").has(Quirk::NoBuildDependenciesOfFiles);
        assert!(is_old("jessie"));
        assert!(is_old("wily"));
        // sid is the oldest series of all.
        for codename in ["stretch", "xenial", "forky", "sid", "house"] {
            assert!(!is_old(codename), "{codename}");
        }
    }

    #[test]
    fn archived_releases_are_not_asked_until_when_they_are_valid() {
        let line = "deb [check-valid-until=yes] http://mirror.test/debian/ stretch main";
        let source = sources_list::Source::parse_list(line).unwrap().remove(0);
        let asked = |today| {
            quirks("stretch", today)
                .apt_source(source.clone())
                .to_string()
        };
        assert_eq!(asked("2020-01-01"), line);
        assert_eq!(asked("2026-11-22"), line.replace("=yes", "=no"));
    }

    #[test]
    fn a_release_is_bootstrapped_by_a_script_of_its_distributor() {
        assert_eq!(quirks("forky", "2026-11-22").script(), Some("sid"));
        assert_eq!(quirks("xenial", "2026-11-22").script(), Some("gutsy"));
        assert_eq!(quirks("house", "2026-11-22").script(), None);
    }
}
