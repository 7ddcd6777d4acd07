//! Debian's formats as types: parsed once where text comes in. No I/O.
//!
//! Reading order: [`name`] (words), [`paragraph`], [`version`], [`checksums`], then the files: [`dsc`], [`changes`],
//! [`buildinfo`], [`binary_package`], [`indexed`], [`changelog`], [`release`], [`sources_list`], [`distro_info`].
pub mod binary_package;
pub mod buildinfo;
pub mod changelog;
pub mod changes;
pub mod checksums;
pub mod distro_info;
pub mod dsc;
pub mod indexed;
pub mod name;
pub mod paragraph;
pub mod relation;
pub mod release;
pub mod sources_list;
pub mod version;

pub use binary_package::BinaryPackage;
pub use buildinfo::Buildinfo;
pub use changes::Changes;
pub use checksums::{Checksums, ListedFile, Summing, hexadecimal};
pub use dsc::Dsc;
pub use indexed::Indexed;
pub use name::{Architecture, Codename, Component, FileName, PackageName, Suite};
pub use paragraph::Paragraph;
pub use version::Version;

/// What is wrong with a text, and in which field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("missing field {0}")]
    MissingField(&'static str),
    #[error("field {field}: {fault}")]
    Field { field: String, fault: String },
    #[error("not a control file: {0}")]
    Syntax(String),
    /// A word that is to become part of a path.
    #[error("{kind} {word:?}: {fault}")]
    Word {
        kind: &'static str,
        word: String,
        fault: &'static str,
    },
    #[error("expected exactly one paragraph, found {0}")]
    Paragraphs(usize),
    #[error("not a .deb: {0}")]
    BinaryPackage(String),
}

impl Error {
    /// Names the field in which the fault was found.
    #[must_use]
    pub fn in_field(self, field: &str) -> Error {
        Error::Field {
            field: field.to_owned(),
            fault: self.to_string(),
        }
    }
}
