use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::source::SignedBy;
use crate::model::{Invalid, Item, Kind, invalid};

/// Where packages install keyrings.
pub const KEYRINGS: &str = "/usr/share/keyrings";

/// What signs archives: a key, or a keyring that a package of the host installs and keeps up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AptKey {
    /// Hexadecimal key id or fingerprint, eight digits at least; or the name of a file in [`KEYRINGS`].
    pub key_id: String,
    /// Armored; empty: looked for in the installed keyrings, then at the key server when there is one.
    #[serde(default)]
    pub key: String,
    /// The keys that it is, as of its last preparation.
    #[serde(default)]
    pub found: Vec<KeyFacts>,
}

/// What is known of a public key, in gpg's terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// The last 16 digits of the fingerprint.
    pub key_long_id: String,
    /// Day, as gpg writes it.
    pub key_created: String,
    /// Empty: never.
    pub key_expires: String,
    /// Its first user id.
    pub key_name: String,
    /// Upper-case hexadecimal.
    pub key_fingerprint: String,
}

impl Item for AptKey {
    const KIND: &'static str = Kind::AptKey.as_str();
    fn name(&self) -> String {
        self.key_id.clone()
    }
    fn validate(&self) -> Result<(), Invalid> {
        let is_id = is_key_id(&self.key_id);
        if !is_id && self.keyring_file().is_none() {
            let fault = "must be eight hexadecimal digits at least, or the name of a file in /usr/share/keyrings";
            return Err(invalid(self, "key_id", fault));
        }
        if !is_id && !self.key.is_empty() {
            return Err(invalid(self, "key", "stands in the keyring file already"));
        }
        Ok(())
    }
}

impl AptKey {
    pub fn new(key_id: impl Into<String>) -> AptKey {
        AptKey {
            key_id: key_id.into(),
            key: String::new(),
            found: Vec::new(),
        }
    }

    /// The last eight digits of its id, by which it is known to be another key than others.
    pub fn short_id(&self) -> Option<String> {
        let id = self.key_id.to_ascii_uppercase();
        is_key_id(&id).then(|| id[id.len() - 8..].to_owned())
    }

    /// The file that it names, if it names one.
    pub fn keyring_file(&self) -> Option<PathBuf> {
        let name = &self.key_id;
        let is_file = [".gpg", ".pgp", ".asc"]
            .iter()
            .any(|end| name.ends_with(end))
            && !name.starts_with('.')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b));
        is_file.then(|| Path::new(KEYRINGS).join(name))
    }

    /// What apt is given.
    pub fn signed_by(&self) -> SignedBy {
        match self.keyring_file() {
            Some(path) => SignedBy::KeyringFile(path),
            None => SignedBy::Armored(self.key.clone()),
        }
    }
}

fn is_key_id(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_id_or_its_file() {
        for (name, is_good) in [
            ("73A4F27B8DD47936", true),
            ("8DD47936", true),
            ("8DD4793", false),
            ("debian-archive-keyring.gpg", true),
            ("../../etc/passwd.gpg", false),
            ("debian-archive-keyring", false),
            (".gpg", false),
        ] {
            assert_eq!(AptKey::new(name).validate().is_ok(), is_good, "{name}");
        }
        let mut key = AptKey::new("a.gpg");
        assert_eq!(
            key.signed_by(),
            SignedBy::KeyringFile("/usr/share/keyrings/a.gpg".into())
        );
        key.key = "text".into();
        assert_eq!(key.validate().unwrap_err().field, "key");
    }
}
