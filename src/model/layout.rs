use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deb::Suite;
use crate::model::{Invalid, Item, Kind, invalid, is_one_line, version_scheme};

/// Suites of a repository, their rules and version patterns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    pub name: String,
    /// In the order of publication.
    pub suites: Vec<SuiteOptions>,
    #[serde(default = "default_version")]
    pub default_version: String,
    #[serde(default = "mandatory_version_regex")]
    pub mandatory_version_regex: String,
    #[serde(default = "experimental_default_version")]
    pub experimental_default_version: String,
    #[serde(default = "experimental_mandatory_version_regex")]
    pub experimental_mandatory_version_regex: String,
    /// `unstable` → `sid-unstable` (codename-suite).
    #[serde(default)]
    pub meta_distributions: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "switches of their own")]
pub struct SuiteOptions {
    pub suite: Suite,
    #[serde(default = "yes")]
    pub uploadable: bool,
    #[serde(default)]
    pub experimental: bool,
    pub migrates_to: Option<Suite>,
    /// Number of rollback distributions.
    #[serde(default)]
    pub rollback: u32,
    #[serde(default)]
    pub build_keyring_package: bool,
    #[serde(default = "yes")]
    pub not_automatic: bool,
    #[serde(default = "yes")]
    pub but_automatic_upgrades: bool,
    /// Versions of one source that stay in a component, the newest beside older ones; rollback distributions have one.
    #[serde(default = "keep")]
    pub keep: u32,
    /// Days from Date to Valid-Until of Release; `None`: none, as in stock.
    #[serde(default)]
    pub valid_days: Option<u32>,
}

fn default_version() -> String {
    "~%IDENTITY%%CODEVERSION%+1".into()
}

fn mandatory_version_regex() -> String {
    r"~%IDENTITY%%CODEVERSION%\+[1-9]".into()
}

fn experimental_default_version() -> String {
    "~%IDENTITY%%CODEVERSION%+0".into()
}

fn experimental_mandatory_version_regex() -> String {
    r"~%IDENTITY%%CODEVERSION%\+0".into()
}

/// As stock, as the next one.
fn yes() -> bool {
    true
}

fn keep() -> u32 {
    1
}

impl Item for Layout {
    const KIND: &'static str = Kind::Layout.as_str();
    fn name(&self) -> String {
        self.name.clone()
    }
    fn validate(&self) -> Result<(), Invalid> {
        if self.name.trim().is_empty() || !is_one_line(&self.name) {
            return Err(invalid(self, "name", "must be one line"));
        }
        for (index, options) in self.suites.iter().enumerate() {
            self.suite_fault(options, &self.suites[..index])
                .map_or(Ok(()), |fault| {
                    let fault = format!("{}: {fault}", options.suite);
                    Err(invalid(self, "suites", fault))
                })?;
        }
        for (field, regex) in [
            ("mandatory_version_regex", &self.mandatory_version_regex),
            (
                "experimental_mandatory_version_regex",
                &self.experimental_mandatory_version_regex,
            ),
        ] {
            version_scheme::check_regex(regex)
                .map_err(|fault| invalid(self, field, fault.to_string()))?;
        }
        for (field, suffix) in [
            ("default_version", &self.default_version),
            (
                "experimental_default_version",
                &self.experimental_default_version,
            ),
        ] {
            version_scheme::check_suffix(suffix)
                .map_err(|fault| invalid(self, field, fault.to_string()))?;
        }
        for (meta, dist) in &self.meta_distributions {
            let suite = dist
                .split_once('-')
                .and_then(|(_, suite)| suite.parse().ok());
            if suite.is_none_or(|suite| self.suite(&suite).is_none()) {
                let fault = format!("{meta}: {dist:?} is not CODENAME-SUITE");
                return Err(invalid(self, "meta_distributions", fault));
            }
        }
        Ok(())
    }
}

impl Layout {
    /// Stock's preset "Default".
    pub fn standard() -> Layout {
        Layout {
            name: "Default".into(),
            suites: vec![
                suite("stable").rollback(6),
                suite("hotfix")
                    .uploadable()
                    .migrates_to("stable")
                    .rollback(4),
                suite("testing").migrates_to("stable").rollback(3),
                suite("unstable")
                    .uploadable()
                    .migrates_to("testing")
                    .rollback(9)
                    .keyring(),
                suite("snapshot").uploadable().experimental().rollback(12),
                suite("experimental")
                    .uploadable()
                    .experimental()
                    .rollback(6)
                    .never_upgrades(),
            ],
            default_version: default_version(),
            mandatory_version_regex: mandatory_version_regex(),
            experimental_default_version: experimental_default_version(),
            experimental_mandatory_version_regex: experimental_mandatory_version_regex(),
            meta_distributions: BTreeMap::new(),
        }
    }

