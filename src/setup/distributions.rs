//! The distribution database: what one builds with for each release of a distributor.
//!
//! `distributions/*.toml` say what their Release files don't: pockets and their priorities, keyrings, quirks. Codenames,
//! versions and dates come from distro-info-data. A codename that nobody knows is taken for the newest of the host's own
//! distributor.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::civil::Date;
use serde::Deserialize;

use crate::chroots::quirks::DISTRO_INFO;
use crate::deb::distro_info::{self, Release, Support};
use crate::deb::{Architecture, Codename, Component};

const FILES: [&str; 3] = [
    include_str!("distributions/debian.toml"),
    include_str!("distributions/ubuntu.toml"),
    include_str!("distributions/pureos.toml"),
];

/// Who releases, and by which rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Distributor {
    /// As Release files have it.
    pub origin: String,
    /// Table of distro-info-data.
    distro_info: Option<String>,
    /// Those that no table has.
    #[serde(default)]
    codenames: Vec<Codename>,
    /// Series of the table that are no releases.
    #[serde(default)]
    not: Vec<String>,
    /// Files below /usr/share/keyrings.
    pub keyrings: Vec<String>,
    /// Package that has them.
    pub keyring_package: String,
    /// Name of its mirrors among the templates of python-apt-common.
    pub mirrors: Option<String>,
    /// Where it is below a caching proxy like apt-cacher-ng.
    #[serde(default)]
    pub proxy_paths: Vec<String>,
    release: Vec<Rule>,
    #[serde(skip)]
    releases: Vec<Release>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Rule {
    since: Option<String>,
    until: Option<String>,
    codenames: Option<Vec<Codename>>,
    /// Only those that have (not) come out.
    released: Option<bool>,
    /// Only those that have (no) version: sid has none.
    versioned: Option<bool>,
    components: Option<Vec<Component>>,
    optional_architectures: Option<Vec<Architecture>>,
    debootstrap_options: Option<Vec<String>>,
    deb_build_options: Option<String>,
    setup_blocks: Option<String>,
    resolver: Option<String>,
    check_valid_until: Option<bool>,
    broken: Option<String>,
    #[serde(default)]
    extra: Vec<Extra>,
}

/// A pocket of a release.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Extra {
    pub suite: String,
    pub origin: Option<String>,
    #[serde(default = "one")]
    pub priority: i32,
    #[serde(default)]
    pub identifiers: BTreeMap<String, String>,
    #[serde(default)]
    pub remove_from_component: String,
}

fn one() -> i32 {
    1
}

/// What one builds with for one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub origin: String,
    pub version: Option<String>,
    pub keyrings: Vec<String>,
    pub keyring_package: String,
    pub components: Vec<Component>,
    pub extra: Vec<Extra>,
    pub optional_architectures: Vec<Architecture>,
    pub debootstrap_options: Vec<String>,
    pub deb_build_options: String,
    pub setup_blocks: Option<String>,
    pub resolver: Option<String>,
    pub check_valid_until: bool,
    /// Why nothing can be built for it here.
    pub broken: Option<String>,
}

/// All distributors that are known.
#[derive(Debug)]
pub struct Database {
    pub distributors: Vec<Distributor>,
    today: Date,
}

impl Database {
    /// As of today.
    pub fn of_today() -> Database {
        Database::of_host(jiff::Zoned::now().date())
    }

    /// With the tables of this host; one that is missing has no releases.
    pub fn of_host(today: Date) -> Database {
        let table = |name: &str| {
            let path = Path::new(DISTRO_INFO).join(format!("{name}.csv"));
            fs::read_to_string(path).unwrap_or_default()
        };
        Database::new(today, table)
    }

    /// With these tables of distro-info-data.
    fn new(today: Date, table: impl Fn(&str) -> String) -> Database {
        let distributors = FILES.map(|file| {
            let mut distributor: Distributor =
                toml::from_str(file).expect("a test reads what is compiled in");
            if let Some(name) = &distributor.distro_info {
                distributor.releases = distro_info::parse(&table(name));
                distributor
                    .releases
                    .retain(|release| !distributor.not.contains(&release.series));
            }
            distributor
        });
        Database {
            distributors: distributors.into(),
            today,
        }
    }

    pub fn distributor(&self, origin: &str) -> Option<&Distributor> {
        let mut distributors = self.distributors.iter();
        distributors.find(|distributor| distributor.origin.eq_ignore_ascii_case(origin))
    }

    /// Who releases under a codename; `host` for one that nobody knows.
    pub fn distributor_of(&self, codename: &Codename, host: &str) -> Option<&Distributor> {
        let known = self
            .distributors
            .iter()
            .find(|distributor| distributor.rank(codename).is_some());
        known.or_else(|| self.distributor(host))
    }

