use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, PackageName, Version};

/// Time of arrival in UTC, to the microsecond: `20261122:054409:759031`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timecode(String);

impl Timecode {
    pub fn at(time: Timestamp) -> Timecode {
        Timecode(time.strftime("%Y%m%d:%H%M%S:%6f").to_string())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Timecode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for Timecode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let lengths: Vec<usize> = text.split(':').map(str::len).collect();
        let is_digits = text.bytes().all(|b| b.is_ascii_digit() || b == b':');
        if lengths == [8, 6, 6] && is_digits {
            Ok(Timecode(text.to_owned()))
        } else {
            Err(format!("timecode {text:?} is not YYYYMMDD:HHMMSS:MICROS"))
        }
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
    pub fn build(&self, architecture: &str) -> BuildKey {
        BuildKey {
            package: self.clone(),
            architecture: architecture.to_owned(),
        }
    }
    /// `SOURCE_VERSION` without the epoch, the beginning of file names.
    pub fn file_base(&self) -> String {
        format!("{}_{}", self.source, self.version.without_epoch())
    }
}
impl fmt::Display for PackageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.source, self.version, self.timecode)
    }
}
impl FromStr for PackageKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let &[source, version, timecode] = parts.as_slice() else {
            return Err(format!("key {text:?} is not SOURCE/VERSION/TIMECODE"));
        };
        Ok(PackageKey {
            source: source.parse().map_err(|fault| format!("{fault}"))?,
            version: version.parse().map_err(|fault| format!("{fault}"))?,
            timecode: timecode.parse()?,
        })
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.package, self.architecture)
    }
}
impl FromStr for BuildKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (package, architecture) = text
            .rsplit_once('/')
            .ok_or_else(|| format!("key {text:?} is not SOURCE/VERSION/TIMECODE/ARCHITECTURE"))?;
        for word in architecture.split(' ') {
            let _: Architecture = word.parse().map_err(|fault| format!("{fault}"))?;
        }
        Ok(package.parse::<PackageKey>()?.build(architecture))
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

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK: &str = "hang2/1:1.0~test13+1/20261122:055409:759031";

    #[test]
    fn a_timecode_is_the_time_in_utc() {
        let time: Timestamp = "2026-11-22T05:54:09.759031+00:00".parse().unwrap();
        assert_eq!(Timecode::at(time).as_str(), "20261122:055409:759031");
        let time: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(Timecode::at(time).as_str(), "20260102:030405:000000");
        assert!("20261122:0554:759031000".parse::<Timecode>().is_err());
        assert!("../6112/:055409:759031".parse::<Timecode>().is_err());
    }

    #[test]
    fn keys_survive_a_round_trip() {
        let key: PackageKey = STOCK.parse().unwrap();
        assert_eq!(key.to_string(), STOCK);
        assert_eq!(key.file_base(), "hang2_1.0~test13+1");
        for architecture in ["amd64", "source", "source amd64"] {
            let text = format!("{STOCK}/{architecture}");
            assert_eq!(key.build(architecture).to_string(), text);
            assert_eq!(text.parse(), Ok(key.build(architecture)));
        }
    }

    #[test]
    fn hostile_keys_are_refused() {
        for text in [
            "",
            "a/b",
            "../1/20261122:055409:759031",
            "hello/../20261122:055409:759031",
        ] {
            assert!(text.parse::<PackageKey>().is_err(), "{text}");
        }
        for end in ["", "/", "/..", "/a  b", "/a/b"] {
            assert!(
                format!("{STOCK}{end}").parse::<BuildKey>().is_err(),
                "{end}"
            );
        }
    }
}
