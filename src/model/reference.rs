//! What items are called, and how one names another.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Kinds of what administrators configure, in the order in which they depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Archive,
    AptKey,
    Source,
    Distribution,
    Layout,
    EmailAddress,
    Repository,
    Chroot,
    Uploader,
    Remote,
    Daemon,
}

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::Archive,
        Kind::AptKey,
        Kind::Source,
        Kind::Distribution,
        Kind::Layout,
        Kind::EmailAddress,
        Kind::Repository,
        Kind::Chroot,
        Kind::Uploader,
        Kind::Remote,
        Kind::Daemon,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Archive => "archive",
            Kind::AptKey => "apt_key",
            Kind::Source => "source",
            Kind::Distribution => "distribution",
            Kind::Layout => "layout",
            Kind::EmailAddress => "email_address",
            Kind::Repository => "repository",
            Kind::Chroot => "chroot",
            Kind::Uploader => "uploader",
            Kind::Remote => "remote",
            Kind::Daemon => "daemon",
        }
    }

    /// Tells whether there is something to prepare, to check and to activate; the others are mere settings of these.
    pub fn has_status(self) -> bool {
        !matches!(
            self,
            Kind::Archive | Kind::Distribution | Kind::Layout | Kind::EmailAddress
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Kind, String> {
        let known = || Kind::ALL.map(Kind::as_str).join(", ");
        Kind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("no kind of item is called {text:?}; there is: {}", known()))
    }
}

/// The name of an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    pub kind: Kind,
    pub name: String,
}

impl Reference {
    pub fn new(kind: Kind, name: impl Into<String>) -> Reference {
        Reference {
            kind,
            name: name.into(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::Daemon {
            return self.kind.fmt(f);
        }
        write!(f, "{} {}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind.as_str());
        }
        let fault = "printer".parse::<Kind>().unwrap_err();
        assert!(fault.contains("apt_key"), "{fault}");
    }
}
