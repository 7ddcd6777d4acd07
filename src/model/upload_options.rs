use serde::{Deserialize, Serialize};

use crate::deb::Architecture;
use crate::model::Diststr;
use crate::model::build_check::Mode;

/// `MINI_BUILDD_OPTION: KEY[[ARCH]]=VALUE` lines of the top changelog block (stock's keys and rules).
///
/// Unlike stock's, values keep their blanks and may hold `=`, `*` and dots; a single dot at the end is none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadOptions {
    options: Vec<UploadOption>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UploadOption {
    key: String,
    /// `None`: for all architectures that have no value of their own.
    architecture: Option<Architecture>,
    value: String,
}

pub const LINTIAN_MODE: &str = "lintian-mode";
pub const PIUPARTS_MODE: &str = "piuparts-mode";
pub const AUTOPKGTEST_MODE: &str = "autopkgtest-mode";
pub const INTERNAL_APT_PRIORITY: &str = "internal-apt-priority";
pub const AUTO_PORTS: &str = "auto-ports";
pub const DEB_BUILD_OPTIONS: &str = "deb-build-options";
pub const DEB_BUILD_PROFILES: &str = "deb-build-profiles";
pub const ADD_DEPENDS: &str = "add-depends";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Unknown upload option: {0}")]
    Unknown(String),
    #[error("Duplicate upload option: {0}")]
    Duplicate(String),
    #[error("Invalid upload option value: {key}={value}: {fault}")]
    Value {
        key: String,
        value: String,
        fault: String,
    },
}

impl UploadOptions {
    pub fn parse(top_entry: &str) -> Result<UploadOptions, Error> {
        let mut options = UploadOptions::default();
        for item in items(top_entry) {
            if let Some(assignment) = item.strip_prefix("MINI_BUILDD_OPTION:") {
                options.add(UploadOption::parse(assignment.trim())?)?;
            } else if let Some(old) = item.strip_prefix("MINI_BUILDD:") {
                options.add_old(old.trim())?;
            }
        }
        Ok(options)
    }

    /// The architecture's own value, else the plain one.
    pub fn get(&self, key: &str, architecture: &Architecture) -> Option<&str> {
        let find = |architecture: Option<&Architecture>| {
            self.options
                .iter()
                .find(|option| option.key == key && option.architecture.as_ref() == architecture)
        };
        let option = find(Some(architecture)).or_else(|| find(None))?;
        Some(&option.value)
    }

    /// Value of one of the three modes.
    pub fn mode(&self, key: &str, architecture: &Architecture) -> Option<Mode> {
        self.get(key, architecture)?.parse().ok()
    }

    /// `None` where the distribution's priority holds; stock's 0 means that, too.
    pub fn internal_apt_priority(&self, architecture: &Architecture) -> Option<i32> {
        let priority = self
            .get(INTERNAL_APT_PRIORITY, architecture)?
            .parse()
            .ok()?;
        (priority != 0).then_some(priority)
    }

    /// Distributions that an installed upload is ported to.
    pub fn auto_ports(&self) -> Vec<Diststr> {
        let value = self.options.iter().find(|option| option.key == AUTO_PORTS);
        let names = value
            .map(|option| option.value.as_str())
            .unwrap_or_default();
        names_of(names)
            .filter_map(|name| name.parse().ok())
            .collect()
    }

    fn add(&mut self, option: UploadOption) -> Result<(), Error> {
        let is_same = |other: &UploadOption| {
            (&other.key, &other.architecture) == (&option.key, &option.architecture)
        };
        if self.options.iter().any(is_same) {
            return Err(Error::Duplicate(option.to_string()));
        }
        self.options.push(option);
        Ok(())
    }

    /// Stock's ancient syntax, before there were options.
    fn add_old(&mut self, text: &str) -> Result<(), Error> {
        if let Some(names) = text.strip_prefix("AUTO_BACKPORTS:") {
            return self.add(UploadOption::new(AUTO_PORTS, None, names.trim())?);
        }
        if text.starts_with("BACKPORT_MODE") {
            return self.add(UploadOption::new(LINTIAN_MODE, None, "ignore")?);
        }
        Ok(())
    }
}

