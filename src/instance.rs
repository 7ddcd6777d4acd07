//! Puts all of it together; start, stop, recover.
use std::sync::Arc;

use crate::builder::Builder;
use crate::events::Events;
use crate::home::Home;
use crate::incoming::Incoming;
use crate::model::{Address, Daemon};
use crate::pgp::SigningKey;
use crate::store::Store;

pub struct Instance {
    pub home: Home,
    pub store: Arc<Store>,
    pub key: Arc<SigningKey>,
    pub address: Address,
    pub daemon: Daemon,
    pub incoming: Arc<Incoming>,
    pub events: Arc<Events>,
    pub builder: Builder,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{home} holds no instance yet; make one with: mini-buildd up --home {home}")]
    NotSetUp { home: std::path::PathBuf },
}

impl Instance {
    /// Opens home and database, brings every job to its next state or back to its last safe one, starts the engine.
    ///
    /// The servers are bound already: `address` is final. They accept connections after this.
    pub async fn start(_home: Home, _address: Address) -> Result<Arc<Instance>, Error> {
        todo!()
    }
    /// Ends the engine in order; running builds go on under their supervisors.
    pub async fn stop(&self) {
        todo!()
    }
}