    /// Codenames that one builds for, newest first; those that are broken here are left out.
    pub fn codenames(&self, distributor: &Distributor, support: Support) -> Vec<Codename> {
        let releases = distributor.releases.iter();
        let supported = releases.filter(|release| release.is_supported(support, self.today));
        let mut codenames: Vec<Codename> = supported
            .filter_map(|release| release.series.parse().ok())
            .chain(distributor.codenames.iter().cloned())
            .filter(|codename| self.profile(distributor, codename).broken.is_none())
            .collect();
        codenames.sort_by_key(|codename| std::cmp::Reverse(distributor.rank(codename)));
        codenames
    }

    /// What one builds with for a release.
    pub fn profile(&self, distributor: &Distributor, codename: &Codename) -> Profile {
        let release = distro_info::find(&distributor.releases, codename);
        let mut profile = Profile {
            origin: distributor.origin.clone(),
            version: release.and_then(|release| release.version.clone()),
            keyrings: distributor.keyrings.clone(),
            keyring_package: distributor.keyring_package.clone(),
            components: Vec::new(),
            extra: Vec::new(),
            optional_architectures: Vec::new(),
            debootstrap_options: Vec::new(),
            deb_build_options: String::new(),
            setup_blocks: None,
            resolver: None,
            check_valid_until: true,
            broken: None,
        };
        for rule in &distributor.release {
            if rule.fits(distributor, codename, release, self.today) {
                rule.apply(codename, &mut profile);
            }
        }
        profile
    }
}

impl Distributor {
    /// Place of a release among all, the oldest first; what has no version is newer than all.
    fn rank(&self, codename: &Codename) -> Option<usize> {
        let name = codename.as_str();
        let releases = self.releases.iter();
        let place = |is_versioned: bool| {
            let mut places = releases.clone().enumerate();
            let (place, _) = places.find(|(_, release)| {
                release.series == name && release.version.is_some() == is_versioned
            })?;
            Some(place)
        };
        place(true)
            .or_else(|| Some(self.releases.len() + place(false)?))
            .or_else(|| self.codenames.iter().position(|known| known == codename))
    }
}

impl Rule {
    fn fits(
        &self,
        distributor: &Distributor,
        codename: &Codename,
        release: Option<&Release>,
        today: Date,
    ) -> bool {
        let rank = distributor.rank(codename).unwrap_or(usize::MAX);
        let named = |name: &String| {
            let codename = name.parse().ok();
            codename.and_then(|codename| distributor.rank(&codename))
        };
        // A name that no table has fits nothing.
        let since = self.since.as_ref();
        let until = self.until.as_ref();
        since.is_none_or(|name| named(name).is_some_and(|first| first <= rank))
            && until.is_none_or(|name| named(name).is_some_and(|last| rank <= last))
            && self
                .codenames
                .as_ref()
                .is_none_or(|codenames| codenames.contains(codename))
            && self.released.is_none_or(|wanted| {
                release.is_some_and(|release| release.is_released(today)) == wanted
            })
            && self.versioned.is_none_or(|wanted| {
                release.is_none_or(|release| release.version.is_some()) == wanted
            })
    }