impl UploadOption {
    /// `KEY=VALUE` or `KEY[ARCH]=VALUE`
    fn parse(assignment: &str) -> Result<UploadOption, Error> {
        let (left, value) = assignment.split_once('=').ok_or_else(|| Error::Value {
            key: assignment.to_owned(),
            value: String::new(),
            fault: "there is no =".into(),
        })?;
        let (left, value) = (left.trim(), value.trim());
        let Some((key, rest)) = left.split_once('[') else {
            return UploadOption::new(left, None, value);
        };
        let architecture = rest
            .strip_suffix(']')
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| Error::Value {
                key: left.to_owned(),
                value: value.to_owned(),
                fault: "what stands in brackets is no architecture".into(),
            })?;
        UploadOption::new(key, Some(architecture), value)
    }

    /// Validates, and turns deprecated keys into today's.
    fn new(
        key: &str,
        architecture: Option<Architecture>,
        value: &str,
    ) -> Result<UploadOption, Error> {
        let invalid = |fault: String| Error::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            fault,
        };
        let (key, value) = match key {
            LINTIAN_MODE | PIUPARTS_MODE | AUTOPKGTEST_MODE => {
                (key, value.parse::<Mode>().map_err(invalid)?.to_string())
            }
            INTERNAL_APT_PRIORITY => {
                let priority: i32 = value.parse().map_err(|_| invalid("is no number".into()))?;
                (key, priority.to_string())
            }
            AUTO_PORTS if architecture.is_some() => {
                return Err(invalid("is not for one architecture".into()));
            }
            AUTO_PORTS => {
                for name in names_of(value) {
                    let _: Diststr = name.parse().map_err(|fault| invalid(format!("{fault}")))?;
                }
                (key, value.to_owned())
            }
            DEB_BUILD_OPTIONS | DEB_BUILD_PROFILES | ADD_DEPENDS => (key, value.to_owned()),
            "ignore-lintian" => {
                let mode = if boolean(value).map_err(invalid)? {
                    Mode::Ignore
                } else {
                    Mode::Errfail
                };
                (LINTIAN_MODE, mode.to_string())
            }
            "run-lintian" => {
                let mode = if boolean(value).map_err(invalid)? {
                    Mode::Errfail
                } else {
                    Mode::Disabled
                };
                (LINTIAN_MODE, mode.to_string())
            }
            unknown => return Err(Error::Unknown(unknown.to_owned())),
        };
        Ok(UploadOption {
            key: key.to_owned(),
            architecture,
            value,
        })
    }
}

impl std::fmt::Display for UploadOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.key)?;
        match &self.architecture {
            Some(architecture) => write!(f, "[{architecture}]"),
            None => Ok(()),
        }
    }
}

/// Bullets of the entry, each in one line: wrapped lines are joined by one blank.
fn items(entry: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut in_item = false;
    for line in entry.lines() {
        let text = line.trim();
        let bullet = ["* ", "- ", "+ "]
            .iter()
            .find_map(|mark| text.strip_prefix(mark));
        if let Some(bullet) = bullet {
            items.push(bullet.trim().to_owned());
            in_item = true;
        } else if text.is_empty() || text == "." || text.starts_with("[ ") {
            in_item = false;
        } else if let Some(item) = items.last_mut().filter(|_| in_item) {
            item.push(' ');
            item.push_str(text);
        }
    }
    for item in &mut items {
        if item.ends_with('.') {
            item.pop();
        }
    }
    items
}

