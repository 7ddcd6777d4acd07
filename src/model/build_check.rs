use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a check (lintian, piuparts, autopkgtest) counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    Disabled,
    Ignore,
    Errfail,
    Warnfail,
}

impl FromStr for Mode {
    type Err = String;
    /// Reads stock's words, in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "DISABLED" => Ok(Mode::Disabled),
            "IGNORE" => Ok(Mode::Ignore),
            "ERRFAIL" => Ok(Mode::Errfail),
            "WARNFAIL" => Ok(Mode::Warnfail),
            _ => Err(format!(
                "{text:?} is none of DISABLED, IGNORE, ERRFAIL, WARNFAIL"
            )),
        }
    }
}
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Disabled => "DISABLED",
            Mode::Ignore => "IGNORE",
            Mode::Errfail => "ERRFAIL",
            Mode::Warnfail => "WARNFAIL",
        })
    }
}

/// The modes that one build is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modes {
    pub lintian: Mode,
    pub piuparts: Mode,
    pub autopkgtest: Mode,
}

/// Tells whether a check's status lets the build pass (stock-compatible table).
pub fn passes(mode: Mode, experimental: bool, status: Option<&str>) -> bool {
    if experimental {
        return true;
    }
    match (mode, status) {
        (Mode::Disabled | Mode::Ignore, _)
        | (_, Some("pass" | "info"))
        | (Mode::Errfail, Some("warn" | "no tests")) => true,
        (Mode::Errfail | Mode::Warnfail, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_decide_as_in_stock() {
        use Mode::{Disabled, Errfail, Ignore, Warnfail};
        for (status, passing) in [
            (Some("pass"), &[Disabled, Ignore, Errfail, Warnfail][..]),
            (Some("info"), &[Disabled, Ignore, Errfail, Warnfail]),
            (Some("warn"), &[Disabled, Ignore, Errfail]),
            (Some("no tests"), &[Disabled, Ignore, Errfail]),
            (Some("error"), &[Disabled, Ignore]),
            (Some("fail"), &[Disabled, Ignore]),
            (None, &[Disabled, Ignore]),
        ] {
            for mode in [Disabled, Ignore, Errfail, Warnfail] {
                assert_eq!(
                    passes(mode, false, status),
                    passing.contains(&mode),
                    "{mode} {status:?}"
                );
                assert!(passes(mode, true, status));
            }
        }
    }

    #[test]
    fn words_are_read_in_any_case() {
        assert_eq!("errfail".parse(), Ok(Mode::Errfail));
        assert_eq!("Warnfail".parse::<Mode>().unwrap().to_string(), "WARNFAIL");
        assert!("fail".parse::<Mode>().is_err());
        assert_eq!(serde_json::to_string(&Mode::Ignore).unwrap(), "\"IGNORE\"");
    }
}
