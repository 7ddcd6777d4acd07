//! Words that become parts of paths: validated on the way in (`^[A-Za-z0-9][A-Za-z0-9+.~_:-]*$`, bounded).
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;

macro_rules! word {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(_text: &str) -> Result<Self, Error> {
                todo!()
            }
        }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
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
    /// Name of a source or binary package (Policy 5.6.1, 5.6.7).
    PackageName
);
word!(
    /// One word of an Architecture field: `amd64`, `all`, `source` (Policy 5.6.8).
    Architecture
);
word!(
    /// Name of a release of a distribution: `trixie`.
    Codename
);
word!(
    /// Last part of a distribution string: `unstable`.
    Suite
);
word!(
    /// Area of an archive: `main`.
    Component
);
word!(
    /// File name without any directory.
    FileName
);
