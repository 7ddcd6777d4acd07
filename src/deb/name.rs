//! Words that become parts of paths: validated on the way in.
//!
//! All of them are ASCII, begin with a letter or digit (so never with a dot), hold no slash and are bounded.
//! The bounds fit together: the longest name that is made of words,
//! `SOURCE_VERSION_mini-buildd-buildrequest_ARCHITECTURE.changes.tar`, is a [`FileName`].
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;

/// What is asked of one kind of word.
struct Rule {
    kind: &'static str,
    min: usize,
    max: usize,
    first: fn(u8) -> bool,
    rest: fn(u8) -> bool,
    fault: &'static str,
}

impl Rule {
    fn check(&self, word: &str) -> Result<(), Error> {
        let fault = match word.as_bytes() {
            [] => "is empty",
            bytes if bytes.len() < self.min => "is too short",
            bytes if bytes.len() > self.max => "is too long",
            [first, rest @ ..]
                if !(self.first)(*first) || !rest.iter().all(|b| (self.rest)(*b)) =>
            {
                self.fault
            }
            _ => return Ok(()),
        };
        Err(Error::Word {
            kind: self.kind,
            word: word.chars().take(self.max).collect(),
            fault,
        })
    }
}

fn is_lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+.~_:-".contains(&byte)
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            const RULE: Rule = $rule;

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }
        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::RULE.check(text)?;
                Ok(Self(text.to_owned()))
            }
        }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                Self::RULE.check(&text)?;
                Ok(Self(text))
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

word!(
    /// Name of a source or binary package (Policy 5.6.1, 5.6.7), at most 90 bytes (Debian's longest has 75).
    PackageName,
    Rule {
        kind: "package name",
        min: 2,
        max: 90,
        first: is_lower_or_digit,
        rest: |byte| is_lower_or_digit(byte) || b"+-.".contains(&byte),
        fault: "must match [a-z0-9][a-z0-9+.-]+",
    }
);
word!(
    /// One word of an Architecture field: `amd64`, `all`, `source` (Policy 5.6.8).
    Architecture,
    Rule {
        kind: "architecture",
        min: 1,
        max: 21,
        first: is_lower_or_digit,
        rest: |byte| is_lower_or_digit(byte) || byte == b'-',
        fault: "must match [a-z0-9][a-z0-9-]*",
    }
);

impl Architecture {
    /// Tells whether machines can be of it.
    pub fn is_machine(&self) -> bool {
        !["all", "any", "source"].contains(&self.as_str())
    }
}

word!(
    /// Name of a release of a distribution: `trixie`. Without dashes, so that distribution strings have one reading.
    Codename,
    Rule {
        kind: "codename",
        min: 1,
        max: 60,
        first: |byte| byte.is_ascii_alphanumeric(),
        rest: |byte| byte.is_ascii_alphanumeric() || byte == b'_',
        fault: "must match [A-Za-z0-9][A-Za-z0-9_]*",
    }
);
word!(
    /// Last part of a distribution string: `unstable`.
    Suite,
    Rule {
        kind: "suite",
        min: 1,
        max: 60,
        first: |byte| byte.is_ascii_lowercase(),
        rest: |byte| byte.is_ascii_lowercase(),
        fault: "must match [a-z]+",
    }
);
word!(
    /// Area of an archive: `main`.
    Component,
    Rule {
        kind: "component",
        min: 1,
        max: 60,
        first: |byte| byte.is_ascii_alphanumeric(),
        rest: |byte| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte),
        fault: "must match [A-Za-z0-9][A-Za-z0-9+._-]*",
    }
);
word!(
    /// File name without any directory, at most 240 bytes (NAME_MAX is 255; what is being written has a suffix).
    FileName,
    Rule {
        kind: "file name",
        min: 1,
        max: 240,
        first: |byte| byte.is_ascii_alphanumeric(),
        rest: is_word_byte,
        fault: "must match [A-Za-z0-9][A-Za-z0-9+.~_:-]*",
    }
);

impl FileName {
    /// Tells whether `text` may stand in a path as it is, whatever it means.
    pub fn is_safe(text: &str) -> bool {
        Self::RULE.check(text).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/etc/passwd",
            ".hidden",
            "-rf",
            "a\0b",
            "a\nb",
            "a b",
            "ä",
        ] {
            assert!(name.parse::<FileName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn file_names_of_debian_are_accepted() {
        for name in [
            "hello_2.10-3.dsc",
            "gcc-12_12.2.0-14_amd64.buildinfo",
            "libstdc++6_12.2.0-14_amd64.deb",
            "mbd-test-cpp_20261122054500~test13+1+rebuilt20261122054620_amd64.changes",
        ] {
            assert_eq!(name.parse::<FileName>().unwrap(), name);
        }
    }

    #[test]
    fn words_are_bounded() {
        assert!("a".repeat(240).parse::<FileName>().is_ok());
        let error = "a".repeat(241).parse::<FileName>().unwrap_err();
        assert!(error.to_string().ends_with("is too long"), "{error}");
    }

    #[test]
    fn the_longest_name_made_of_words_is_a_file_name() {
        let changes = format!(
            "{}_{}_mini-buildd-buildrequest_{}.changes.tar",
            "a".repeat(PackageName::RULE.max),
            "1".repeat(super::super::version::MAX),
            "a".repeat(Architecture::RULE.max)
        );
        assert!(changes.parse::<FileName>().is_ok(), "{}", changes.len());
    }

    #[test]
    fn package_names_follow_policy() {
        for name in ["g++", "0ad", "libc6.1-dev", "a"] {
            assert_eq!(
                name.parse::<PackageName>().is_ok(),
                name.len() > 1,
                "{name}"
            );
        }
        for name in ["Hello", "+x", "a_b", "a~b", "a:b"] {
            assert!(name.parse::<PackageName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_fault_names_the_kind_and_the_rule() {
        assert_eq!(
            "Amd64".parse::<Architecture>().unwrap_err().to_string(),
            "architecture \"Amd64\": must match [a-z0-9][a-z0-9-]*"
        );
        assert!("trixie-security".parse::<Codename>().is_err());
        assert!("rollback0".parse::<Suite>().is_err());
        assert!("non-free-firmware".parse::<Component>().is_ok());
    }

    #[test]
    fn json_is_validated_too() {
        assert!(serde_json::from_str::<Suite>("\"unstable\"").is_ok());
        assert!(serde_json::from_str::<Suite>("\"../x\"").is_err());
    }
}
