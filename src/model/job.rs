//! An upload's way as data: states and the one decision, no doing.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, FileName};
use crate::model::{BuildKey, Buildresult, Diststr, PackageKey};

/// An upload that was accepted at the door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packaging {
    pub key: PackageKey,
    /// As in the upload; meta names stay.
    pub distribution: String,
    /// The upload's Architecture field, part of its directory: `source`, `source amd64`.
    pub architecture: String,
    /// Name of the upload's .changes.
    pub changes: FileName,
    /// After the meta map.
    pub diststr: Option<Diststr>,
    pub state: PackagingState,
    /// What was asked of whom.
    pub builds: BTreeMap<Architecture, BuildState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PackagingState {
    /// Files are in the events path; the packager has not looked yet.
    Accepted,
    /// Buildrequests are out.
    Packaging,
    Installed,
    Failed {
        error: String,
    },
    Rejected {
        error: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildState {
    /// Signed and staged, not known to have arrived.
    Requested {
        builder: String,
        optional: bool,
    },
    Sent {
        builder: String,
        optional: bool,
    },
    Done {
        builder: String,
        optional: bool,
        result: Box<Buildresult>,
    },
}

/// What is to be done with a packaging whose results are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Install,
    /// With the reason, in stock's words.
    Fail(String),
}

impl BuildState {
    /// HTTP URL of the builder that was asked.
    pub fn builder(&self) -> &str {
        match self {
            BuildState::Requested { builder, .. }
            | BuildState::Sent { builder, .. }
            | BuildState::Done { builder, .. } => builder,
        }
    }
    pub fn is_optional(&self) -> bool {
        match self {
            BuildState::Requested { optional, .. }
            | BuildState::Sent { optional, .. }
            | BuildState::Done { optional, .. } => *optional,
        }
    }
}

impl Packaging {
    /// Key of the upload itself.
    pub fn upload(&self) -> BuildKey {
        self.key.build(&self.architecture)
    }
    /// `None`: still waiting for results.
    pub fn outcome(&self) -> Option<Outcome> {
        todo!()
    }
}
