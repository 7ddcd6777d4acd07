use serde::{Deserialize, Serialize};

use crate::model::repository::Identity;
use crate::model::{Invalid, Item, invalid, is_one_line};

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
    fn validate(&self) -> Result<(), Invalid> {
        if self.user.is_empty() || !is_one_line(&self.user) {
            return Err(invalid(self, "user", "must be one line"));
        }
        Ok(())
    }
}

impl Uploader {
    pub fn may_upload(&self, repository: &Identity) -> bool {
        self.may_upload_to.contains(repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploaders_are_bound_to_their_repositories() {
        let uploader = Uploader {
            user: "upl".into(),
            key: String::new(),
            may_upload_to: vec!["test".parse().unwrap()],
        };
        assert_eq!(uploader.validate(), Ok(()));
        assert!(uploader.may_upload(&"test".parse().unwrap()));
        assert!(!uploader.may_upload(&"other".parse().unwrap()));
    }
}
