use std::io::Read;

use super::{Architecture, Error, PackageName, Paragraph, Version};

/// Control paragraph of a .deb (deb(5), deb-control(5)).
#[derive(Clone, Debug)]
pub struct BinaryPackage {
    pub paragraph: Paragraph,
    pub name: PackageName,
    pub version: Version,
    pub architecture: Architecture,
    /// Source package and version; those of the binary where it names none.
    pub source: PackageName,
    pub source_version: Version,
}

impl BinaryPackage {
    /// Reads a .deb: control.tar{,.gz,.xz,.zst} within bounds, nothing is unpacked.
    pub fn read(_deb: &mut dyn Read) -> Result<BinaryPackage, Error> {
        todo!()
    }
    /// Paths of the data archive in its order, for Contents indices.
    pub fn read_file_list(_deb: &mut dyn Read) -> Result<Vec<String>, Error> {
        todo!()
    }
}
