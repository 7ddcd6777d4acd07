use serde::{Deserialize, Serialize};

use crate::endpoint::ServerEndpoint;
use crate::model::Item;

/// The instance itself; there is exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Part of the names of keys and version numbers: `^[a-zA-Z0-9-]+$`.
    pub identity: String,
    /// Origin of all Release files; empty: made from identity and host name.
    pub custom_archive_origin: String,
    pub email_address: String,
    pub ftp_endpoint: ServerEndpoint,
    pub max_parallel_builds: u32,
    pub event_queue_size: u32,
    pub expire_events_after_days: u32,
    pub expire_builds_after_days: u32,
}

impl Item for Daemon {
    const KIND: &'static str = "daemon";
    fn name(&self) -> String {
        "daemon".into()
    }
}

impl Daemon {
    /// Origin field of Release files: `Mini-Buildd archive IDENTITY on HOSTNAME` unless a custom one is set.
    pub fn archive_origin(&self, _hostname: &str) -> String {
        todo!()
    }
}
