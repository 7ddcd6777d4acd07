//! What is wrong with a message, in words for whom sent it.
use super::refusal::Refusal;
use crate::deb::{self, FileName};
use crate::model::BuildKey;
use crate::pgp;

/// Each ends in quarantine and REJECTED; the text names the field or file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{changes}: longer than {limit} bytes")]
    TooLong { changes: FileName, limit: u64 },
    #[error("{changes}: can't be read: {fault}")]
    Unreadable { changes: FileName, fault: String },
    #[error("GnuPG authorization failed: {0}")]
    Signature(pgp::Error),
    #[error(
        "GnuPG authorization failed: key {fingerprint} ({user_id}) may not upload to repository '{repository}'"
    )]
    NotAllowed {
        fingerprint: String,
        user_id: String,
        repository: String,
    },
    #[error("{changes}: {source}")]
    Text {
        changes: FileName,
        source: deb::Error,
    },
    #[error("Files: {0} is missing in the upload")]
    Missing(FileName),
    #[error("Files: {0} is listed twice")]
    Twice(FileName),
    #[error("Files: {name}: {fault}")]
    File { name: FileName, fault: String },
    #[error("Checksums-Sha256: {0} is not listed")]
    NoSha256(FileName),
    #[error("Files: {0} is not part of such a message")]
    Extra(FileName),
    #[error("Files: more than one .dsc: {0}")]
    SeveralDsc(String),
    #[error("{dsc}: {fault}")]
    Dsc { dsc: FileName, fault: String },
    #[error("X-Mini-Buildd-Timecode: only messages between instances have it")]
    NotAnUpload,
    #[error("{changes}: its fields make the name {expected}")]
    Name {
        changes: FileName,
        expected: FileName,
    },
    #[error("Stray buildresult: {0} is not being packaged here")]
    Stray(BuildKey),
    #[error("Architecture: {0} was not asked for")]
    NotAsked(BuildKey),
    #[error(
        "GnuPG authorization failed: {key} was asked of {builder}, but key {fingerprint} signed the result"
    )]
    WrongBuilder {
        key: Box<BuildKey>,
        builder: String,
        fingerprint: String,
    },
    #[error(
        "X-Mini-Buildd-Builder: {key} is asked of {builder}, which is not this instance, {own}"
    )]
    OtherBuilder {
        key: Box<BuildKey>,
        builder: String,
        own: String,
    },
    #[error("X-Mini-Buildd-Timecode: {0} was taken already, with other content")]
    Replayed(BuildKey),
}

impl Fault {
    /// Tells whether the files are at fault, not what was signed: sent again, the message may be good.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Fault::Unreadable { .. } | Fault::Missing(_) | Fault::File { .. }
        )
    }
}

/// Why a message is not taken now: its own fault, or ours.
#[derive(Debug)]
pub enum Stop {
    Refused(Box<Refusal>),
    Failed(Box<super::Error>),
}

impl Stop {
    /// Names the build that a refused message was about.
    pub fn about(mut self, build: &BuildKey) -> Stop {
        if let Stop::Refused(refusal) = &mut self {
            refusal.builds.push(build.clone());
        }
        self
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Refused(Box::new(Refusal {
            fault,
            builds: Vec::new(),
        }))
    }
}
impl From<super::Error> for Stop {
    fn from(error: super::Error) -> Stop {
        Stop::Failed(Box::new(error))
    }
}
impl From<crate::store::Error> for Stop {
    fn from(error: crate::store::Error) -> Stop {
        Stop::Failed(Box::new(error.into()))
    }
}
