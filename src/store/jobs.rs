//! Jobs: messages received at the door, packagings, and builds of the builder. One row each, whole as JSON beside the
//! columns that are searched.
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::deb::FileName;
use crate::model::job::Packaging;
use crate::model::{BuildKey, Buildrequest, PackageKey, Timecode};

use super::{Error, Transaction};

/// A complete .changes in a staging directory, not yet taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub staging: PathBuf,
    pub changes: FileName,
    /// Time of arrival; becomes the upload's timecode.
    pub timecode: Timecode,
}

pub fn add_received(_tx: &Transaction<'_>, _received: &Received) -> Result<(), Error> {
    todo!()
}
pub fn received(_tx: &Transaction<'_>) -> Result<Vec<Received>, Error> {
    todo!()
}
pub fn received_in(_tx: &Transaction<'_>, _staging: &Path) -> Result<Vec<Received>, Error> {
    todo!()
}
pub fn remove_received(_tx: &Transaction<'_>, _received: &Received) -> Result<(), Error> {
    todo!()
}

/// Makes or replaces.
pub fn put_packaging(_tx: &Transaction<'_>, _packaging: &Packaging) -> Result<(), Error> {
    todo!()
}
pub fn packaging(_tx: &Transaction<'_>, _key: &PackageKey) -> Result<Option<Packaging>, Error> {
    todo!()
}
/// Those in state Accepted or Packaging, oldest first.
pub fn unfinished_packagings(_tx: &Transaction<'_>) -> Result<Vec<Packaging>, Error> {
    todo!()
}

/// A buildrequest that this builder took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub request: Buildrequest,
    /// SHA-256 of the buildrequest's .changes: the same again does nothing, another is refused.
    pub digest: String,
    /// Fingerprint of the key that signed it.
    pub requester: String,
    /// How many supervisors were started for it.
    #[serde(default)]
    pub attempts: u32,
    pub state: BuilderState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuilderState {
    Queued,
    /// A supervisor was started.
    Building,
    /// The buildresult is signed and lies in the build directory.
    Built,
    Uploaded,
}

/// Makes or replaces.
pub fn put_build(_tx: &Transaction<'_>, _build: &Build) -> Result<(), Error> {
    todo!()
}
pub fn build(_tx: &Transaction<'_>, _key: &BuildKey) -> Result<Option<Build>, Error> {
    todo!()
}
/// All that are not Uploaded, oldest first.
pub fn unfinished_builds(_tx: &Transaction<'_>) -> Result<Vec<Build>, Error> {
    todo!()
}

/// SHA-256 of a message that was taken under this key: same key and digest again is a repetition.
pub fn message_digest(
    _tx: &Transaction<'_>,
    _kind: &str,
    _key: &BuildKey,
) -> Result<Option<String>, Error> {
    todo!()
}
pub fn put_message_digest(
    _tx: &Transaction<'_>,
    _kind: &str,
    _key: &BuildKey,
    _digest: &str,
) -> Result<(), Error> {
    todo!()
}
