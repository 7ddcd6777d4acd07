use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::deb::{Codename, Suite};
use crate::model::repository::Identity;

/// Distribution string: `codename-repository-suite[-rollbackN]`.
///
/// No part has a dash, so there is one reading.
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

impl Diststr {
    /// The distribution that a rollback belongs to.
    pub fn without_rollback(&self) -> Diststr {
        Diststr {
            rollback: None,
            ..self.clone()
        }
    }
    pub fn with_rollback(&self, number: u32) -> Diststr {
        Diststr {
            rollback: Some(number),
            ..self.clone()
        }
    }
}

impl FromStr for Diststr {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        parse(text).ok_or_else(|| Malformed(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Diststr> {
    let parts: Vec<&str> = text.split('-').collect();
    let (&[codename, repository, suite], rollback) = parts.split_first_chunk()?;
    let rollback = match rollback {
        [] => None,
        [rollback] => Some(number(rollback.strip_prefix("rollback")?)?),
        _ => return None,
    };
    Some(Diststr {
        codename: codename.parse().ok()?,
        repository: repository.parse().ok()?,
        suite: suite.parse().ok()?,
        rollback,
    })
}

/// Digits without leading zeros, so that equal distributions are written the same.
fn number(digits: &str) -> Option<u32> {
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

impl fmt::Display for Diststr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.codename, self.repository, self.suite)?;
        match self.rollback {
            Some(number) => write!(f, "-rollback{number}"),
            None => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollback_suite_is_parsed() {
        let diststr: Diststr = "sid-test-stable-rollback5".parse().unwrap();
        assert_eq!(diststr.rollback, Some(5));
        assert_eq!(diststr.suite, "stable");
        assert_eq!(diststr.without_rollback().to_string(), "sid-test-stable");
        assert_eq!(diststr.without_rollback().with_rollback(5), diststr);
    }

    #[test]
    fn distribution_strings_survive_a_round_trip() {
        for text in ["trixie-test-unstable", "trixie-test-snapshot-rollback11"] {
            assert_eq!(text.parse::<Diststr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_malformed() {
        for text in [
            "",
            "unstable",
            "trixie-test",
            "trixie-test-unstable-",
            "trixie-test-unstable-rollback",
            "trixie-test-unstable-rollback-1",
            "trixie-test-unstable-rollback01",
            "trixie-test-unstable-rollback+1",
            "trixie-test-unstable-rollback1-x",
            "trixie-Test-unstable",
            "trixie--unstable",
            "../x-test-unstable",
            "trixie-test-unstable\n",
        ] {
            assert_eq!(text.parse::<Diststr>(), Err(Malformed(text.into())));
        }
    }
}
