//! Options on how a new instance keeps its chroots.
use clap::{Args, ValueEnum};

use crate::model::chroot::{Backend, Compression};

#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(super) struct Options {
    /// How a new instance keeps its chroots; auto is the fastest that works here.
    #[arg(long, value_enum, default_value = "auto", value_name = "KIND")]
    backend: Kind,
    /// Compression of a chroot's archive, for --backend=file.
    #[arg(long, value_enum, default_value = "zstd", value_name = "FORMAT")]
    compression: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Auto,
    /// Directories; sessions are overlays on them (overlayfs).
    Dir,
    /// A tar archive, unpacked for each session.
    File,
    /// Subvolumes; sessions are snapshots of them.
    Btrfs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Options {
    /// `None`: whatever is best.
    pub(super) fn wanted(&self) -> Option<Backend> {
        let compression = match self.compression {
            Format::None => Compression::None,
            Format::Gzip => Compression::Gzip,
            Format::Bzip2 => Compression::Bzip2,
            Format::Xz => Compression::Xz,
            Format::Zstd => Compression::Zstd,
        };
        match self.backend {
            Kind::Auto => None,
            Kind::Dir => Some(Backend::Dir),
            Kind::File => Some(Backend::File { compression }),
            Kind::Btrfs => Some(Backend::BtrfsSnapshot),
        }
    }
}
