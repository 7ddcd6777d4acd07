use std::fmt;

use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, Codename};
use crate::model::{Invalid, Item, Kind, Reference, invalid, is_one_line};

/// What administrators keep; builds see snapshots of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chroot {
    pub codename: Codename,
    pub architecture: Architecture,
    /// Name of the [`crate::model::Source`] it is bootstrapped from.
    pub source: String,
    pub backend: Backend,
    /// Extra options for debootstrap.
    #[serde(default)]
    pub debootstrap_extra_options: Vec<String>,
}

/// Kinds of storage, in stock's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backend {
    /// Its union type is overlay, the only one that kernels still have.
    Dir,
    File {
        compression: Compression,
    },
    BtrfsSnapshot,
}

/// How a chroot's tar archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl fmt::Display for Backend {
    /// As the command line has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Dir => f.write_str("dir"),
            Backend::File { compression } => write!(f, "file ({compression})"),
            Backend::BtrfsSnapshot => f.write_str("btrfs"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Bzip2 => "bzip2",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
        })
    }
}

impl Item for Chroot {
    const KIND: &'static str = Kind::Chroot.as_str();
    /// `trixie:amd64`
    fn name(&self) -> String {
        format!("{}:{}", self.codename, self.architecture)
    }
    fn validate(&self) -> Result<(), Invalid> {
        if !self.architecture.is_machine() {
            let fault = format!("{} is no machine", self.architecture);
            return Err(invalid(self, "architecture", fault));
        }
        let options = &self.debootstrap_extra_options;
        if !options
            .iter()
            .all(|option| option.starts_with("--") && is_one_line(option))
        {
            let fault = "each must begin with --";
            return Err(invalid(self, "debootstrap_extra_options", fault));
        }
        Ok(())
    }
    fn references(&self) -> Vec<Reference> {
        vec![Reference::new(Kind::Source, &self.source)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_cannot_be_an_argument() {
        let mut chroot = Chroot {
            codename: "trixie".parse().unwrap(),
            architecture: "amd64".parse().unwrap(),
            source: "Debian:trixie".into(),
            backend: Backend::Dir,
            debootstrap_extra_options: vec!["--include=realpath".into()],
        };
        assert_eq!(chroot.name(), "trixie:amd64");
        assert_eq!(chroot.validate(), Ok(()));
        chroot.debootstrap_extra_options.push("/etc".into());
        assert!(chroot.validate().is_err());
        chroot.architecture = "all".parse().unwrap();
        assert_eq!(chroot.validate().unwrap_err().field, "architecture");
    }
}
