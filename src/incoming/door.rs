//! Takes the messages of closed connections.
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info};

use super::admission::{Admission, Letter, News};
use super::buildrequest::Request;
use super::buildresult::Answer;
use super::directory::Directory;
use super::fault::{Fault, Stop};
use super::upload::Upload;
use super::{Arrival, Error, row_name};
use crate::cause::with_causes;
use crate::deb::{Changes, FileName};
use crate::events::Events;
use crate::home::{FileError, Home};
use crate::keys::Keys;
use crate::model::BuildKey;
use crate::model::message::MessageKind;
use crate::store::catalog::Catalog;
use crate::store::jobs::{self, Received};
use crate::store::{Store, Transaction};

/// A longer .changes is refused.
pub(super) const CHANGES_LIMIT: u64 = 4 << 20;
/// How long a message waits that can't be taken for a reason of ours.
const RETRY: Duration = Duration::from_secs(30);

/// Staging directories that are taken side by side.
const MOST_AT_ONCE: usize = 4;

pub struct Door {
    pub home: Home,
    pub store: Arc<Store>,
    pub keys: Arc<Keys>,
    /// By which buildrequests name us.
    pub http_url: String,
    pub events: Arc<Events>,
    pub packager: mpsc::UnboundedSender<Arrival>,
    pub builder: mpsc::UnboundedSender<BuildKey>,
    /// Held while files move to their place and the row that tells of them is written.
    pub settling: Mutex<()>,
}

/// Takes staging directories from `closed` until `shutdown`, some at once: sums of large uploads take their time.
pub async fn run(
    door: Arc<Door>,
    mut closed: mpsc::UnboundedReceiver<PathBuf>,
    again: mpsc::UnboundedSender<PathBuf>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut taking = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = shutdown.changed() => break,
            Some(_) = taking.join_next() => {}
            staging = closed.recv(), if taking.len() < MOST_AT_ONCE => match staging {
                Some(staging) => {
                    taking.spawn(take(Arc::clone(&door), staging, again.clone()));
                }
                None => break,
            },
        }
    }
    while taking.join_next().await.is_some() {}
}

async fn take(door: Arc<Door>, staging: PathBuf, again: mpsc::UnboundedSender<PathBuf>) {
    let path = staging.clone();
    let taken = tokio::task::spawn_blocking(move || door.take(&path)).await;
    let fault = match taken {
        Ok(Ok(())) => return,
        Ok(Err(error)) => with_causes(&error),
        Err(panicked) => panicked.to_string(),
    };
    error!(staging = %staging.display(), error = fault, "can't take what was received");
    tokio::spawn(async move {
        tokio::time::sleep(RETRY).await;
        // Without a receiver the daemon is stopping; the next start finds it.
        let _ = again.send(staging);
    });
}

impl Door {
    /// Takes all messages of a staging directory, then deletes it. After a crash in the middle it is run again.
    pub fn take(&self, staging: &Path) -> Result<(), Error> {
        let row_name = row_name(staging);
        let messages = self.store.read(|tx| jobs::received_in(tx, &row_name))?;
        if !messages.is_empty() {
            let directory = Directory::create(staging).map_err(FileError::of("open", staging))?;
            for message in &messages {
                self.take_message(&directory, message)?;
            }
        }
        Ok(remove(staging).map_err(FileError::of("delete", staging))?)
    }

    fn take_message(&self, staging: &Directory, message: &Received) -> Result<(), Error> {
        match self.admit(staging, message) {
            Ok(()) => Ok(()),
            Err(Stop::Refused(refusal)) => self.refuse(staging, message, &refusal),
            Err(Stop::Failed(error)) => Err(*error),
        }
    }

    /// The one frame for all kinds: signer and text, then sums, then the files move and the row becomes a job.
    fn admit(&self, staging: &Directory, message: &Received) -> Result<(), Stop> {
        let content = match read_changes(staging, &message.changes)? {
            Ok(content) => content,
            Err(fault) => return Err(self.lost(message, fault)?),
        };
        let catalog = self.store.read(Catalog::load)?;
        let letter = Letter {
            message,
            content: &content,
            catalog: &catalog,
            own: &self.keys.now().own(Timestamp::now()),
            http_url: &self.http_url,
        };
        let admission: Box<dyn Admission> = match MessageKind::of(&message.changes) {
            MessageKind::Upload => Box::new(Upload::authorize(&letter)?),
            MessageKind::Buildrequest => Box::new(Request::authorize(&letter)?),
            MessageKind::Buildresult => Box::new(Answer::authorize(&letter)?),
        };
        let is_wanted = |tx: &Transaction<'_>| admission.is_wanted(tx);
        let wanted = self.store.read(is_wanted)?;
        if wanted {
            admission.verify(staging)?;
        }
        let news = {
            let _one_at_a_time = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
            if wanted && self.store.read(is_wanted)? {
                let place = admission.place(&self.home);
                link(staging, message, admission.changes(), &place).map_err(Error::from)?;
            }
            self.store.write::<_, Stop>(|tx| {
                let news = admission.commit(tx)?;
                jobs::remove_received(tx, message)?;
                Ok(news)
            })?
        };
        info!(changes = %message.changes, new = news.is_some(), "message accepted");
        // Without a receiver the daemon is stopping; the next start finds the rows.
        match news {
            Some(News::Packager(arrival)) => drop(self.packager.send(arrival)),
            Some(News::Builder(key)) => drop(self.builder.send(key)),
            None => {}
        }
        Ok(())
    }
}

/// Content of a .changes, or what is wrong with it.
fn read_changes(staging: &Directory, changes: &FileName) -> Result<Result<Vec<u8>, Fault>, Error> {
    match staging.read(changes, CHANGES_LIMIT) {
        Ok(Some(content)) => Ok(Ok(content)),
        Ok(None) => Ok(Err(Fault::TooLong {
            changes: changes.clone(),
            limit: CHANGES_LIMIT,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(Fault::Unreadable {
            changes: changes.clone(),
            fault: error.to_string(),
        })),
        Err(source) => Err(FileError::of("read", staging.path())(source).into()),
    }
}

/// Gives the message and its files their second name, at their place; on disk before the row is.
fn link(
    staging: &Directory,
    message: &Received,
    changes: &Changes,
    place: &Path,
) -> Result<(), FileError> {
    let failed = FileError::of("move files to", place);
    let to = Directory::create(place).map_err(&failed)?;
    let files = changes.files.iter().map(|file| &file.name);
    for name in files.chain([&message.changes]) {
        staging.link(name, &to, name.as_str()).map_err(&failed)?;
    }
    to.sync().map_err(&failed)
}

fn remove(staging: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(staging) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(staging),
        Ok(_) => fs::remove_file(staging),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
