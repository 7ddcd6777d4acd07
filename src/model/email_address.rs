use serde::{Deserialize, Serialize};

use crate::model::user::is_email;
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
        if !is_email(&self.address) {
            return Err(invalid(self, "address", "must be NAME@HOST"));
        }
        if !is_one_line(&self.name) {
            return Err(invalid(self, "name", "must be one line"));
        }
        Ok(())
    }
}