    /// Stock's preset "Default (no rollbacks)".
    pub fn no_rollbacks() -> Layout {
        let mut layout = Layout::standard();
        layout.name = "Default (no rollbacks)".into();
        for options in &mut layout.suites {
            options.rollback = 0;
        }
        layout
    }

    /// Stock's preset "Debian Developer": any version, and Debian's own names for what is uploaded.
    pub fn debian_developer() -> Layout {
        let mut layout = Layout::no_rollbacks();
        layout.name = "Debian Developer".into();
        layout
            .suites
            .retain(|options| !["hotfix", "snapshot"].contains(&options.suite.as_str()));
        layout.mandatory_version_regex = ".*".into();
        layout.experimental_mandatory_version_regex = ".*".into();
        layout.meta_distributions = ["unstable", "experimental"]
            .map(|suite| (suite.to_owned(), format!("sid-{suite}")))
            .into();
        layout
    }

    pub fn presets() -> [Layout; 3] {
        [
            Layout::standard(),
            Layout::no_rollbacks(),
            Layout::debian_developer(),
        ]
    }

    pub fn suite(&self, suite: &Suite) -> Option<&SuiteOptions> {
        self.suites.iter().find(|options| options.suite == *suite)
    }

    /// Suites whose packages may serve builds in `suite`: itself and what it migrates to; experimental: all others too.
    ///
    /// "All others" are the suites that are not experimental themselves, as in stock.
    pub fn build_suites(&self, suite: &Suite) -> Vec<&SuiteOptions> {
        let Some(own) = self.suite(suite) else {
            return Vec::new();
        };
        let mut suites = vec![own];
        if own.experimental {
            suites.extend(self.suites.iter().filter(|other| !other.experimental));
            return suites;
        }
        let mut next = own.migrates_to.as_ref().and_then(|suite| self.suite(suite));
        while let Some(options) = next.filter(|options| !suites.contains(options)) {
            suites.push(options);
            next = options
                .migrates_to
                .as_ref()
                .and_then(|suite| self.suite(suite));
        }
        suites
    }

    fn suite_fault(&self, options: &SuiteOptions, before: &[SuiteOptions]) -> Option<&'static str> {
        let target = options.migrates_to.as_ref().map(|suite| self.suite(suite));
        if before.iter().any(|other| other.suite == options.suite) {
            return Some("is there twice");
        }
        if options.build_keyring_package && !options.uploadable {
            return Some("keyring packages need an uploadable suite");
        }
        if options.experimental && (!options.uploadable || target.is_some()) {
            return Some("an experimental suite is uploadable and migrates nowhere");
        }
        if options.rollback > 99 {
            return Some("rollback must be 99 at most");
        }
        if !(1..=100).contains(&options.keep) {
            return Some("keep must be 1 to 100");
        }
        // What is valid for a day can't be renewed in time.
        if options
            .valid_days
            .is_some_and(|days| !(2..=3650).contains(&days))
        {
            return Some("valid_days must be 2 to 3650");
        }
        match target {
            Some(None) => Some("migrates to a suite that the layout does not have"),
            Some(Some(target)) if target.uploadable => Some("migrates to an uploadable suite"),
            Some(Some(_)) if self.migrates_to_itself(options) => {
                Some("migrates to itself in the end")
            }
            Some(Some(_)) | None => None,
        }
    }

    fn migrates_to_itself(&self, options: &SuiteOptions) -> bool {
        let mut suite = options;
        for _ in &self.suites {
            match suite.migrates_to.as_ref().and_then(|next| self.suite(next)) {
                Some(next) if next.suite == options.suite => return true,
                Some(next) => suite = next,
                None => return false,
            }
        }
        false
    }
}

/// Begins the description of a suite with stock's defaults, but not uploadable.
fn suite(name: &'static str) -> SuiteOptions {
    SuiteOptions {
        suite: literal(name),
        uploadable: false,
        experimental: false,
        migrates_to: None,
        rollback: 0,
        build_keyring_package: false,
        not_automatic: true,
        but_automatic_upgrades: true,
        keep: keep(),
        valid_days: None,
    }
}

