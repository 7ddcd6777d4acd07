//! What people are told of public keys.
use std::time::{SystemTime, UNIX_EPOCH};

use sequoia_openpgp::Cert;
use sequoia_openpgp::policy::StandardPolicy;

use super::{Error, Keyring};

/// A public key, in gpg's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Upper-case hexadecimal, as all that follow.
    pub fingerprint: String,
    /// The last 16 digits of the fingerprint.
    pub long_id: String,
    /// Seconds since the epoch.
    pub created: u64,
    pub expires: Option<u64>,
    /// Long ids.
    pub subkeys: Vec<String>,
    pub user_id: String,
}

impl Keyring {
    /// All keys, by their fingerprints.
    pub fn described(&self) -> Result<Vec<Described>, Error> {
        let certificates = self.all().map_err(|fault| Error::Key(fault.to_string()))?;
        Ok(certificates.iter().map(describe).collect())
    }
}

fn describe(cert: &Cert) -> Described {
    let primary = cert.primary_key();
    let policy = StandardPolicy::new();
    let valid = cert.with_policy(&policy, None).ok();
    let expires = valid
        .as_ref()
        .and_then(|valid| valid.primary_key().key_expiration_time());
    let user_id = valid
        .as_ref()
        .and_then(|valid| Some(valid.primary_userid().ok()?.userid().clone()))
        .or_else(|| Some(cert.userids().next()?.userid().clone()));
    Described {
        fingerprint: cert.fingerprint().to_hex(),
        long_id: cert.keyid().to_hex(),
        created: seconds(primary.key().creation_time()),
        expires: expires.map(seconds),
        subkeys: cert
            .keys()
            .subkeys()
            .map(|key| key.key().keyid().to_hex())
            .collect(),
        user_id: user_id
            .map(|id| String::from_utf8_lossy(id.value()).into_owned())
            .unwrap_or_default(),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgp::SigningKey;

    #[test]
    fn a_key_is_described_as_gpg_does() {
        let key = SigningKey::generate("Jo Doe", "jo@example.org").unwrap();
        let mut keyring = Keyring::default();
        keyring.add(key.public_armored().as_bytes()).unwrap();
        let described = keyring.described().unwrap().remove(0);
        assert_eq!(described.fingerprint, key.fingerprint());
        assert!(described.fingerprint.ends_with(&described.long_id));
        assert_eq!(described.long_id.len(), 16);
        assert_eq!(described.user_id, "Jo Doe <jo@example.org>");
        assert_eq!(described.expires, None);
        assert!(described.created > 1_700_000_000);
    }
}
