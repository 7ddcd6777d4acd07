use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::deb::{Codename, Suite};
use crate::model::{Diststr, Invalid, Item, Layout, SuiteOptions, invalid};

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
pub struct Repository {
    pub identity: Identity,
    /// Name of a [`Layout`].
    pub layout: String,
    /// Codenames of [`crate::model::Distribution`]s.
    pub distributions: Vec<Codename>,
    pub allow_unauthenticated_uploads: bool,
    /// Keyring files whose keys may upload.
    pub extra_uploader_keyrings: Vec<std::path::PathBuf>,
}

impl Item for Repository {
    const KIND: &'static str = "repository";
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
        Ok(())
    }
}

impl Repository {
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
        Repository {
            identity: "test".parse().unwrap(),
            layout: "Default".into(),
            distributions: vec!["trixie".parse().unwrap(), "sid".parse().unwrap()],
            allow_unauthenticated_uploads: false,
            extra_uploader_keyrings: Vec::new(),
        }
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
    }
}