fn literal(name: &'static str) -> Suite {
    name.parse().expect("the presets' names are words")
}

impl SuiteOptions {
    fn uploadable(self) -> Self {
        SuiteOptions {
            uploadable: true,
            ..self
        }
    }
    fn experimental(self) -> Self {
        SuiteOptions {
            experimental: true,
            ..self
        }
    }
    fn migrates_to(self, suite: &'static str) -> Self {
        SuiteOptions {
            migrates_to: Some(literal(suite)),
            ..self
        }
    }
    fn rollback(self, rollback: u32) -> Self {
        SuiteOptions { rollback, ..self }
    }
    fn keyring(self) -> Self {
        SuiteOptions {
            build_keyring_package: true,
            ..self
        }
    }
    fn never_upgrades(self) -> Self {
        SuiteOptions {
            but_automatic_upgrades: false,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build_suites(suite: &str) -> Vec<String> {
        let layout = Layout::standard();
        let suites = layout.build_suites(&suite.parse().unwrap());
        suites
            .iter()
            .map(|options| options.suite.to_string())
            .collect()
    }

    #[test]
    fn builds_use_what_they_migrate_to() {
        assert_eq!(build_suites("unstable"), ["unstable", "testing", "stable"]);
        assert_eq!(build_suites("hotfix"), ["hotfix", "stable"]);
        assert_eq!(
            build_suites("snapshot"),
            ["snapshot", "stable", "hotfix", "testing", "unstable"]
        );
        assert!(build_suites("nosuch").is_empty());
    }

    #[test]
    fn presets_are_valid() {
        for layout in Layout::presets() {
            assert_eq!(layout.validate(), Ok(()));
        }
        let names = Layout::debian_developer().suites;
        let names: Vec<&str> = names.iter().map(|options| options.suite.as_str()).collect();
        assert_eq!(names, ["stable", "testing", "unstable", "experimental"]);
    }

    #[test]
    fn suites_of_older_databases_keep_one_version_forever() {
        let mut old = serde_json::to_value(suite("stable")).unwrap();
        for field in ["keep", "valid_days"] {
            assert!(old.as_object_mut().unwrap().remove(field).is_some());
        }
        let read: SuiteOptions = serde_json::from_value(old).unwrap();
        assert_eq!((read.keep, read.valid_days), (1, None));
    }

    #[test]
    fn broken_layouts_are_named() {
        let broken = |change: fn(&mut Layout)| {
            let mut layout = Layout::standard();
            change(&mut layout);
            layout.validate().unwrap_err().fault
        };
        for (change, fault) in [
            (
                (|layout| layout.suites[1].migrates_to = Some(literal("unstable")))
                    as fn(&mut Layout),
                "hotfix: migrates to an uploadable suite",
            ),
            (
                |layout| layout.suites[0].migrates_to = Some(literal("nosuch")),
                "stable: migrates to a suite that the layout does not have",
            ),
            (
                |layout| layout.suites[0].migrates_to = Some(literal("testing")),
                "stable: migrates to itself in the end",
            ),
            (
                |layout| layout.suites[0].build_keyring_package = true,
                "stable: keyring packages need an uploadable suite",
            ),
            (
                |layout| layout.suites[4].migrates_to = Some(literal("stable")),
                "snapshot: an experimental suite is uploadable and migrates nowhere",
            ),
            (
                |layout| layout.suites[3].rollback = 100,
                "unstable: rollback must be 99 at most",
            ),
            (
                |layout| layout.suites[3].keep = 0,
                "unstable: keep must be 1 to 100",
            ),
            (
                |layout| layout.suites[3].valid_days = Some(1),
                "unstable: valid_days must be 2 to 3650",
            ),
            (
                |layout| layout.suites.push(suite("stable")),
                "stable: is there twice",
            ),
            (
                |layout| drop(layout.meta_distributions.insert("x".into(), "sid".into())),
                "x: \"sid\" is not CODENAME-SUITE",
            ),
        ] {
            assert_eq!(broken(change), fault);
        }
        let fault = broken(|layout| layout.default_version = "+1_%IDENTITY%".into());
        assert!(fault.contains("1.0+1_test"), "{fault}");
        let fault = broken(|layout| layout.mandatory_version_regex = "(".into());
        assert!(fault.contains("malformed"), "{fault}");
    }
}
