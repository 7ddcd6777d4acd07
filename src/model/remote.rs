use serde::{Deserialize, Serialize};

use crate::endpoint::{ClientEndpoint, Scheme};
use crate::model::{Invalid, Item, Kind, invalid, is_one_line};

/// Another instance whose builders may be asked, and which may ask ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Base URL of its HTTP server.
    pub url: String,
    /// Armored public key; empty: asked for when it is prepared.
    #[serde(default)]
    pub key: String,
    /// Words of a command that wakes its machine; empty: it is always awake.
    #[serde(default)]
    pub wake_command: String,
}

impl Item for Remote {
    const KIND: &'static str = Kind::Remote.as_str();
    fn name(&self) -> String {
        self.url.clone()
    }
    fn validate(&self) -> Result<(), Invalid> {
        if !is_one_line(&self.wake_command) {
            return Err(invalid(self, "wake_command", "must be one line"));
        }
        match self.url.parse::<ClientEndpoint>() {
            Err(error) => Err(invalid(self, "url", error.fault)),
            Ok(endpoint) if ![Scheme::Http, Scheme::Https].contains(&endpoint.scheme) => {
                Err(invalid(self, "url", "is no URL of an HTTP server"))
            }
            Ok(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_servers_are_remotes() {
        for (url, is_good) in [
            ("http://buildd.test:8066", true),
            ("https://buildd.test:8066", true),
            ("ftp://buildd.test:8067", false),
            ("buildd.test", false),
        ] {
            let remote = Remote {
                url: url.into(),
                key: String::new(),
                wake_command: String::new(),
            };
            assert_eq!(remote.validate().is_ok(), is_good, "{url}");
        }
    }
}
