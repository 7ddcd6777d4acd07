//! What a packager asks of this instance's builder.
use std::path::PathBuf;

use super::admission::{Admission, Letter, News, verify_files};
use super::directory::Directory;
use super::fault::{Fault, Stop};
use crate::deb::Changes;
use crate::home::Home;
use crate::model::{BuildKey, Buildrequest};
use crate::store::Transaction;
use crate::store::jobs::{self, Build, BuilderState};

pub(super) struct Request {
    changes: Changes,
    key: BuildKey,
    build: Build,
    /// Our own packager asks.
    is_own: bool,
}

/// What a request means to a builder.
enum Task {
    New,
    /// Who asks again has not got the answer that was sent.
    AnswerAgain(Box<Build>),
}

impl Request {
    pub(super) fn authorize(letter: &Letter<'_>) -> Result<Request, Stop> {
        let peer = letter.peer()?;
        let request =
            Buildrequest::from_changes(&peer.changes).map_err(|source| letter.fault(source))?;
        letter.check_name(&request.file_name())?;
        let (builder, own) = (&request.builder, letter.http_url);
        if !peer.peers.may_ask(&peer.fingerprint, builder, own) {
            return Err(Fault::OtherBuilder {
                key: Box::new(request.key()),
                builder: builder.clone(),
                own: own.into(),
            }
            .into());
        }
        Ok(Request {
            key: request.key(),
            is_own: letter.own.holds(&peer.fingerprint),
            changes: peer.changes,
            build: Build {
                request,
                digest: letter.digest(),
                requester: peer.fingerprint,
                attempts: 0,
                state: BuilderState::Queued,
            },
        })
    }

    /// `None`: it is under way.
    fn task(&self, tx: &Transaction<'_>) -> Result<Option<Task>, Stop> {
        match jobs::build(tx, &self.key)? {
            None => Ok(Some(Task::New)),
            Some(known) if known.digest != self.build.digest => {
                Err(Fault::Replayed(self.key.clone()).into())
            }
            Some(known) if known.state == BuilderState::Uploaded => {
                Ok(Some(Task::AnswerAgain(Box::new(Build {
                    state: BuilderState::Built,
                    ..known
                }))))
            }
            Some(_) => Ok(None),
        }
    }
}

impl Admission for Request {
    fn changes(&self) -> &Changes {
        &self.changes
    }

    fn place(&self, home: &Home) -> PathBuf {
        home.build_directory(&self.key)
    }

    fn is_wanted(&self, tx: &Transaction<'_>) -> Result<bool, Stop> {
        Ok(matches!(self.task(tx)?, Some(Task::New)))
    }

    fn verify(&self, staging: &Directory) -> Result<(), Stop> {
        let tar = format!("{}.tar", self.build.request.file_name());
        verify_files(staging, &self.changes, &[tar]).map_err(|stop| {
            if self.is_own {
                stop.about(&self.key)
            } else {
                stop
            }
        })
    }

    fn commit(&self, tx: &Transaction<'_>) -> Result<Option<News>, Stop> {
        match self.task(tx)? {
            Some(Task::New) => jobs::put_build(tx, &self.build)?,
            Some(Task::AnswerAgain(build)) => jobs::put_build(tx, &build)?,
            None => return Ok(None),
        }
        Ok(Some(News::Builder(self.key.clone())))
    }
}
