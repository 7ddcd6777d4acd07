use regex::Regex;

use crate::deb::Version;
use crate::model::{Layout, SuiteOptions};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "Version restrictions failed for suite '{suite}': '{regex}' not in '{version}'; it could be {example}"
    )]
    Mandatory {
        suite: String,
        regex: String,
        version: String,
        /// A version like it that the suite takes.
        example: String,
    },
    #[error("mandatory version regex {regex:?} is malformed: {fault}")]
    Regex { regex: String, fault: String },
}

/// Replaces `%IDENTITY%` and `%CODEVERSION%`.
pub fn expand(pattern: &str, identity: &str, codeversion: &str) -> String {
    pattern
        .replace("%IDENTITY%", identity)
        .replace("%CODEVERSION%", codeversion)
}

/// Replaces as [`expand`] does, so that a regular expression takes what is put in literally.
pub fn expand_quoted(pattern: &str, identity: &str, codeversion: &str) -> String {
    expand(
        pattern,
        &regex::escape(identity),
        &regex::escape(codeversion),
    )
}

/// What versions a suite takes.
#[derive(Clone, Debug)]
pub struct Mandatory {
    suite: String,
    regex: Regex,
    identity: String,
    /// What a version that is refused could end with.
    suffix: String,
}

impl Mandatory {
    pub fn of(
        layout: &Layout,
        suite: &SuiteOptions,
        identity: &str,
        codeversion: &str,
    ) -> Result<Mandatory, Error> {
        let pattern = if suite.experimental {
            &layout.experimental_mandatory_version_regex
        } else {
            &layout.mandatory_version_regex
        };
        Ok(Mandatory {
            suite: suite.suite.to_string(),
            regex: compile(&expand_quoted(pattern, identity, codeversion))?,
            identity: identity.to_owned(),
            suffix: default_version(layout, suite, identity, codeversion),
        })
    }

    /// Checks a version against the pattern, which may match anywhere in it.
    pub fn check(&self, version: &Version) -> Result<(), Error> {
        if self.regex.is_match(version.as_str()) {
            return Ok(());
        }
        let mark = format!("~{}", self.identity);
        let plain = version.as_str().split(&mark).next().unwrap_or_default();
        Err(Error::Mandatory {
            suite: self.suite.clone(),
            regex: self.regex.to_string(),
            version: version.to_string(),
            example: format!("{plain}{}", self.suffix),
        })
    }
}

/// Checks one version, as [`Mandatory`] does.
pub fn check_mandatory(
    layout: &Layout,
    suite: &SuiteOptions,
    identity: &str,
    codeversion: &str,
    version: &Version,
) -> Result<(), Error> {
    Mandatory::of(layout, suite, identity, codeversion)?.check(version)
}

/// Tells whether a layout's pattern is a regular expression.
pub fn check_regex(pattern: &str) -> Result<(), Error> {
    compile(&expand_quoted(pattern, "test", "13")).map(drop)
}

/// Tells whether versions may end with what a layout's pattern makes.
pub fn check_suffix(pattern: &str) -> Result<(), crate::deb::Error> {
    let version: Result<Version, _> = format!("1.0{}", expand(pattern, "test", "13")).parse();
    version.map(drop)
}

/// The version suffix that a port to the suite gets: `~test13+1`.
pub fn default_version(
    layout: &Layout,
    suite: &SuiteOptions,
    identity: &str,
    codeversion: &str,
) -> String {
    let pattern = if suite.experimental {
        &layout.experimental_default_version
    } else {
        &layout.default_version
    };
    expand(pattern, identity, codeversion)
}

fn compile(regex: &str) -> Result<Regex, Error> {
    Regex::new(regex).map_err(|fault| Error::Regex {
        regex: regex.to_owned(),
        fault: fault.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(suite: &str, codeversion: &str, version: &str) -> Result<(), Error> {
        let layout = Layout::standard();
        let suite = layout.suite(&suite.parse().unwrap()).unwrap();
        check_mandatory(
            &layout,
            suite,
            "test",
            codeversion,
            &version.parse().unwrap(),
        )
    }

    #[test]
    fn versions_must_carry_the_suites_mark() {
        for (suite, codeversion, version, is_good) in [
            ("unstable", "13", "1.0~test13+1", true),
            ("unstable", "13", "1.0-1~test13+42", true),
            ("unstable", "13", "1.0~test13+1+rebuilt20261122054620", true),
            ("unstable", "13", "1.0", false),
            ("unstable", "13", "1.0~test13+0", false),
            ("unstable", "13", "1.0~test12+1", false),
            ("unstable", "~SID", "1.0~test~SID+1", true),
            ("snapshot", "13", "1.0~test13+0", true),
            ("snapshot", "13", "1.0~test13+1", false),
        ] {
            assert_eq!(
                check(suite, codeversion, version).is_ok(),
                is_good,
                "{suite} {version}"
            );
        }
    }

    #[test]
    fn the_refusal_is_in_stocks_words() {
        let words = r"Version restrictions failed for suite 'unstable': '~test13\+[1-9]' not in ";
        for version in ["1.0", "1.0~test12+1"] {
            assert_eq!(
                check("unstable", "13", version).unwrap_err().to_string(),
                format!("{words}'{version}'; it could be 1.0~test13+1")
            );
        }
        let snapshot = check("snapshot", "13", "1.0").unwrap_err().to_string();
        assert!(snapshot.ends_with(" 1.0~test13+0"), "{snapshot}");
    }

    #[test]
    fn what_is_put_in_is_taken_literally() {
        assert_eq!(expand_quoted("^%IDENTITY%$", "a.b", "1"), r"^a\.b$");
        assert!(check("unstable", "1.3", "1.0~test123+1").is_err());
    }

    #[test]
    fn ports_get_the_suites_default() {
        let layout = Layout::standard();
        let version = |suite: &str| {
            let suite = layout.suite(&suite.parse().unwrap()).unwrap();
            default_version(&layout, suite, "test", "13")
        };
        assert_eq!(version("unstable"), "~test13+1");
        assert_eq!(version("experimental"), "~test13+0");
    }
}
