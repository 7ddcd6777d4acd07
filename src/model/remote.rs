use serde::{Deserialize, Serialize};

use crate::endpoint::{ClientEndpoint, Scheme};
use crate::model::{Invalid, Item, invalid};

/// Another instance whose builders may be asked, and which may ask ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Base URL of its HTTP server.
    pub url: String,
    /// Armored public key.
    pub key: String,
}

impl Item for Remote {
    const KIND: &'static str = "remote";
    fn name(&self) -> String {
        self.url.clone()
    }
    fn validate(&self) -> Result<(), Invalid> {
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
            };
            assert_eq!(remote.validate().is_ok(), is_good, "{url}");
        }
    }
}
