//! Why an upload that came through the door is not packaged.
use crate::deb::{FileName, Version};
use crate::model::diststr::Malformed;
use crate::model::{upload_options, version_scheme};
use crate::remotes::NoBuilder;

/// Each ends REJECTED, in stock's words where stock has them.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    #[error("Distribution: {0}")]
    Malformed(#[from] Malformed),
    #[error("Distribution '{distribution}': no repository '{repository}'")]
    NoRepository {
        distribution: String,
        repository: String,
    },
    #[error("Distribution '{distribution}': no codename '{codename}' in repository '{repository}'")]
    NoCodename {
        distribution: String,
        repository: String,
        codename: String,
    },
    #[error("Distribution '{distribution}': no suite '{suite}' in layout '{layout}'")]
    NoSuite {
        distribution: String,
        suite: String,
        layout: String,
    },
    #[error("Distribution '{0}' not uploadable")]
    NotUploadable(String),
    #[error("Distribution '{distribution}': {item} is not active")]
    NotActive { distribution: String, item: String },
    #[error("Version: {0}")]
    Version(#[from] version_scheme::Error),
    #[error("Version: Source already installed: {source_package} {version} in {diststr}")]
    AlreadyInstalled {
        source_package: String,
        version: Version,
        diststr: String,
    },
    #[error("Version: {version} is lower than {installed}, which is in {diststr}")]
    Lower {
        version: Version,
        installed: Version,
        diststr: String,
    },
    #[error("Version: {source_package} {version} is already being packaged")]
    Ongoing {
        source_package: String,
        version: Version,
    },
    #[error("Files: Missing DSC file in {0} (uploaded with -b/-B?)")]
    NoDsc(FileName),
    #[error("{dsc}: {fault}")]
    Dsc { dsc: FileName, fault: String },
    #[error("{dsc}: Files: {name} is neither in the upload nor in the pool")]
    MissingFile { dsc: FileName, name: FileName },
    #[error("{dsc}: MD5 mismatch in uploaded DSC vs. pool: {name}: {fault}")]
    PoolMismatch {
        dsc: FileName,
        name: FileName,
        fault: String,
    },
    #[error("Changes: {0}")]
    Options(#[from] upload_options::Error),
    #[error("{dsc}: Architecture: {architectures} builds nothing on {asked}")]
    NothingToBuild {
        dsc: FileName,
        architectures: String,
        asked: String,
    },
    #[error(transparent)]
    NoBuilder(#[from] NoBuilder),
}

impl Rejection {
    /// Status of its error object (RFC 7807), as stock has it.
    pub fn status(&self) -> u16 {
        match self {
            Rejection::NotActive { .. } | Rejection::NoBuilder(_) => 503,
            Rejection::Malformed(_)
            | Rejection::NoRepository { .. }
            | Rejection::NoCodename { .. }
            | Rejection::NoSuite { .. }
            | Rejection::NotUploadable(_)
            | Rejection::Version(_)
            | Rejection::AlreadyInstalled { .. }
            | Rejection::Lower { .. }
            | Rejection::Ongoing { .. }
            | Rejection::NoDsc(_)
            | Rejection::Dsc { .. }
            | Rejection::MissingFile { .. }
            | Rejection::PoolMismatch { .. }
            | Rejection::Options(_)
            | Rejection::NothingToBuild { .. } => 400,
        }
    }
}
