use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;

/// Longest version in bytes; Debian's longest has 52.
pub(super) const MAX: usize = 90;

/// Version of a package, ordered as dpkg does (Policy 5.6.12): `1.0`, `0:1.0` and `1.00-0` are equal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

impl Version {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the epoch, as file names have it.
    pub fn without_epoch(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(_, rest)| rest)
    }

    /// Without epoch and revision.
    pub fn upstream(&self) -> &str {
        let version = self.without_epoch();
        version
            .rsplit_once('-')
            .map_or(version, |(upstream, _)| upstream)
    }

    fn parts(&self) -> debversion::Version {
        self.0
            .parse()
            .expect("the constructor's rules are narrower than debversion's")
    }
}

/// Takes what dpkg takes, but no colon after the epoch's: it would not fit into the names of files everywhere.
impl FromStr for Version {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match fault(text) {
            None => Ok(Version(text.to_owned())),
            Some(fault) => Err(Error::Word {
                kind: "version",
                word: text.chars().take(MAX).collect(),
                fault,
            }),
        }
    }
}

fn fault(text: &str) -> Option<&'static str> {
    if text.len() > MAX {
        return Some("is too long");
    }
    let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
    // dpkg's limit is INT_MAX.
    if !epoch.bytes().all(|b| b.is_ascii_digit()) || epoch.parse::<i32>().is_err() {
        return Some("the epoch is no number");
    }
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    if upstream.is_empty() || revision.is_empty() {
        return Some("has an empty part");
    }
    if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
        return Some("does not begin with a digit");
    }
    let is_in = |part: &str, others: &[u8]| {
        part.bytes()
            .all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
    };
    if !is_in(upstream, b".+~-") || !is_in(revision, b".+~") {
        return Some("holds a character that no version may have");
    }
    None
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
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
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0 == other.0 {
            return Ordering::Equal;
        }
        self.parts().cmp(&other.parts())
    }
}
impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Version {}
impl Hash for Version {
    /// Equal versions differ in zeros at most.
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.without_epoch().bytes().filter(u8::is_ascii_alphabetic) {
            state.write_u8(byte);
        }
        for number in self
            .upstream()
            .split(|c: char| !c.is_ascii_digit())
            .map(|digits| digits.trim_start_matches('0'))
            .filter(|digits| !digits.is_empty())
        {
            state.write(number.as_bytes());
            state.write_u8(b'.');
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::process::Command;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn order_is_dpkgs() {
        let ascending = [
            "1.0~rc1-1",
            "1.0~test12+1",
            "1.0~test13+1",
            "1.0~test13+2",
            "1.0~test13+10",
            "1.0",
            "1.0-1~bpo13+1",
            "1.0-1",
            "1.0-1.1",
            "1.0-10",
            "1.0a-1",
            "1.0.1",
            "1:0.1",
        ];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
            let dpkg = Command::new("dpkg")
                .args(["--compare-versions", pair[0], "lt", pair[1]])
                .status()
                .unwrap();
            assert!(dpkg.success(), "{pair:?}");
        }
    }

    #[test]
    fn equal_versions_hash_the_same() {
        let all: HashSet<Version> = ["1.0", "0:1.0", "1.00", "1.0-0", "1.0-00"]
            .map(version)
            .into();
        assert_eq!(all.len(), 1);
        assert_ne!(version("1.0"), version("1.0-1"));
    }

    #[test]
    fn file_names_have_no_epoch() {
        assert_eq!(
            version("2:8.1-2~test13+1").without_epoch(),
            "8.1-2~test13+1"
        );
        assert_eq!(version("2:8.1-rc-2").upstream(), "8.1-rc");
        assert_eq!(version("8.1").without_epoch(), "8.1");
    }

    #[test]
    fn malformed_versions_are_refused() {
        for (text, fault) in [
            ("", "has an empty part"),
            ("1/../2", "holds a character that no version may have"),
            ("../1", "does not begin with a digit"),
            ("1.0_2", "holds a character that no version may have"),
            ("1:2:3", "holds a character that no version may have"),
            ("a:1", "the epoch is no number"),
            (":1", "the epoch is no number"),
            ("+1:1", "the epoch is no number"),
            ("9999999999:1", "the epoch is no number"),
            ("1:", "has an empty part"),
            ("1.0-", "has an empty part"),
            ("1 0", "holds a character that no version may have"),
            ("v1", "does not begin with a digit"),
        ] {
            let error = text.parse::<Version>().unwrap_err();
            assert!(error.to_string().ends_with(fault), "{error}");
        }
    }
}