fn names_of(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("is neither true nor false".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &str) -> Result<UploadOptions, String> {
        UploadOptions::parse(lines).map_err(|error| error.to_string())
    }

    fn get<'a>(options: &'a UploadOptions, key: &str, architecture: &str) -> Option<&'a str> {
        options.get(key, &architecture.parse().unwrap())
    }

    #[test]
    fn the_architectures_own_value_beats_the_plain_one() {
        let options = parse(
            ".
  [ Upl ]
  * MINI_BUILDD_OPTION: lintian-mode=ignore
  * MINI_BUILDD_OPTION: lintian-mode[i386]=Disabled
  * MINI_BUILDD_OPTION: internal-apt-priority[amd64]=500
  * Something about MINI_BUILDD_OPTION: nosuch=1
  * Rebuild.
.
",
        )
        .unwrap();
        assert_eq!(get(&options, LINTIAN_MODE, "amd64"), Some("IGNORE"));
        let mode = options.mode(LINTIAN_MODE, &"i386".parse().unwrap());
        assert_eq!(mode, Some(Mode::Disabled));
        assert_eq!(
            options.internal_apt_priority(&"amd64".parse().unwrap()),
            Some(500)
        );
        assert_eq!(
            options.internal_apt_priority(&"i386".parse().unwrap()),
            None
        );
        assert_eq!(get(&options, ADD_DEPENDS, "amd64"), None);
    }

    #[test]
    fn values_keep_blanks_and_equal_signs() {
        let options = parse(
            "  * MINI_BUILDD_OPTION: deb-build-options=nocheck nodoc parallel=4
  * MINI_BUILDD_OPTION: add-depends=foo (>= 1.2), bar
    (<< 2.0*), baz.
  * MINI_BUILDD_OPTION: auto-ports=trixie-test-unstable,
    bookworm-test-unstable
",
        )
        .unwrap();
        assert_eq!(
            get(&options, DEB_BUILD_OPTIONS, "amd64"),
            Some("nocheck nodoc parallel=4")
        );
        assert_eq!(
            get(&options, ADD_DEPENDS, "amd64"),
            Some("foo (>= 1.2), bar (<< 2.0*), baz")
        );
        let ports: Vec<String> = options
            .auto_ports()
            .iter()
            .map(Diststr::to_string)
            .collect();
        assert_eq!(ports, ["trixie-test-unstable", "bookworm-test-unstable"]);
    }

    #[test]
    fn deprecated_keys_become_todays() {
        for (line, key, value) in [
            (
                "MINI_BUILDD_OPTION: ignore-lintian=True",
                LINTIAN_MODE,
                "IGNORE",
            ),
            (
                "MINI_BUILDD_OPTION: ignore-lintian=false",
                LINTIAN_MODE,
                "ERRFAIL",
            ),
            (
                "MINI_BUILDD_OPTION: run-lintian=true",
                LINTIAN_MODE,
                "ERRFAIL",
            ),
            (
                "MINI_BUILDD_OPTION: run-lintian=false",
                LINTIAN_MODE,
                "DISABLED",
            ),
            ("MINI_BUILDD: BACKPORT_MODE", LINTIAN_MODE, "IGNORE"),
            (
                "MINI_BUILDD: AUTO_BACKPORTS: sid-test-unstable",
                AUTO_PORTS,
                "sid-test-unstable",
            ),
        ] {
            let options = parse(&format!("  * {line}\n")).unwrap();
            assert_eq!(get(&options, key, "amd64"), Some(value), "{line}");
        }
    }

    #[test]
    fn faults_are_named_in_stocks_words() {
        for (text, error) in [
            ("nosuch=1", "Unknown upload option: nosuch"),
            (
                "lintian-mode=maybe",
                "Invalid upload option value: lintian-mode=maybe: ",
            ),
            (
                "lintian-mode",
                "Invalid upload option value: lintian-mode=: there is no =",
            ),
            (
                "lintian-mode[]=ignore",
                "Invalid upload option value: lintian-mode[]=ignore: ",
            ),
            (
                "lintian-mode[../x]=ignore",
                "Invalid upload option value: lintian-mode[../x]=ignore: ",
            ),
            (
                "internal-apt-priority=high",
                "Invalid upload option value: internal-apt-priority=high: ",
            ),
            (
                "auto-ports=unstable",
                "Invalid upload option value: auto-ports=unstable: distribution \"unstable\"",
            ),
            (
                "auto-ports[amd64]=sid-test-unstable",
                "Invalid upload option value: auto-ports=",
            ),
            (
                "ignore-lintian=maybe",
                "Invalid upload option value: ignore-lintian=maybe: ",
            ),
        ] {
            let fault = parse(&format!("  * MINI_BUILDD_OPTION: {text}\n")).unwrap_err();
            assert!(fault.starts_with(error), "{fault}");
        }
        let twice = "* MINI_BUILDD_OPTION: lintian-mode[i386]=ignore\n".repeat(2);
        assert_eq!(
            parse(&twice).unwrap_err(),
            "Duplicate upload option: lintian-mode[i386]"
        );
    }

    #[test]
    fn options_survive_the_database() {
        let options = parse("* MINI_BUILDD_OPTION: lintian-mode[i386]=ignore\n").unwrap();
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(
            serde_json::from_str::<UploadOptions>(&text).unwrap(),
            options
        );
    }
}
