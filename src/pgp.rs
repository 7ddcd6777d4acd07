//! Keys, signatures and their verification; the one place that names sequoia.
//!
//! Reading order: `signing_key` signs by `signature`, `signing_keys` are several that sign together, `import` takes a key
//! that gpg exported; `keyring` verifies with `cleartext`, which takes a signed text apart so strictly
//! that nothing can stand beside what was signed, and `verdict`, which judges the signatures; `described` tells of keys.
mod cleartext;
mod described;
#[cfg(test)]
pub(crate) mod gnupg;
mod import;
mod keyring;
mod signature;
mod signing_key;
mod signing_keys;
mod verdict;

use std::path::PathBuf;

pub use cleartext::unauthenticated_text;
pub use described::Described;
pub use import::Refused;
pub use keyring::{Keyring, Verified};
pub use signing_key::{SigningKey, Unable};
pub use signing_keys::SigningKeys;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("can't read key {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("can't write key {path}")]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("not an OpenPGP key: {0}")]
    Key(String),
    #[error("can't sign: {0}")]
    Sign(String),
    #[error("key {key} can't sign: {source}")]
    Unable { key: String, source: Unable },
    #[error("not signed")]
    NotSigned,
    #[error("malformed signed text: {0}")]
    Malformed(String),
    #[error("text outside of the signature")]
    TextOutside,
    #[error("signed by unknown key {0}")]
    UnknownKey(String),
    #[error("signed by expired key {0}")]
    ExpiredKey(String),
    #[error("signed by revoked key {0}")]
    RevokedKey(String),
    #[error("signature by key {key} is from the future: {fault}")]
    Future { key: String, fault: String },
    #[error("signature by key {key} is too weak: {fault}")]
    Weak { key: String, fault: String },
    #[error("bad signature: {0}")]
    Bad(String),
}
