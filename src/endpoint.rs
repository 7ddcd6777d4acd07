//! Where servers listen and clients connect, in stock's notation: `tcp6:port=8066`, `tcp:host=H:port=P`, URLs.
mod client;

use std::fmt;
use std::str::FromStr;

pub use client::{ClientEndpoint, Scheme};
use serde::{Deserialize, Serialize};

/// A server's end: `tcp6:port=8066`, `tcp:port=0:interface=127.0.0.1`; `\:` escapes a colon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerEndpoint {
    pub kind: Kind,
    pub port: u16,
    pub interface: Option<String>,
    /// Options beyond port and interface, as written.
    pub options: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    Tcp6,
    Ssl,
    Unix,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {text:?}: {fault}")]
pub struct Error {
    pub text: String,
    pub fault: String,
}

impl FromStr for ServerEndpoint {
    type Err = Error;
    fn from_str(_text: &str) -> Result<Self, Error> {
        todo!()
    }
}
impl fmt::Display for ServerEndpoint {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
impl TryFrom<String> for ServerEndpoint {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}
impl From<ServerEndpoint> for String {
    fn from(endpoint: ServerEndpoint) -> String {
        endpoint.to_string()
    }
}
