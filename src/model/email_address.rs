use serde::{Deserialize, Serialize};

use crate::model::{Invalid, Item, Kind, invalid, is_one_line};

/// Somebody who is told of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailAddress {
    /// `NAME@HOST`
    pub address: String,
    #[serde(default)]
    pub name: String,
}

impl Item for EmailAddress {
    const KIND: &'static str = Kind::EmailAddress.as_str();
    fn name(&self) -> String {
        self.address.clone()
    }
    fn validate(&self) -> Result<(), Invalid> {
        if !is_email_address(&self.address) {
            return Err(invalid(self, "address", "must be NAME@HOST"));
        }
        if !is_one_line(&self.name) {
            return Err(invalid(self, "name", "must be one line"));
        }
        Ok(())
    }
}

pub fn is_email_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| {
        let is_word = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b"@<>,".contains(&b))
        };
        is_word(name) && is_word(host)
    })
}
