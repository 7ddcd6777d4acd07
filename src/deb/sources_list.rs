use std::fmt;

use serde::{Deserialize, Serialize};

use super::Error;

/// One apt source (sources.list(5)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `deb` or `deb-src`.
    pub types: Vec<String>,
    pub uri: String,
    pub suite: String,
    pub components: Vec<String>,
    /// Option names as in the one-line style: `signed-by`, `check-valid-until`.
    pub options: Vec<(String, String)>,
}

impl Source {
    /// Reads one-line style files; comments are skipped.
    pub fn parse_list(_text: &str) -> Result<Vec<Source>, Error> {
        todo!()
    }
    /// Reads deb822 style files; disabled stanzas are skipped.
    pub fn parse_deb822(_text: &str) -> Result<Vec<Source>, Error> {
        todo!()
    }
    /// The stanza of a .sources file.
    pub fn to_deb822(&self) -> String {
        todo!()
    }
}

/// Writes one line a type in one-line style; brackets are always there, as stock has it: `deb [] URI SUITE main`.
impl fmt::Display for Source {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
