//! Stock's names for how chroots are kept.
use serde::{Deserialize, Serialize};

use crate::model::chroot::{Backend, Compression};

/// How new chroots are kept, in stock's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendName {
    #[default]
    Dir,
    File,
    BtrfsSnapshot,
}

impl BackendName {
    pub const ALL: [(&'static str, BackendName); 3] = [
        ("Dir", BackendName::Dir),
        ("File", BackendName::File),
        ("BtrfsSnapshot", BackendName::BtrfsSnapshot),
    ];

    /// What stock calls a chroot that is kept so.
    pub(super) fn class(self) -> &'static str {
        match self {
            BackendName::Dir => "DirChroot",
            BackendName::File => "FileChroot",
            BackendName::BtrfsSnapshot => "BtrfsSnapshotChroot",
        }
    }
}

impl From<BackendName> for Backend {
    fn from(name: BackendName) -> Backend {
        match name {
            BackendName::Dir => Backend::Dir,
            BackendName::File => Backend::File {
                compression: Compression::Zstd,
            },
            BackendName::BtrfsSnapshot => Backend::BtrfsSnapshot,
        }
    }
}

impl From<Backend> for BackendName {
    fn from(backend: Backend) -> BackendName {
        match backend {
            Backend::Dir => BackendName::Dir,
            Backend::File { .. } => BackendName::File,
            Backend::BtrfsSnapshot => BackendName::BtrfsSnapshot,
        }
    }
}
