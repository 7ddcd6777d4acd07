//! Keys, signatures and their verification; the one place that names sequoia.
use std::path::{Path, PathBuf};

/// A secret key that signs: indices, buildrequests and buildresults, uploads.
#[derive(Clone, Debug)]
pub struct SigningKey {}

/// Public keys that signatures are checked against.
#[derive(Clone, Debug, Default)]
pub struct Keyring {}

/// Text whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was signed, as the verifier returns it.
    pub text: String,
    /// Upper-case hexadecimal fingerprint of the primary key.
    pub fingerprint: String,
    pub user_id: String,
}

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
    #[error("not signed")]
    NotSigned,
    #[error("signed by unknown key {0}")]
    UnknownKey(String),
    #[error("bad signature: {0}")]
    Bad(String),
    #[error("text outside of the signature")]
    TextOutside,
}

impl SigningKey {
    /// Makes an ed25519 key for `NAME <EMAIL>` without expiry.
    pub fn generate(_name: &str, _email: &str) -> Result<SigningKey, Error> {
        todo!()
    }
    pub fn load(_path: &Path) -> Result<SigningKey, Error> {
        todo!()
    }
    /// Writes with mode 0600; never replaces.
    pub fn save(&self, _path: &Path) -> Result<(), Error> {
        todo!()
    }
    pub fn public_armored(&self) -> String {
        todo!()
    }
    pub fn fingerprint(&self) -> String {
        todo!()
    }
    /// Signs in the cleartext framework, SHA-512.
    pub fn clearsign(&self, _text: &str) -> Result<String, Error> {
        todo!()
    }
    /// Armored detached signature, SHA-512.
    pub fn detach_sign(&self, _data: &[u8]) -> Result<String, Error> {
        todo!()
    }
}

impl Keyring {
    /// Adds all keys of armored or binary text.
    pub fn add(&mut self, _keys: &[u8]) -> Result<(), Error> {
        todo!()
    }
    pub fn add_file(&mut self, _path: &Path) -> Result<(), Error> {
        todo!()
    }
    /// Verifies a cleartext signed text: exactly one signed block, nothing outside.
    pub fn verify(&self, _signed: &[u8]) -> Result<Verified, Error> {
        todo!()
    }
    /// Fingerprints of the primary keys.
    pub fn fingerprints(&self) -> Vec<String> {
        todo!()
    }
    pub fn to_armored(&self) -> Result<String, Error> {
        todo!()
    }
}

/// Text of an upload that needs no signature: unsigned, or the inside of one signed block.
pub fn unauthenticated_text(_text: &[u8]) -> Result<String, Error> {
    todo!()
}
