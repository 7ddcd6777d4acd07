use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::FileName;

/// Size and digests (lower-case hexadecimal) of a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksums {
    pub size: u64,
    pub md5: String,
    pub sha1: String,
    pub sha256: String,
}

impl Checksums {
    /// Reads to the end, computing all digests in one pass.
    pub fn of(_reader: &mut dyn Read) -> io::Result<Checksums> {
        todo!()
    }
}

/// A file that a .dsc or .changes lists, merged from Files, Checksums-Sha1 and Checksums-Sha256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    pub name: FileName,
    pub size: u64,
    pub md5: Option<String>,
    pub sha1: Option<String>,
    pub sha256: Option<String>,
    /// Only in a .changes.
    pub section: Option<String>,
    pub priority: Option<String>,
}

impl ListedFile {
    /// Names the first thing in which `actual` differs: `Checksums-Sha256: expected …, got …`.
    pub fn compare(&self, _actual: &Checksums) -> Result<(), String> {
        todo!()
    }
}
