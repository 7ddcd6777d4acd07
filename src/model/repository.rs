use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::deb::{Codename, Suite};
use crate::model::{
    Diststr, Invalid, Item, Kind, Layout, Reference, SnapshotRule, SuiteOptions, invalid,
    is_one_line,
};

/// Name of a repository: `^[a-z0-9]+$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity(String);

impl Identity {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for Identity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let is_valid = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if is_valid && (1..=60).contains(&text.len()) {
            Ok(Identity(text.to_owned()))
        } else {
            Err(format!("repository {text:?} must match [a-z0-9]+"))
        }
    }
}
impl TryFrom<String> for Identity {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
impl From<Identity> for String {
    fn from(identity: Identity) -> String {
        identity.0
    }
}

/// A configured repository (the manual's Repository).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "the fields that stock has")]
pub struct Repository {
    pub identity: Identity,
    /// Name of a [`Layout`].
    pub layout: String,
    /// Codenames of [`crate::model::Distribution`]s.
    pub distributions: Vec<Codename>,
    #[serde(default)]
    pub allow_unauthenticated_uploads: bool,
    /// Keyring files whose keys may upload.
    #[serde(default)]
    pub extra_uploader_keyrings: Vec<std::path::PathBuf>,
    /// How long a past state can be seen and rolled back to; never 0, so that yesterday's mistake can be undone.
    #[serde(default = "history_days")]
    pub history_days: u32,
    /// How long a pool file stays after nothing names it: apt may still want it.
    #[serde(default = "pool_grace_hours")]
    pub pool_grace_hours: u32,
    /// Release files list SHA512 too.
    #[serde(default)]
    pub sha512: bool,
    #[serde(default)]
    pub snapshots: SnapshotRule,
    /// Addresses of [`crate::model::EmailAddress`]es that are told of all that happens here.
    #[serde(default)]
    pub notify: Vec<String>,
    /// Tell whom the field Changed-By names.
    #[serde(default)]
    pub notify_changed_by: bool,
    /// Tell whom the field Maintainer names.
    #[serde(default)]
    pub notify_maintainer: bool,
    /// Where people read about it; empty: nowhere.
    #[serde(default)]
    pub external_home_url: String,
}

fn history_days() -> u32 {
    365
}

fn pool_grace_hours() -> u32 {
    24
}

impl Item for Repository {
    const KIND: &'static str = Kind::Repository.as_str();
    fn name(&self) -> String {
        self.identity.to_string()
    }
    fn validate(&self) -> Result<(), Invalid> {
        if self.layout.is_empty() {
            return Err(invalid(self, "layout", "is empty"));
        }
        for (index, codename) in self.distributions.iter().enumerate() {
            if self.distributions[..index].contains(codename) {
                let fault = format!("{codename} is there twice");
                return Err(invalid(self, "distributions", fault));
            }
        }
        if let Some(path) = self
            .extra_uploader_keyrings
            .iter()
            .find(|path| !path.is_absolute())
        {
            let fault = format!("{} is no absolute path", path.display());
            return Err(invalid(self, "extra_uploader_keyrings", fault));
        }
        if !(1..=36_500).contains(&self.history_days) {
            return Err(invalid(self, "history_days", "must be 1 to 36500"));
        }
        if !(1..=87_600).contains(&self.pool_grace_hours) {
            return Err(invalid(self, "pool_grace_hours", "must be 1 to 87600"));
        }
        let url = &self.external_home_url;
        let is_url = ["http://", "https://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        if !(url.is_empty() || is_url && is_one_line(url)) {
            return Err(invalid(
                self,
                "external_home_url",
                "is no http or https URL",
            ));
        }
        if let Some(fault) = self.snapshots.fault() {
            return Err(invalid(self, "snapshots", fault));
        }
        Ok(())
    }
    fn references(&self) -> Vec<Reference> {
        let layout = Reference::new(Kind::Layout, &self.layout);
        let distributions = self.distributions.iter();
        let distributions =
            distributions.map(|codename| Reference::new(Kind::Distribution, codename.as_str()));
        let notify = self.notify.iter();
        let notify = notify.map(|address| Reference::new(Kind::EmailAddress, address));
        std::iter::once(layout)
            .chain(distributions)
            .chain(notify)
            .collect()
    }
}

impl Repository {
    /// With what is the same for all of stock's; only known keys may upload.
    pub fn new(identity: Identity, layout: String, distributions: Vec<Codename>) -> Repository {
        Repository {
            identity,
            layout,
            distributions,
            allow_unauthenticated_uploads: false,
            extra_uploader_keyrings: Vec::new(),
            history_days: history_days(),
            pool_grace_hours: pool_grace_hours(),
            sha512: false,
            snapshots: SnapshotRule::default(),
            notify: Vec::new(),
            notify_changed_by: false,
            notify_maintainer: false,
            external_home_url: String::new(),
        }
    }

    /// All distribution strings of a codename, rollbacks after their suite, as published.
    pub fn dists(&self, layout: &Layout, codename: &Codename) -> Vec<Diststr> {
        let mut dists = Vec::new();
        for options in &layout.suites {
            let dist = self.dist(codename, &options.suite);
            let rollbacks = (0..options.rollback).map(|number| dist.with_rollback(number));
            dists.extend(std::iter::once(dist.clone()).chain(rollbacks));
        }
        dists
    }

