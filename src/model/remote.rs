use serde::{Deserialize, Deserializer, Serialize};

use crate::endpoint::{ClientEndpoint, Scheme};
use crate::model::{Invalid, Item, Kind, invalid, is_one_line};

/// Another instance whose builders may be asked, and which may ask ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Base URL of its HTTP server, without a slash at its end; stock's `tcp:host=HOST:port=PORT` is read too.
    #[serde(deserialize_with = "base_url")]
    pub url: String,
    /// Armored public key; empty: asked for when it is prepared.
    #[serde(default)]
    pub key: String,
    /// Words of a command that wakes its machine; empty: it is always awake.
    #[serde(default)]
    pub wake_command: String,
}

/// One form for each server: other instances look for theirs in ours.
fn base_url<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    let text = String::deserialize(value)?;
    match text.parse::<ClientEndpoint>() {
        Ok(endpoint) if endpoint.user.is_none() => Ok(endpoint.url()),
        _ => Ok(text),
    }
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
