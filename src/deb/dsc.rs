use std::str::FromStr;

use super::{Error, ListedFile, PackageName, Paragraph, Version};

/// Source package control file (Policy 5.4, dsc(5)).
#[derive(Clone, Debug)]
pub struct Dsc {
    pub paragraph: Paragraph,
    pub source: PackageName,
    pub version: Version,
    /// Words of Architecture, wildcards included: `any`, `all`, `linux-any`.
    pub architectures: Vec<String>,
    pub binaries: Vec<PackageName>,
    pub files: Vec<ListedFile>,
}

impl Dsc {
    /// Tells whether anything is to be built for `architecture`, or, with `all`, architecture-independently.
    pub fn builds_for(&self, _architecture: &super::Architecture, _all: bool) -> bool {
        todo!()
    }
}

/// Parses the signed text, or what the verifier returned of it; armor is refused.
impl FromStr for Dsc {
    type Err = Error;
    fn from_str(_text: &str) -> Result<Self, Error> {
        todo!()
    }
}