    /// What a meta-distribution of the layout means here: `unstable` → `sid-debdev-unstable`.
    pub fn meta_distribution(&self, layout: &Layout, name: &str) -> Option<Diststr> {
        let (codename, suite) = layout.meta_distributions.get(name)?.split_once('-')?;
        let codename: Codename = codename.parse().ok()?;
        let suite: Suite = suite.parse().ok()?;
        let is_known = self.distributions.contains(&codename) && layout.suite(&suite).is_some();
        is_known.then(|| self.dist(&codename, &suite))
    }

    /// NotAutomatic and ButAutomaticUpgrades of a published distribution; a rollback never upgrades.
    pub fn automatic(options: &SuiteOptions, dist: &Diststr) -> (bool, bool) {
        match dist.rollback {
            Some(_) => (true, false),
            None => (options.not_automatic, options.but_automatic_upgrades),
        }
    }

    /// Tells whether snapshots of a published distribution are made by rule, as in stock: where packages go no further.
    pub fn has_snapshots(options: &SuiteOptions, dist: &Diststr) -> bool {
        dist.rollback.is_none() && options.migrates_to.is_none() && !options.experimental
    }

    pub fn dist(&self, codename: &Codename, suite: &Suite) -> Diststr {
        Diststr {
            codename: codename.clone(),
            repository: self.identity.clone(),
            suite: suite.clone(),
            rollback: None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn test_repository() -> Repository {
        Repository::new(
            "test".parse().unwrap(),
            "Default".into(),
            vec!["trixie".parse().unwrap(), "sid".parse().unwrap()],
        )
    }

    #[test]
    fn dists_are_published_in_stocks_order() {
        let dists = test_repository().dists(&Layout::standard(), &"trixie".parse().unwrap());
        let names: Vec<String> = dists.iter().map(Diststr::to_string).collect();
        assert_eq!(names.len(), 6 + 6 + 4 + 3 + 9 + 12 + 6);
        assert_eq!(names[0], "trixie-test-stable");
        assert_eq!(names[6], "trixie-test-stable-rollback5");
        assert_eq!(names[7], "trixie-test-hotfix");
        assert_eq!(names[45], "trixie-test-experimental-rollback5");
    }

    #[test]
    fn rollbacks_never_upgrade() {
        let layout = Layout::standard();
        let stable = layout.suite(&"stable".parse().unwrap()).unwrap();
        let dist: Diststr = "trixie-test-stable".parse().unwrap();
        assert_eq!(Repository::automatic(stable, &dist), (true, true));
        assert_eq!(
            Repository::automatic(stable, &dist.with_rollback(0)),
            (true, false)
        );
    }

    #[test]
    fn snapshots_are_made_where_packages_go_no_further() {
        let layout = Layout::standard();
        let dists = test_repository().dists(&layout, &"trixie".parse().unwrap());
        let made = dists
            .iter()
            .filter(|dist| Repository::has_snapshots(layout.suite(&dist.suite).unwrap(), dist));
        let made: Vec<String> = made.map(Diststr::to_string).collect();
        assert_eq!(made, ["trixie-test-stable"]);
    }

    #[test]
    fn repositories_of_older_databases_are_read() {
        let row = r#"{"identity": "test", "layout": "Default", "distributions": ["trixie", "sid"],
            "allow_unauthenticated_uploads": false, "extra_uploader_keyrings": []}"#;
        let read: Repository = serde_json::from_str(row).unwrap();
        assert_eq!(read, test_repository());
    }

    #[test]
    fn meta_distributions_need_their_codename() {
        let mut repository = test_repository();
        let layout = Layout::debian_developer();
        let meta = |repository: &Repository, name| {
            repository
                .meta_distribution(&layout, name)
                .map(|dist| dist.to_string())
        };
        assert_eq!(
            meta(&repository, "unstable").as_deref(),
            Some("sid-test-unstable")
        );
        assert_eq!(meta(&repository, "stable"), None);
        repository.distributions.pop();
        assert_eq!(meta(&repository, "unstable"), None);
    }

    #[test]
    fn broken_repositories_are_named() {
        assert!("".parse::<Identity>().is_err() && "te-st".parse::<Identity>().is_err());
        let mut repository = test_repository();
        assert_eq!(repository.validate(), Ok(()));
        repository.distributions.push("sid".parse().unwrap());
        assert_eq!(
            repository.validate().unwrap_err().to_string(),
            "repository \"test\": distributions: sid is there twice"
        );
        for (change, field) in [
            (
                (|r| r.history_days = 0) as fn(&mut Repository),
                "history_days",
            ),
            (|r| r.pool_grace_hours = 0, "pool_grace_hours"),
            (|r| r.snapshots.weekly = u32::MAX, "snapshots"),
        ] {
            let mut repository = test_repository();
            change(&mut repository);
            assert_eq!(repository.validate().unwrap_err().field, field);
        }
    }
}