    fn apply(&self, codename: &Codename, profile: &mut Profile) {
        fn set<T: Clone>(field: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        set(&mut profile.components, self.components.as_ref());
        set(
            &mut profile.optional_architectures,
            self.optional_architectures.as_ref(),
        );
        set(
            &mut profile.debootstrap_options,
            self.debootstrap_options.as_ref(),
        );
        set(
            &mut profile.deb_build_options,
            self.deb_build_options.as_ref(),
        );
        set(
            &mut profile.check_valid_until,
            self.check_valid_until.as_ref(),
        );
        set(
            &mut profile.setup_blocks,
            Some(&self.setup_blocks).filter(|blocks| blocks.is_some()),
        );
        set(
            &mut profile.resolver,
            Some(&self.resolver).filter(|resolver| resolver.is_some()),
        );
        set(
            &mut profile.broken,
            Some(&self.broken).filter(|broken| broken.is_some()),
        );
        let fill = |text: &str| text.replace("{codename}", codename.as_str());
        profile.extra.extend(self.extra.iter().map(|extra| {
            Extra {
                suite: fill(&extra.suite),
                identifiers: extra
                    .identifiers
                    .iter()
                    .map(|(name, value)| (name.clone(), fill(value)))
                    .collect(),
                ..extra.clone()
            }
        }));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const DEBIAN: &str = "version,codename,series,created,release,eol,eol-lts,eol-elts
6.0,Squeeze,squeeze,2009-02-14,2011-02-06,2014-05-31,2016-02-29
7,Wheezy,wheezy,2011-02-06,2013-05-04,2016-04-25,2018-05-31,2020-06-30
8,Jessie,jessie,2013-05-04,2015-04-26,2018-06-17,2020-06-30,2025-06-30
9,Stretch,stretch,2015-04-26,2017-06-17,2020-07-18,2022-06-30,2027-06-30
10,Buster,buster,2017-06-17,2019-07-06,2022-09-10,2024-06-30,2029-06-30
11,Bullseye,bullseye,2019-07-06,2021-08-14,2024-08-14,2026-08-31,2031-06-30
12,Bookworm,bookworm,2021-08-14,2023-06-10,2026-07-11,2028-06-30,2033-06-30
13,Trixie,trixie,2023-06-10,2025-08-09,2028-08-09,2030-06-30,2035-06-30
14,Forky,forky,2025-08-09
15,Duke,duke,2027-08-01
,Sid,sid,1993-08-16
,Experimental,experimental,1993-08-16
";
    const UBUNTU: &str = "version,codename,series,created,release,eol,eol-server,eol-esm
14.04 LTS,Trusty Tahr,trusty,2013-10-17,2014-04-17,2019-04-25,2019-04-25,2024-04-25
15.10,Wily Werewolf,wily,2015-05-05,2015-10-22,2016-07-22
16.04 LTS,Xenial Xerus,xenial,2015-10-22,2016-04-21,2021-04-30,2021-04-30,2026-04-23
18.04 LTS,Bionic Beaver,bionic,2017-10-19,2018-04-26,2023-05-31,2023-05-31,2028-04-01
20.04 LTS,Focal Fossa,focal,2019-10-17,2020-04-23,2025-05-29,2025-05-29,2030-04-01
24.04 LTS,Noble Numbat,noble,2023-10-12,2024-04-25,2029-05-31,2029-05-31,2034-04-25
26.04 LTS,Resolute Raccoon,resolute,2025-10-09,2026-04-23,2031-05-29,2031-05-29,2036-04-23
";

    pub(in super::super) fn database() -> Database {
        Database::new("2026-11-30".parse().unwrap(), |name| match name {
            "debian" => DEBIAN.into(),
            _ => UBUNTU.into(),
        })
    }

    fn profile(codename: &str) -> Profile {
        let (database, codename) = (database(), codename.parse().unwrap());
        let distributor = database.distributor_of(&codename, "Debian").unwrap();
        database.profile(distributor, &codename)
    }

    fn suites(codename: &str) -> Vec<(String, i32)> {
        let extra = profile(codename).extra.into_iter();
        extra.map(|extra| (extra.suite, extra.priority)).collect()
    }

    fn names(origin: &str, support: Support) -> String {
        let database = database();
        let codenames = database.codenames(database.distributor(origin).unwrap(), support);
        let names: Vec<&str> = codenames.iter().map(Codename::as_str).collect();
        names.join(" ")
    }

    #[test]
    fn releases_of_today_are_known_and_those_to_come_are_not() {
        assert_eq!(names("Debian", Support::Regular), "sid forky trixie");
        assert_eq!(
            names("debian", Support::Extended),
            "sid forky trixie bookworm bullseye buster stretch"
        );
        assert_eq!(names("Ubuntu", Support::Regular), "resolute noble");
        assert_eq!(
            names("Ubuntu", Support::Forever),
            "resolute noble focal bionic xenial"
        );
        assert_eq!(names("PureOS", Support::Regular), "crimson byzantium amber");
    }

    #[test]
    fn pockets_are_those_that_a_release_has() {
        let named = |suites: &[(&str, i32)]| -> Vec<(String, i32)> {
            let suites = suites.iter();
            suites.map(|(suite, at)| ((*suite).into(), *at)).collect()
        };
        assert_eq!(suites("sid"), []);
        assert_eq!(
            suites("forky"),
            named(&[("forky-security", 500), ("forky-updates", 500)])
        );
        assert_eq!(
            suites("trixie"),
            named(&[
                ("trixie-security", 500),
                ("trixie-updates", 500),
                ("trixie-backports", 1)
            ])
        );
        assert_eq!(
            suites("bookworm").last().unwrap().0,
            "bookworm-backports-sloppy"
        );
        let buster = profile("buster");
        let updates = &buster.extra[0];
        assert_eq!(updates.suite, "buster/updates");
        assert_eq!(updates.identifiers["Label"], "Debian-Security");
        let backports = buster
            .extra
            .iter()
            .find(|extra| extra.suite == "buster-backports");
        assert_eq!(
            backports.unwrap().origin.as_deref(),
            Some("Debian Backports")
        );
    }

    #[test]
    fn quirks_are_those_of_the_release() {
        assert_eq!(profile("bullseye").components.len(), 3);
        assert_eq!(profile("bookworm").components.len(), 4);
        assert!(profile("jessie").broken.is_some() && profile("stretch").broken.is_none());
        let noble = profile("noble");
        assert_eq!(noble.deb_build_options, "noddebs");
        assert_eq!(noble.optional_architectures[0].as_str(), "i386");
        assert_eq!(noble.extra[1].identifiers["Suite"], "noble-updates");
        assert!(profile("bionic").optional_architectures.is_empty());
        assert_eq!(noble.version.as_deref(), Some("24.04"));
    }

    #[test]
    fn a_codename_that_nobody_knows_is_the_hosts_newest() {
        let house = profile("house");
        assert_eq!(
            (house.origin.as_str(), house.components.len()),
            ("Debian", 4)
        );
        assert_eq!(suites("house")[0].0, "house-security");
    }
}
