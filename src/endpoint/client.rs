//! Where clients connect to.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Error, Scheme, bracketed, is_host, parse_port, split, take};

/// A client's end: `tcp:host=H:port=P`, `tls:host=H:port=P` (HTTP both) or a URL without path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientEndpoint {
    pub scheme: Scheme,
    pub user: Option<String>,
    /// Without brackets.
    pub host: String,
    pub port: u16,
}

impl ClientEndpoint {
    /// Base URL without user and trailing slash; the port is always there.
    pub fn url(&self) -> String {
        format!("{}://{}:{}", self.scheme, bracketed(&self.host), self.port)
    }

    fn from_url(scheme: Scheme, rest: &str) -> Result<ClientEndpoint, String> {
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user.to_owned()), address),
            None => (None, authority),
        };
        if user.as_ref().is_some_and(|user| user.contains(':')) {
            return Err("a password has no place in a URL".into());
        }
        let (host, port) = match address
            .strip_prefix('[')
            .and_then(|text| text.split_once(']'))
        {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        Ok(ClientEndpoint {
            scheme,
            user,
            host: host.to_owned(),
            port: port.map_or(Ok(scheme.default_port()), parse_port)?,
        })
    }

    fn from_options(scheme: Scheme, text: &str) -> Result<ClientEndpoint, String> {
        let (_, mut options) = split(text)?;
        for (name, positional) in options.iter_mut().zip(["host", "port"]) {
            if name.0.is_empty() {
                positional.clone_into(&mut name.0);
            }
        }
        let port = take(&mut options, "port").ok_or("port is needed")?;
        Ok(ClientEndpoint {
            scheme,
            user: None,
            host: take(&mut options, "host").ok_or("host is needed")?,
            port: parse_port(&port)?,
        })
    }
}

impl FromStr for ClientEndpoint {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let endpoint = match text.split_once("://") {
            Some(("http", rest)) => Self::from_url(Scheme::Http, rest),
            Some(("https", rest)) => Self::from_url(Scheme::Https, rest),
            Some(("ftp", rest)) => Self::from_url(Scheme::Ftp, rest),
            Some(("ftps", rest)) => Self::from_url(Scheme::Ftps, rest),
            Some((scheme, _)) => Err(format!("unknown scheme {scheme:?}")),
            None if text.starts_with("tcp:") => Self::from_options(Scheme::Http, text),
            None if text.starts_with("tls:") => Self::from_options(Scheme::Https, text),
            None => Err("neither URL nor tcp:host=HOST:port=PORT".into()),
        };
        match endpoint {
            Ok(endpoint) if is_host(&endpoint.host) => Ok(endpoint),
            Ok(endpoint) => Err(Error::client(
                text,
                format!("{:?} is no host name", endpoint.host),
            )),
            Err(fault) => Err(Error::client(text, fault)),
        }
    }
}
impl fmt::Display for ClientEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|user| format!("{user}@"));
        let (scheme, host, port) = (self.scheme, bracketed(&self.host), self.port);
        write!(f, "{scheme}://{}{host}:{port}", user.unwrap_or_default())
    }
}
impl TryFrom<String> for ClientEndpoint {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}
impl From<ClientEndpoint> for String {
    fn from(endpoint: ClientEndpoint) -> String {
        endpoint.to_string()
    }
}
