use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, Codename, Component};
use crate::model::Item;

/// Archive (mirror) that one builds from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// Ends with exactly one slash.
    pub url: String,
}

impl Item for Archive {
    const KIND: &'static str = "archive";
    fn name(&self) -> String {
        self.url.clone()
    }
}

/// A distribution of an archive, as its Release file names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub origin: String,
    pub codename: Codename,
    /// Name below dists/ where it is not the codename: `trixie-security`.
    pub suite: String,
    /// URLs of archives that carry it, best first.
    pub archives: Vec<String>,
    pub components: Vec<Component>,
    pub architectures: Vec<Architecture>,
    /// Armored keys, or keyring files of this host, that sign it.
    pub apt_keys: Vec<AptKey>,
    pub check_valid_until: bool,
    /// `13` for trixie, `~SID` for sid; part of version numbers.
    pub codeversion: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AptKey {
    Armored(String),
    KeyringFile(std::path::PathBuf),
}

impl Item for Source {
    const KIND: &'static str = "source";
    fn name(&self) -> String {
        format!("{}:{}", self.origin, self.suite)
    }
}
