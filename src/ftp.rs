//! The FTP server: the incoming directory that uploaders see.
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::endpoint::ServerEndpoint;
use crate::incoming::Incoming;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

/// Bound, not yet accepting.
#[derive(Debug)]
pub struct Server {}

impl Server {
    pub async fn bind(_endpoint: &ServerEndpoint) -> Result<Server, Error> {
        todo!()
    }
    pub fn address(&self) -> SocketAddr {
        todo!()
    }
    pub async fn serve(self, _incoming: Arc<Incoming>, _shutdown: watch::Receiver<bool>) {
        todo!()
    }
}
