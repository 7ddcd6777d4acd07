//! Secret keys as gpg exports them: opened by their passphrase, and taken only if every client will accept them.
use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::amalgamation::key::PrimaryKey;
use sequoia_openpgp::cert::{Cert, CertParser};
use sequoia_openpgp::crypto::Password;
use sequoia_openpgp::parse::Parse;

use super::{Error, SigningKey, Unable};

/// RSA keys with fewer bits are refused by apt.
const LEAST_BITS: u32 = 2048;

/// Why a key is not imported, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    #[error("not a secret key: {0}; export one with: gpg --armor --export-secret-keys FINGERPRINT")]
    Malformed(String),
    #[error(
        "there are {0} keys in it; export one alone with: gpg --armor --export-secret-keys FINGERPRINT"
    )]
    Several(usize),
    #[error(
        "key {0} is public only; export its secret part with: gpg --armor --export-secret-keys {0}"
    )]
    Public(String),
    #[error(
        "key {0} is protected by a passphrase; name a file that holds it with: --passphrase-file FILE"
    )]
    Locked(String),
    #[error("this is not the passphrase of key {0}")]
    Passphrase(String),
    #[error(
        "key {0} has expired; let it live on and export it again: \
         gpg --quick-set-expire {0} 2y; gpg --armor --export-secret-keys {0}"
    )]
    Expired(String),
    #[error("key {0} was revoked; make a new one with: mini-buildd key rotate")]
    Revoked(String),
    #[error(
        "key {key} is too weak: {fault}; apt takes ed25519, and RSA from {LEAST_BITS} bits on; \
         make a new one with: mini-buildd key rotate"
    )]
    Weak { key: String, fault: String },
    #[error(
        "no secret key in {0} is for signing; give it one and export it again: \
         gpg --quick-add-key {0} ed25519 sign; gpg --armor --export-secret-keys {0}"
    )]
    NotForSigning(String),
    #[error(transparent)]
    Other(Error),
}

impl SigningKey {
    /// Takes an armored or binary secret key that gpg exported.
    pub fn import(exported: &[u8], passphrase: Option<&str>) -> Result<SigningKey, Refused> {
        let malformed =
            |fault: sequoia_openpgp::anyhow::Error| Refused::Malformed(fault.to_string());
        let certs = CertParser::from_bytes(exported)
            .and_then(Iterator::collect::<Result<Vec<Cert>, _>>)
            .map_err(malformed)?;
        let [cert] = &certs[..] else {
            return Err(match certs.len() {
                0 => Refused::Malformed("it is empty".into()),
                several => Refused::Several(several),
            });
        };
        let cert = match passphrase {
            Some(passphrase) => opened(cert, passphrase)?,
            None => cert.clone(),
        };
        let key = SigningKey::new(cert).map_err(Refused::Other)?;
        key.check()?;
        Ok(key)
    }

    fn check(&self) -> Result<(), Refused> {
        let key = self.fingerprint();
        let algorithm = self.algorithm();
        let bits = algorithm.strip_prefix("rsa").map(str::parse::<u32>);
        let is_strong = match bits {
            Some(bits) => bits.is_ok_and(|bits| bits >= LEAST_BITS),
            None => algorithm == "ed25519",
        };
        match self.can_sign() {
            Err(Error::Unable { source, .. }) => Err(match source {
                Unable::Public => Refused::Public(key),
                Unable::Locked => Refused::Locked(key),
                Unable::Expired => Refused::Expired(key),
                Unable::Revoked => Refused::Revoked(key),
                Unable::Weak(fault) => Refused::Weak { key, fault },
                Unable::NotForSigning => Refused::NotForSigning(key),
            }),
            Err(error) => Err(Refused::Other(error)),
            Ok(()) if !is_strong => Err(Refused::Weak {
                key,
                fault: algorithm,
            }),
            Ok(()) => Ok(()),
        }
    }
}

