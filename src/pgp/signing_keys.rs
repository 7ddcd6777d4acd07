use sequoia_openpgp::crypto::KeyPair;

use super::{Error, Keyring, SigningKey, signature};

/// Keys that sign indices together: a client needs to know one of them.
///
/// Those that can't sign, as they have expired, are passed over while another one can.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    /// The first is the primary one.
    keys: Vec<SigningKey>,
}

impl From<SigningKey> for SigningKeys {
    fn from(key: SigningKey) -> SigningKeys {
        SigningKeys { keys: vec![key] }
    }
}

impl SigningKeys {
    /// Adds keys behind the primary one, each once.
    pub fn with(mut self, others: impl IntoIterator<Item = SigningKey>) -> SigningKeys {
        for key in others {
            if !self.holds(&key.fingerprint()) {
                self.keys.push(key);
            }
        }
        self
    }

    /// The one that signs messages.
    pub fn primary(&self) -> &SigningKey {
        &self.keys[0]
    }

    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter()
    }

    /// Tells whether the fingerprint is that of a primary key of these.
    pub fn holds(&self, fingerprint: &str) -> bool {
        self.iter().any(|key| key.fingerprint() == fingerprint)
    }

    /// Fingerprints of the primary keys of all that sign now, the primary one's first.
    pub fn fingerprints(&self) -> Vec<String> {
        self.iter()
            .filter(|key| key.can_sign().is_ok())
            .map(SigningKey::fingerprint)
            .collect()
    }

    /// All public keys, in one armored block.
    pub fn public_armored(&self) -> Result<String, Error> {
        self.public()?.to_armored()
    }

    pub fn public_binary(&self) -> Result<Vec<u8>, Error> {
        Ok(self.public()?.to_binary())
    }

    /// What verifies that one of these signed.
    pub fn public(&self) -> Result<Keyring, Error> {
        let mut keyring = Keyring::default();
        for key in &self.keys {
            keyring.add(key.public_armored().as_bytes())?;
        }
        Ok(keyring)
    }

    /// One text with the signatures of all.
    pub fn clearsign(&self, text: &str) -> Result<String, Error> {
        signature::clearsign(&self.pairs()?, text)
    }

    /// One armored block with the detached signatures of all.
    pub fn detach_sign(&self, data: &[u8]) -> Result<String, Error> {
        signature::detach_sign(&self.pairs()?, data)
    }

    fn pairs(&self) -> Result<Vec<KeyPair>, Error> {
        let pairs: Vec<KeyPair> = self.iter().filter_map(|key| key.pair().ok()).collect();
        if pairs.is_empty() {
            // Says why.
            return Ok(vec![self.primary().pair()?]);
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::pgp::gnupg::{GnuPg, gpgv_status};

    const TEXT: &str = "Origin: test\nSuite: sid\n";

    fn key(name: &str) -> SigningKey {
        SigningKey::generate(name, "test@localhost").unwrap()
    }

    fn expired() -> SigningKey {
        let gnupg = GnuPg::new();
        let user = "expired@localhost";
        gnupg.make_key_at(user, "ed25519", "20200201T000000", "20200101T000000");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), gnupg.export_secret(user)).unwrap();
        SigningKey::read(file.path()).unwrap()
    }

    #[test]
    fn whoever_knows_one_of_the_keys_finds_its_good_signature() {
        let keys = SigningKeys::from(key("one")).with([key("two"), key("three")]);
        let text = keys.clearsign(TEXT).unwrap();
        let signature = keys.detach_sign(TEXT.as_bytes()).unwrap();
        assert_eq!(signature.matches("BEGIN PGP SIGNATURE").count(), 1);
        for key in keys.iter() {
            let inputs: [&[&[u8]]; 2] =
                [&[text.as_bytes()], &[signature.as_bytes(), TEXT.as_bytes()]];
            for input in inputs {
                let said = gpgv_status(&key.public_armored(), input);
                assert!(
                    said.contains(&format!("VALIDSIG {}", key.fingerprint())),
                    "{said}"
                );
                assert_eq!(said.matches("GOODSIG").count(), 1, "{said}");
                assert_eq!(said.matches("NO_PUBKEY").count(), 2, "{said}");
                assert!(!said.contains("BADSIG"), "{said}");
            }
            let mut keyring = Keyring::default();
            keyring.add(key.public_armored().as_bytes()).unwrap();
            let verified = keyring.verify(text.as_bytes()).unwrap();
            assert_eq!(verified.fingerprint, key.fingerprint());
            assert_eq!(verified.text, TEXT);
        }
    }

    #[test]
    fn sqv_is_content_with_one_of_the_keys() {
        if Command::new("sqv").arg("--version").output().is_err() {
            return;
        }
        let keys = SigningKeys::from(key("one")).with([key("two")]);
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        std::fs::write(path("data"), TEXT).unwrap();
        std::fs::write(
            path("signature"),
            keys.detach_sign(TEXT.as_bytes()).unwrap(),
        )
        .unwrap();
        for key in keys.iter() {
            std::fs::write(path("keyring"), key.public_armored()).unwrap();
            let output = Command::new("sqv")
                .arg("--keyring")
                .args([path("keyring"), path("signature"), path("data")])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(said.trim(), key.fingerprint());
        }
    }

    #[test]
    fn one_key_signs_once_however_often_it_is_given() {
        let one = key("one");
        let keys = SigningKeys::from(one.clone()).with([one.clone(), one.clone()]);
        assert_eq!(keys.fingerprints(), [one.fingerprint()]);
    }

    #[test]
    fn public_keys_of_all_are_one_block() {
        let keys = SigningKeys::from(key("one")).with([key("two")]);
        let armored = keys.public_armored().unwrap();
        assert_eq!(armored.matches("BEGIN PGP PUBLIC KEY BLOCK").count(), 1);
        let mut keyring = Keyring::default();
        keyring.add(armored.as_bytes()).unwrap();
        assert_eq!(keyring.fingerprints().len(), 2);
        assert_eq!(keyring.to_binary(), keys.public_binary().unwrap());
    }

    #[test]
    fn expired_key_is_passed_over_and_named_when_it_is_alone() {
        let (old, new) = (expired(), key("new"));
        let alone = SigningKeys::from(old.clone());
        let fault = alone.clearsign(TEXT).unwrap_err().to_string();
        assert!(fault.contains(&old.fingerprint()), "{fault}");
        assert!(fault.contains("expired"), "{fault}");
        let keys = alone.with([new.clone()]);
        assert_eq!(keys.fingerprints(), [new.fingerprint()]);
        let signed = keys.clearsign(TEXT).unwrap();
        let said = gpgv_status(&new.public_armored(), &[signed.as_bytes()]);
        assert!(
            said.contains("GOODSIG") && !said.contains("NO_PUBKEY"),
            "{said}"
        );
    }
}
