//! What happened, told to everybody who should know: files below var/events, hooks, attached clients, letters.
//!
//! An event is a row in the transaction of its state change ([`crate::store::event_log`]); [`Events::flush`] writes the
//! files of new rows and runs the hooks, so that each comes out once, whatever crashes.
//!
//! [`record`] makes events of messages, [`hooks`] runs what administrators put into etc/event-hooks,
//! [`notification`] writes letters.
pub mod hooks;
pub mod notification;
pub mod record;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::home::{self, Home};
use crate::model::{Event, EventType};
use crate::store::event_log::Logged;
use crate::store::{self, Store, event_log};

/// How many events an attached client may lag behind before it must read the log.
const BACKLOG: usize = 512;

pub struct Events {
    home: Home,
    store: Arc<Store>,
    has_letters: bool,
    attached: broadcast::Sender<Arc<Told>>,
    flushing: Mutex<()>,
    told: Mutex<BTreeMap<EventType, u64>>,
}

/// An event, and what those who wait for it are sent; once for all of them.
#[derive(Debug)]
pub struct Told {
    /// Of its row.
    pub id: i64,
    pub event: Event,
    /// JSON.
    pub text: Bytes,
}

impl Told {
    pub fn of(logged: Logged) -> Result<Arc<Told>, Error> {
        let text = serde_json::to_vec(&logged.event).map_err(Error::Encode)?;
        Ok(Arc::new(Told {
            id: logged.id,
            event: logged.event,
            text: text.into(),
        }))
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("can't write event {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("can't write an event as JSON")]
    Encode(#[source] serde_json::Error),
}

/// Tells whether an event may be told; who hears INSTALLED runs apt at once, so it waits for the publication.
fn is_due(kind: EventType, is_published: bool) -> bool {
    match kind {
        EventType::Installed | EventType::Migrated | EventType::Removed => is_published,
        EventType::Rejected
        | EventType::Building
        | EventType::Built
        | EventType::Packaging
        | EventType::Failed => true,
    }
}

impl Events {
    /// `has_letters`: a [`notification::Notification`] writes letters about what is told from now on.
    pub fn new(home: Home, store: Arc<Store>, has_letters: bool) -> Events {
        Events {
            home,
            store,
            has_letters,
            attached: broadcast::Sender::new(BACKLOG),
            flushing: Mutex::new(()),
            told: Mutex::default(),
        }
    }

    /// Writes the file of each new row, runs the hooks, tells attached clients. Synchronous.
    ///
    /// Events that tell of a change in a dist stay back: see [`Events::flush_published`].
    pub fn flush(&self) -> Result<(), Error> {
        self.flush_published(0)
    }

    /// As [`Events::flush`], when every dist is published as its rows were at the event `upto`.
    pub fn flush_published(&self, upto: i64) -> Result<(), Error> {
        let _one_at_a_time = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let unwritten = self.store.read(event_log::unwritten)?;
        for logged in unwritten {
            if !is_due(logged.event.kind, logged.id <= upto) {
                continue;
            }
            let file = self.write(&logged)?;
            hooks::run(&self.home.event_hooks(), &file);
            self.store
                .write(|tx| event_log::mark_written(tx, logged.id, self.has_letters))?;
            *self.counts().entry(logged.event.kind).or_default() += 1;
            // An error only says that nobody is attached.
            let _ = self.attached.send(Told::of(logged)?);
        }
        Ok(())
    }

    fn write(&self, logged: &Logged) -> Result<PathBuf, Error> {
        let directory = self.home.events().join(&logged.directory);
        let path = directory.join(logged.event.file_name());
        let text = serde_json::to_vec(&logged.event).map_err(io::Error::from);
        fs::create_dir_all(&directory)
            .and(text)
            .and_then(|text| home::replace(&path, &text))
            .map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?;
        Ok(path)
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<EventType, u64>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of each type were told since the start.
    pub fn told(&self) -> BTreeMap<EventType, u64> {
        self.counts().clone()
    }

    /// How many wait for events.
    pub fn attached(&self) -> usize {
        self.attached.receiver_count()
    }

    /// All that is told from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Told>> {
        self.attached.subscribe()
    }

    /// Up to `limit` events that were told and happened after a time, oldest first; of more, the newest. Synchronous.
    pub fn since(&self, after: Timestamp, limit: u32) -> Result<Vec<Arc<Told>>, Error> {
        let recent = self.store.read(|tx| event_log::told(tx, limit))?;
        let mut since: Vec<Logged> = recent
            .into_iter()
            .filter(|logged| logged.event.timestamp > after)
            .collect();
        since.reverse();
        since.into_iter().map(Told::of).collect()
    }

    /// Events that were told and whose rows come after one, oldest first. Synchronous.
    pub fn after_row(&self, id: i64, limit: u32) -> Result<Vec<Arc<Told>>, Error> {
        let mut after = self.store.read(|tx| event_log::told(tx, limit))?;
        after.retain(|logged| logged.id > id);
        after.reverse();
        after.into_iter().map(Told::of).collect()
    }

    /// The newest events whose files are written, newest first.
    pub fn recent(&self, limit: u32) -> Result<Vec<Logged>, Error> {
        Ok(self.store.read(|tx| event_log::recent(tx, limit, None))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_waits_for_the_publication() {
        assert!(!is_due(EventType::Installed, false));
        assert!(is_due(EventType::Installed, true));
        assert!(is_due(EventType::Failed, false));
    }
}
