use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deb::Suite;
use crate::model::Item;

/// Suites of a repository, their rules and version patterns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    pub name: String,
    /// In the order of publication.
    pub suites: Vec<SuiteOptions>,
    pub default_version: String,
    pub mandatory_version_regex: String,
    pub experimental_default_version: String,
    pub experimental_mandatory_version_regex: String,
    /// `unstable` → `sid-unstable` (codename-suite).
    pub meta_distributions: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteOptions {
    pub suite: Suite,
    pub uploadable: bool,
    pub experimental: bool,
    pub migrates_to: Option<Suite>,
    /// Number of rollback distributions.
    pub rollback: u32,
    pub build_keyring_package: bool,
    pub not_automatic: bool,
    pub but_automatic_upgrades: bool,
}

impl Item for Layout {
    const KIND: &'static str = "layout";
    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Layout {
    /// Stock's preset of this name.
    pub fn standard() -> Layout {
        todo!()
    }
    pub fn suite(&self, _suite: &Suite) -> Option<&SuiteOptions> {
        todo!()
    }
    /// Suites whose packages may serve builds in `suite`: itself and what it migrates to; experimental: all others too.
    pub fn build_suites(&self, _suite: &Suite) -> Vec<&SuiteOptions> {
        todo!()
    }
}
