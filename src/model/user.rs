use serde::{Deserialize, Serialize};

use crate::model::Item;
use crate::model::repository::Identity;

/// A key that may upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploader {
    pub user: String,
    /// Armored public key.
    pub key: String,
    pub may_upload_to: Vec<Identity>,
}

impl Item for Uploader {
    const KIND: &'static str = "uploader";
    fn name(&self) -> String {
        self.user.clone()
    }
}
