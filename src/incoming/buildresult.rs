//! What a builder answers.
use std::path::PathBuf;

use super::Arrival;
use super::admission::{Admission, FromPeer, Letter, News, verify_files};
use super::directory::Directory;
use super::fault::{Fault, Stop};
use crate::deb::Changes;
use crate::home::Home;
use crate::model::job::{BuildState, Packaging, PackagingState};
use crate::model::{BuildKey, Buildresult};
use crate::store::{Transaction, jobs};

const BUILDRESULT: &str = "buildresult";

pub(super) struct Answer {
    peer: FromPeer,
    key: BuildKey,
    result: Buildresult,
    digest: String,
}

impl Answer {
    pub(super) fn authorize(letter: &Letter<'_>) -> Result<Answer, Stop> {
        let peer = letter.peer()?;
        let result =
            Buildresult::from_changes(&peer.changes).map_err(|source| letter.fault(source))?;
        letter.check_name(&result.file_name())?;
        Ok(Answer {
            peer,
            key: result.key(),
            result,
            digest: letter.digest(),
        })
    }

    /// The packaging that waits for this result; `None`: it has exactly this one already.
    fn awaiting(&self, tx: &Transaction<'_>) -> Result<Option<Packaging>, Stop> {
        let key = || self.key.clone();
        let Some(packaging) = jobs::packaging(tx, &self.key.package)? else {
            return Err(Fault::Stray(key()).into());
        };
        let Some(build) = packaging.builds.get(&self.result.subject.architecture) else {
            return Err(Fault::NotAsked(key()).into());
        };
        self.check_signer(&build.builder)?;
        if let Some(known) = jobs::message_digest(tx, BUILDRESULT, &self.key)? {
            if known == self.digest {
                return Ok(None);
            }
            return Err(Fault::Replayed(key()).into());
        }
        match (&packaging.state, &build.state) {
            (PackagingState::Packaging, BuildState::Requested | BuildState::Sent) => {
                Ok(Some(packaging))
            }
            (
                PackagingState::Accepted
                | PackagingState::Packaging
                | PackagingState::Installed
                | PackagingState::Failed { .. }
                | PackagingState::Rejected { .. },
                _,
            ) => Err(Fault::Stray(key()).into()),
        }
    }

    fn check_signer(&self, builder: &str) -> Result<(), Fault> {
        if self.peer.peers.is_builder(&self.peer.fingerprint, builder) {
            return Ok(());
        }
        Err(Fault::WrongBuilder {
            key: Box::new(self.key.clone()),
            builder: builder.into(),
            fingerprint: self.peer.fingerprint.clone(),
        })
    }
}

impl Admission for Answer {
    fn changes(&self) -> &Changes {
        &self.peer.changes
    }

    fn place(&self, home: &Home) -> PathBuf {
        home.event_directory(&self.key)
    }

    fn is_wanted(&self, tx: &Transaction<'_>) -> Result<bool, Stop> {
        Ok(self.awaiting(tx)?.is_some())
    }

    fn verify(&self, staging: &Directory) -> Result<(), Stop> {
        let log = self.result.subject.buildlog();
        let log = log.rsplit('/').next().unwrap_or_default().to_owned();
        let tar = format!("{}.tar", self.result.file_name());
        verify_files(staging, &self.peer.changes, &[log, tar]).map_err(|stop| stop.about(&self.key))
    }

    fn commit(&self, tx: &Transaction<'_>) -> Result<Option<News>, Stop> {
        let Some(mut packaging) = self.awaiting(tx)? else {
            return Ok(None);
        };
        if let Some(build) = packaging.build_mut(&self.key) {
            build.state = BuildState::Done(Box::new(self.result.clone()));
        }
        jobs::put_packaging(tx, &packaging)?;
        jobs::put_message_digest(tx, BUILDRESULT, &self.key, &self.digest)?;
        let package = self.key.package.clone();
        Ok(Some(News::Packager(Arrival::Buildresult(package))))
    }
}
