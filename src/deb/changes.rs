use std::str::FromStr;

use super::{Architecture, Error, ListedFile, PackageName, Paragraph, Version};

/// Upload control file (Policy 5.5, deb-changes(5)); also the frame of buildrequest and buildresult.
#[derive(Clone, Debug)]
pub struct Changes {
    pub paragraph: Paragraph,
    pub source: PackageName,
    pub version: Version,
    /// As written; meta-distributions are mapped later.
    pub distribution: String,
    /// Words of the Architecture field.
    pub architectures: Vec<Architecture>,
    pub files: Vec<ListedFile>,
}

/// Parses what the verifier returned; every word that is used in a path is validated.
impl FromStr for Changes {
    type Err = Error;
    fn from_str(_text: &str) -> Result<Self, Error> {
        todo!()
    }
}
