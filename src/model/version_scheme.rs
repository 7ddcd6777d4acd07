use crate::deb::Version;
use crate::model::{Layout, SuiteOptions};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Version restrictions failed for suite '{suite}': '{regex}' not in '{version}'")]
    Mandatory {
        suite: String,
        regex: String,
        version: String,
    },
    #[error("mandatory version regex {regex:?} is malformed: {fault}")]
    Regex { regex: String, fault: String },
}

/// Replaces `%IDENTITY%` and `%CODEVERSION%`; `quoted` when the result is a regular expression.
pub fn expand(_pattern: &str, _identity: &str, _codeversion: &str) -> String {
    todo!()
}

/// Checks a version against the suite's mandatory pattern.
pub fn check_mandatory(
    _layout: &Layout,
    _suite: &SuiteOptions,
    _identity: &str,
    _codeversion: &str,
    _version: &Version,
) -> Result<(), Error> {
    todo!()
}

/// The version suffix that a port to the suite gets: `~test13+1`.
pub fn default_version(
    _layout: &Layout,
    _suite: &SuiteOptions,
    _identity: &str,
    _codeversion: &str,
) -> String {
    todo!()
}
