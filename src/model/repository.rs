use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::deb::{Codename, Suite};
use crate::model::{Diststr, Item, Layout};

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
    fn from_str(_text: &str) -> Result<Self, String> {
        todo!()
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
}

impl Repository {
    /// All distribution strings of a codename, rollbacks after their suite, as published.
    pub fn dists(&self, _layout: &Layout, _codename: &Codename) -> Vec<Diststr> {
        todo!()
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
