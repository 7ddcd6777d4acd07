use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::deb::{FileName, Version};
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::pgp;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error("can't {action} {path}")]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{file} is malformed")]
    Malformed {
        file: String,
        source: crate::deb::Error,
    },
    #[error("can't take the signature off {file}")]
    Signature { file: String, source: pgp::Error },
    #[error("{file}: {fault}")]
    Fault { file: String, fault: String },
    #[error("{file}: {fault} in {dsc}")]
    Checksum {
        file: FileName,
        fault: String,
        dsc: FileName,
    },
    #[error("{file}, which {dsc} lists, is missing")]
    Missing { file: FileName, dsc: FileName },
    #[error("{path} is in the pool with other content (SHA-256 {present}, new file {wanted})")]
    OtherContent {
        path: String,
        present: String,
        wanted: String,
    },
    #[error(
        "{package} would take the place of version {version} from source {source_name}, which is not lower"
    )]
    Takeover {
        package: String,
        source_name: String,
        version: String,
    },
    #[error("{path} has gone from the pool since it was prepared")]
    Unprepared { path: String },
    #[error("{package} is in the repository with other files")]
    OtherFiles { package: String },
    #[error("{package} is in {diststr} with other binaries")]
    OtherBinaries { package: String, diststr: Diststr },
    #[error("{diststr} has {present} already, which is higher than {package}")]
    Lower {
        package: String,
        diststr: Box<Diststr>,
        present: Version,
    },
    #[error("{diststr} has {package} already; remove it first")]
    Present { package: String, diststr: Diststr },
    #[error("{diststr} has a snapshot {name} already")]
    SnapshotExists { name: String, diststr: Diststr },
    #[error("{diststr} has no snapshot {name}")]
    NoSnapshot { name: String, diststr: Diststr },
    #[error("nothing is known of {diststr} at {at}: {}", super::moment::known_since(*since))]
    NoState {
        diststr: Diststr,
        at: Timestamp,
        since: Option<Timestamp>,
    },
    #[error(
        "more than {limit} states of the past were asked for in {seconds} seconds; try again later"
    )]
    TooMany { limit: usize, seconds: u64 },
    #[error("{package} is not in {diststr}")]
    NotThere { package: String, diststr: Diststr },
    #[error("{package} is in {diststr} in several versions ({versions}); name one with --version")]
    Ambiguous {
        package: String,
        diststr: Box<Diststr>,
        versions: String,
    },
    #[error("{diststr} is no distribution of repository {repository}")]
    UnknownDist {
        diststr: Diststr,
        repository: Identity,
    },
    #[error("{diststr} has no {missing}")]
    NotInDist {
        diststr: Diststr,
        /// `component universe, which hello 1.0 amd64 needs`
        missing: String,
    },
    #[error("can't sign the Release file of {dist}")]
    Sign { dist: String, source: pgp::Error },
    #[error("the database has a malformed {what}: {value:?}")]
    Row { what: &'static str, value: String },
}

impl Error {
    /// Tells whether who asked can mend it: by another question, other files, or by waiting.
    pub fn is_mistake(&self) -> bool {
        match self {
            Error::Store(_)
            | Error::File { .. }
            | Error::Unprepared { .. }
            | Error::Sign { .. }
            | Error::Row { .. } => false,
            Error::Malformed { .. }
            | Error::Signature { .. }
            | Error::Fault { .. }
            | Error::Checksum { .. }
            | Error::Missing { .. }
            | Error::OtherContent { .. }
            | Error::Takeover { .. }
            | Error::OtherFiles { .. }
            | Error::OtherBinaries { .. }
            | Error::Lower { .. }
            | Error::Present { .. }
            | Error::SnapshotExists { .. }
            | Error::NoSnapshot { .. }
            | Error::NoState { .. }
            | Error::TooMany { .. }
            | Error::NotThere { .. }
            | Error::Ambiguous { .. }
            | Error::UnknownDist { .. }
            | Error::NotInDist { .. } => true,
        }
    }
}
