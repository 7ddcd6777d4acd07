use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deb::Architecture;

/// `MINI_BUILDD_OPTION: KEY[[ARCH]]=VALUE` lines of the top changelog block (stock's keys and rules).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadOptions {
    /// (key, architecture or empty) → value
    options: BTreeMap<(String, String), String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Unknown upload option: {0}")]
    Unknown(String),
    #[error("Duplicate upload option: {0}")]
    Duplicate(String),
    #[error("Invalid upload option value: {key}={value}: {fault}")]
    Value {
        key: String,
        value: String,
        fault: String,
    },
}

impl UploadOptions {
    pub fn parse(_top_entry: &str) -> Result<UploadOptions, Error> {
        todo!()
    }
    /// The architecture's own value, else the plain one.
    pub fn get(&self, _key: &str, _architecture: &Architecture) -> Option<&str> {
        todo!()
    }
}
