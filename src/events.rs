//! What happened, told to everybody who should know: files below var/events, hooks, attached clients.
//!
//! An event is a row in the transaction of its state change ([`crate::store::event_log`]); [`Events::flush`] writes the
//! files of new rows and runs the hooks, so that each comes out once, whatever crashes.
use std::sync::Arc;

use tokio::sync::broadcast;

use crate::home::Home;
use crate::model::Event;
use crate::store::Store;

pub struct Events {
    _home: Home,
    _store: Arc<Store>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

impl Events {
    pub fn new(home: Home, store: Arc<Store>) -> Events {
        Events {
            _home: home,
            _store: store,
        }
    }
    /// Writes the file of each new row, runs the hooks, tells attached clients. Synchronous.
    pub fn flush(&self) -> Result<(), Error> {
        todo!()
    }
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        todo!()
    }
}
