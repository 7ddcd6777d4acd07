use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;

/// Version of a package, ordered as dpkg does (Policy 5.6.12); compares equal only when the text is equal in dpkg's eyes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

impl Version {
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Without the epoch, as file names have it.
    pub fn without_epoch(&self) -> &str {
        todo!()
    }
}
impl FromStr for Version {
    type Err = Error;
    fn from_str(_text: &str) -> Result<Self, Error> {
        todo!()
    }
}
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for Version {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}
impl From<Version> for String {
    fn from(version: Version) -> String {
        version.0
    }
}
impl Ord for Version {
    fn cmp(&self, _other: &Self) -> Ordering {
        todo!()
    }
}
impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
