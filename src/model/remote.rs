use serde::{Deserialize, Deserializer, Serialize};

use crate::endpoint::{ClientEndpoint, Scheme};
use crate::model::{Invalid, Item, Kind, invalid, is_one_line};

/// Another instance whose builders may be asked, and which may ask ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Base URL of its HTTP server, without a slash at its end; stock's `tcp:host=HOST:port=PORT` is read too.
    #[serde(deserialize_with = "url")]
    pub url: String,
    /// Armored public key; empty: asked for when it is prepared.
    #[serde(default)]
    pub key: String,
    /// Words of a command that wakes its machine; empty: it is always awake.
    #[serde(default)]
    pub wake_command: String,
}

fn url<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    Ok(base_url(&String::deserialize(text)?))
}

/// One form for each server: other instances look for theirs in ours. What is none is left to the validation.
fn base_url(text: &str) -> String {
    match text.parse::<ClientEndpoint>() {
        Ok(endpoint) if endpoint.user.is_none() => endpoint.url(),
        _ => text.to_owned(),
    }
}

impl Remote {
    /// One that is always awake, and is asked for its key.
    pub fn new(url: &str) -> Remote {
        Remote {
            url: base_url(url),
            key: String::new(),
            wake_command: String::new(),
        }
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
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_has_one_name() {
        for text in [
            "http://buildd.test:8066/",
            "http://buildd.test:8066",
            "tcp:host=buildd.test:port=8066",
        ] {
            let read: Remote = serde_json::from_value(json!({"url": text})).unwrap();
            assert_eq!(read, Remote::new(text));
            assert_eq!(read.name(), "http://buildd.test:8066");
        }
    }

    #[test]
    fn only_http_servers_are_remotes() {
        for (url, is_good) in [
            ("http://buildd.test:8066", true),
            ("https://buildd.test:8066", true),
            ("ftp://buildd.test:8067", false),
            ("buildd.test", false),
        ] {
            let remote = Remote::new(url);
            assert_eq!(remote.validate().is_ok(), is_good, "{url}");
        }
    }
}
