use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deb::{PackageName, Version};

/// Time of arrival in UTC, to the microsecond: `20261122:054409:759031`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timecode(String);

impl Timecode {
    pub fn at(_time: Timestamp) -> Timecode {
        todo!()
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl FromStr for Timecode {
    type Err = String;
    fn from_str(_text: &str) -> Result<Self, String> {
        todo!()
    }
}
impl TryFrom<String> for Timecode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
impl From<Timecode> for String {
    fn from(timecode: Timecode) -> String {
        timecode.0
    }
}

/// One upload: `SOURCE/VERSION/TIMECODE`, the epoch included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageKey {
    pub source: PackageName,
    pub version: Version,
    pub timecode: Timecode,
}

impl PackageKey {
    /// Key of its part for the Architecture field `architecture`, as written: `source`, `amd64`.
    pub fn build(&self, _architecture: &str) -> BuildKey {
        todo!()
    }
    /// `SOURCE_VERSION` without the epoch, the beginning of file names.
    pub fn file_base(&self) -> String {
        todo!()
    }
}
impl fmt::Display for PackageKey {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl FromStr for PackageKey {
    type Err = String;
    fn from_str(_text: &str) -> Result<Self, String> {
        todo!()
    }
}
impl TryFrom<String> for PackageKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
impl From<PackageKey> for String {
    fn from(key: PackageKey) -> String {
        key.to_string()
    }
}

/// One part of an upload: `SOURCE/VERSION/TIMECODE/ARCHITECTURE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildKey {
    pub package: PackageKey,
    /// The Architecture field verbatim; words are validated, a blank between them stays.
    pub architecture: String,
}

impl fmt::Display for BuildKey {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl FromStr for BuildKey {
    type Err = String;
    fn from_str(_text: &str) -> Result<Self, String> {
        todo!()
    }
}
impl TryFrom<String> for BuildKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
impl From<BuildKey> for String {
    fn from(key: BuildKey) -> String {
        key.to_string()
    }
}
