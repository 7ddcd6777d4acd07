use serde::{Deserialize, Serialize};

use crate::model::Item;

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
}
