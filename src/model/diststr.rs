use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::deb::{Codename, Suite};
use crate::model::repository::Identity;

/// Distribution string: `codename-repository-suite[-rollbackN]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Diststr {
    pub codename: Codename,
    pub repository: Identity,
    pub suite: Suite,
    /// 0 is the newest.
    pub rollback: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("distribution {0:?} is not of the form CODENAME-REPOSITORY-SUITE[-rollbackN]")]
pub struct Malformed(pub String);

impl FromStr for Diststr {
    type Err = Malformed;
    fn from_str(_text: &str) -> Result<Self, Malformed> {
        todo!()
    }
}
impl fmt::Display for Diststr {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl TryFrom<String> for Diststr {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}
impl From<Diststr> for String {
    fn from(diststr: Diststr) -> String {
        diststr.to_string()
    }
}