/// All its keys that the passphrase opens; the others are stubs, or in a card.
fn opened(cert: &Cert, passphrase: &str) -> Result<Cert, Refused> {
    let password = Password::from(passphrase);
    let opened = cert.keys().secret().filter_map(|locked| {
        let key = locked.key().clone().decrypt_secret(&password).ok()?;
        let packet: Packet = if locked.primary() {
            key.role_into_primary().into()
        } else {
            key.role_into_subordinate().into()
        };
        Some(packet)
    });
    let opened: Vec<Packet> = opened.collect();
    let (opened, _) = cert
        .clone()
        .insert_packets(opened)
        .map_err(|fault| Refused::Malformed(fault.to_string()))?;
    if cert.is_tsk() && opened.keys().unencrypted_secret().next().is_none() {
        return Err(Refused::Passphrase(cert.fingerprint().to_hex()));
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgp::gnupg::{GnuPg, gpgv};

    fn refused(exported: &[u8], passphrase: Option<&str>) -> String {
        let refused = SigningKey::import(exported, passphrase).unwrap_err();
        refused.to_string()
    }

    /// Imports, and has gpgv verify what the key signs after it was on disk.
    fn signs(gnupg: &GnuPg, user: &str, exported: &[u8], passphrase: Option<&str>) -> SigningKey {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.asc");
        let key = SigningKey::import(exported, passphrase).unwrap();
        key.save(&path).unwrap();
        let key = SigningKey::load(&path).unwrap();
        assert_eq!(key.fingerprint(), gnupg.fingerprint(user));
        let signed = key.clearsign("a: b\n").unwrap();
        let exported = String::from_utf8(gnupg.export(user)).unwrap();
        gpgv(&exported, &[signed.as_bytes()]).unwrap();
        key
    }

    #[test]
    fn keys_that_gpg_exported_sign() {
        let gnupg = GnuPg::new();
        for (user, algorithm) in [("ed@localhost", "ed25519"), ("rsa@localhost", "rsa2048")] {
            gnupg.make_key(user, algorithm, "never");
            let key = signs(&gnupg, user, &gnupg.export_secret(user), None);
            assert_eq!(key.algorithm(), algorithm);
            assert_eq!(key.expires(), None);
        }
    }

    #[test]
    fn passphrase_opens_a_key_and_must_be_the_right_one() {
        let gnupg = GnuPg::new();
        let user = "locked@localhost";
        gnupg.make_key_with_passphrase(user, "secret");
        let exported = gnupg.export_locked(user, "secret");
        let said = refused(&exported, None);
        assert!(said.contains("--passphrase-file"), "{said}");
        let said = refused(&exported, Some("other"));
        assert!(said.contains("not the passphrase"), "{said}");
        signs(&gnupg, user, &exported, Some("secret"));
    }

    #[test]
    fn subkey_signs_where_the_primary_key_only_certifies_or_stays_at_home() {
        let gnupg = GnuPg::new();
        let user = "sub@localhost";
        gnupg.make_key_for(user, "ed25519", "cert");
        let said = refused(&gnupg.export_secret(user), None);
        assert!(said.contains("gpg --quick-add-key"), "{said}");
        gnupg.add_subkey(user, "rsa2048", "sign");
        let key = signs(&gnupg, user, &gnupg.export_secret(user), None);
        assert_eq!(key.algorithm(), "rsa2048");
        signs(&gnupg, user, &gnupg.export_secret_subkeys(user), None);
        signs(
            &gnupg,
            user,
            &gnupg.export_secret_subkeys(user),
            Some("needless"),
        );
    }

    #[test]
    fn what_clients_would_refuse_is_refused_with_the_next_command() {
        let gnupg = GnuPg::new();
        let user = "public@localhost";
        gnupg.make_key(user, "ed25519", "never");
        let said = refused(&gnupg.export(user), None);
        assert!(said.contains("--export-secret-keys"), "{said}");
        let mut two = gnupg.export_secret(user);
        let user = "revoked@localhost";
        gnupg.make_key(user, "ed25519", "never");
        two.extend(gnupg.export_secret(user));
        let said = refused(&two, None);
        assert!(said.contains("2 keys"), "{said}");
        gnupg.revoke(user);
        let said = refused(&gnupg.export_secret(user), None);
        assert!(said.contains("was revoked"), "{said}");
        let user = "expired@localhost";
        gnupg.make_key_at(user, "ed25519", "20200201T000000", "20200101T000000");
        let said = refused(&gnupg.export_secret(user), None);
        assert!(said.contains("gpg --quick-set-expire"), "{said}");
        for weak in ["rsa1024", "dsa2048", "nistp256"] {
            let user = &format!("{weak}@localhost");
            gnupg.make_key(user, weak, "never");
            let said = refused(&gnupg.export_secret(user), None);
            assert!(said.contains("is too weak"), "{said}");
            assert!(said.contains("mini-buildd key rotate"), "{said}");
        }
        for none in ["", "hello"] {
            let said = refused(none.as_bytes(), None);
            assert!(said.contains("not a secret key"), "{said}");
        }
    }
}
