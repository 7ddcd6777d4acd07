use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use sequoia_openpgp::anyhow;
use sequoia_openpgp::cert::raw::{RawCert, RawCertParser};
use sequoia_openpgp::packet::Tag;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::SignatureType;
use sequoia_openpgp::{Cert, Fingerprint, KeyHandle, armor};

use crate::model::SignedBy;

use super::verdict::{self, Signer};
use super::{Error, cleartext};

/// Debian's own keyrings have less than ten mebibytes.
const LONGEST_FILE: u64 = 64 << 20;

/// Public keys that signatures are checked against.
#[derive(Clone, Default)]
pub struct Keyring {
    entries: BTreeMap<Fingerprint, Arc<Entry>>,
}

/// A certificate that is parsed only when one of its keys is asked for: Debian's keyring has more than a thousand.
struct Entry {
    raw: RawCert<'static>,
    keys: Vec<KeyHandle>,
}

/// Text whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was signed, as the verifier saw it, with line feeds as line ends.
    pub text: String,
    /// Upper-case hexadecimal fingerprint of the primary key.
    pub fingerprint: String,
    pub user_id: String,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring")
            .field(&self.fingerprints())
            .finish()
    }
}

impl Keyring {
    /// Adds all keys of armored or binary text; secret parts are left out.
    pub fn add(&mut self, keys: &[u8]) -> Result<(), Error> {
        let mut entries = self.entries.clone();
        let mut found = false;
        for raw in RawCertParser::from_bytes(keys).map_err(key_error)? {
            let raw = public(raw.map_err(key_error)?).map_err(key_error)?;
            let fingerprint = raw.fingerprint();
            let raw = match entries.get(&fingerprint) {
                Some(known) => merged(&known.raw, &raw).map_err(key_error)?,
                None => raw,
            };
            let keys = raw.keys().map(|key| key.fingerprint().into()).collect();
            entries.insert(fingerprint, Arc::new(Entry { raw, keys }));
            found = true;
        }
        if !found {
            return Err(Error::Key("there is none".into()));
        }
        self.entries = entries;
        Ok(())
    }

    pub fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let keys = read_file(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        self.add(&keys)
            .map_err(|fault| Error::Key(format!("{}: {fault}", path.display())))
    }

    /// Adds the keys that apt would accept.
    pub fn add_signers(&mut self, signers: &SignedBy) -> Result<(), Error> {
        match signers {
            SignedBy::Armored(text) => self.add(text.as_bytes()),
            SignedBy::KeyringFile(path) => self.add_file(path),
            SignedBy::Key(name) => Err(Error::Key(format!("{name} was not prepared"))),
        }
    }

    /// Those of these keys whose fingerprints end so; hexadecimal, in either case.
    pub fn with_ids(&self, id: &str) -> Keyring {
        let id = id.to_ascii_uppercase();
        let entries = self.entries.iter();
        let entries = entries.filter(|(fingerprint, _)| fingerprint.to_hex().ends_with(&id));
        Keyring {
            entries: entries
                .map(|(fingerprint, entry)| (fingerprint.clone(), Arc::clone(entry)))
                .collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Fingerprints of the primary keys.
    pub fn fingerprints(&self) -> Vec<String> {
        self.entries.keys().map(Fingerprint::to_hex).collect()
    }

    /// For programs that read no armor.
    pub fn to_binary(&self) -> Vec<u8> {
        let entries = self.entries.values();
        entries
            .flat_map(|entry| entry.raw.as_bytes())
            .copied()
            .collect()
    }

    pub fn to_armored(&self) -> Result<String, Error> {
        let write = || -> std::io::Result<Vec<u8>> {
            let mut writer = armor::Writer::new(Vec::new(), armor::Kind::PublicKey)?;
            for entry in self.entries.values() {
                writer.write_all(entry.raw.as_bytes())?;
            }
            writer.finalize()
        };
        let armored = write().map_err(|fault| Error::Key(fault.to_string()))?;
        String::from_utf8(armored).map_err(|fault| Error::Key(fault.to_string()))
    }

    /// Verifies a cleartext signed text: exactly one signed block, nothing outside.
    pub fn verify(&self, signed: &[u8]) -> Result<Verified, Error> {
        self.verify_at(signed, SystemTime::now())
    }

    /// Verifies as if it were another time: the key must be valid then, and when it signed.
    pub fn verify_at(&self, signed: &[u8], at: SystemTime) -> Result<Verified, Error> {
        let cleartext = cleartext::split(signed)?;
        let Signer {
            fingerprint,
            user_id,
        } = verdict::check(&cleartext, self, at)?;
        Ok(Verified {
            text: cleartext.text,
            fingerprint,
            user_id,
        })
    }

    /// Verifies an armored signature that stands beside what it signs.
    pub fn verify_detached(&self, signed: &[u8], signature: &str) -> Result<(), Error> {
        let at = SystemTime::now();
        verdict::check_detached(signature, signed, SignatureType::Binary, self, at)?;
        Ok(())
    }

    pub(super) fn all(&self) -> anyhow::Result<Vec<Cert>> {
        let entries = self.entries.values();
        entries.map(|entry| Cert::try_from(&entry.raw)).collect()
    }

    /// Certificates that hold any of these keys.
    pub(super) fn certificates(&self, ids: &[KeyHandle]) -> anyhow::Result<Vec<Cert>> {
        let asked = |key: &KeyHandle| ids.iter().any(|id| id.aliases(key));
        self.entries
            .values()
            .filter(|entry| entry.keys.iter().any(asked))
            .map(|entry| Cert::try_from(&entry.raw))
            .collect()
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err calls"
)]
fn key_error(fault: anyhow::Error) -> Error {
    Error::Key(fault.to_string())
}

fn public(raw: RawCert<'_>) -> anyhow::Result<RawCert<'static>> {
    let secret = |tag| matches!(tag, Tag::SecretKey | Tag::SecretSubkey);
    if raw.packets().any(|packet| secret(packet.tag())) {
        return reparsed(&Cert::try_from(raw)?);
    }
    Ok(raw.into_owned())
}

/// Both copies of a key, so that a revocation in either counts.
fn merged(known: &RawCert<'static>, new: &RawCert<'static>) -> anyhow::Result<RawCert<'static>> {
    if known == new {
        return Ok(known.clone());
    }
    reparsed(&Cert::try_from(known)?.merge_public(Cert::try_from(new)?)?)
}

fn reparsed(cert: &Cert) -> anyhow::Result<RawCert<'static>> {
    Ok(RawCert::from_bytes(&cert.to_vec()?)?.into_owned())
}

/// Reads a regular file: others may have no end.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut keys = Vec::new();
    file.take(LONGEST_FILE + 1).read_to_end(&mut keys)?;
    if keys.len() as u64 > LONGEST_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::pgp::SigningKey;
    use crate::pgp::gnupg::GnuPg;

    const TEXT: &str = "Source: hello\nChanges:\n - first\n";
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn key() -> SigningKey {
        SigningKey::generate("Test", "test@localhost").unwrap()
    }

    fn keyring(keys: &[u8]) -> Keyring {
        let mut keyring = Keyring::default();
        keyring.add(keys).unwrap();
        keyring
    }

    #[test]
    fn a_text_that_we_signed_is_verified() {
        let key = key();
        let keyring = keyring(key.public_armored().as_bytes());
        let signed = key.clearsign("Source: x\n- dash\n\nblank \nend").unwrap();
        assert_eq!(
            keyring.verify(signed.as_bytes()).unwrap(),
            Verified {
                text: "Source: x\n- dash\n\nblank\nend\n".into(),
                fingerprint: key.fingerprint(),
                user_id: "Test <test@localhost>".into(),
            }
        );
        let dos = signed.replace('\n', "\r\n");
        assert!(keyring.verify(dos.as_bytes()).is_ok());
    }

    #[test]
    fn a_text_of_whole_lines_comes_back_as_it_was() {
        let key = key();
        let keyring = keyring(key.public_armored().as_bytes());
        for text in [TEXT, "a\n", "a\n\n", "\n", "ä\n--\n- x\nFrom x\n"] {
            let signed = key.clearsign(text).unwrap();
            assert_eq!(keyring.verify(signed.as_bytes()).unwrap().text, text);
        }
    }

    #[test]
    fn a_changed_text_is_refused() {
        let key = key();
        let keyring = keyring(key.public_armored().as_bytes());
        let signed = key.clearsign(TEXT).unwrap();
        for changed in [
            signed.replace("hello", "evil"),
            signed.replace("Source", "\nSource"),
            signed.replace(" - first", "  - first"),
            signed.replace("Source: hello\n", ""),
        ] {
            assert_ne!(changed, signed);
            let fault = keyring.verify(changed.as_bytes()).unwrap_err();
            assert!(matches!(fault, Error::Bad(_)), "{fault:?}");
        }
    }

    #[test]
    fn unsigned_text_and_text_outside_are_refused() {
        let key = key();
        let keyring = keyring(key.public_armored().as_bytes());
        let fault = |text: String| keyring.verify(text.as_bytes()).unwrap_err();
        assert!(matches!(fault(TEXT.into()), Error::NotSigned));
        let signed = key.clearsign(TEXT).unwrap();
        for text in [
            format!("{TEXT}\n{signed}"),
            format!("{signed}\n{TEXT}"),
            format!("{signed}{signed}"),
        ] {
            assert!(matches!(fault(text), Error::TextOutside));
        }
        let twice = key.clearsign(&signed).unwrap();
        assert!(matches!(fault(twice), Error::Malformed(_)));
    }

    #[test]
    fn an_unknown_key_is_named() {
        let key = key();
        let signed = key.clearsign(TEXT).unwrap();
        let fault = Keyring::default().verify(signed.as_bytes()).unwrap_err();
        assert_eq!(
            fault.to_string(),
            format!("signed by unknown key {}", key.fingerprint())
        );
    }

    #[test]
    fn keys_and_signatures_of_gnupg_are_verified() {
        let gnupg = GnuPg::new();
        for (user_id, algorithm) in [("rsa@localhost", "rsa3072"), ("ed@localhost", "ed25519")] {
            gnupg.make_key(user_id, algorithm, "never");
            let keyring = keyring(&gnupg.export(user_id));
            for text in ["a: b\n", "- x\n\n y \n\n", "no end", "\n", "ä\n"] {
                let signed = gnupg.clearsign(&[user_id], &[], "", text);
                let verified = keyring.verify(&signed).unwrap();
                assert_eq!(verified.fingerprint, gnupg.fingerprint(user_id));
                assert_eq!(verified.user_id, user_id);
                let lines = text.lines().map(|line| line.trim_end_matches(' '));
                assert!(verified.text.lines().eq(lines), "{:?}", verified.text);
            }
        }
    }

    #[test]
    fn one_good_signature_of_several_suffices() {
        let gnupg = GnuPg::new();
        let users = ["a@localhost", "b@localhost"];
        for user in users {
            gnupg.make_key(user, "ed25519", "never");
        }
        let signed = gnupg.clearsign(&users, &[], "", TEXT);
        for user in users {
            let verified = keyring(&gnupg.export(user)).verify(&signed).unwrap();
            assert_eq!(verified.user_id, user);
        }
        let by_one = gnupg.clearsign(&users[..1], &[], "", TEXT);
        assert!(keyring(&gnupg.export(users[1])).verify(&by_one).is_err());
    }

    #[test]
    fn expired_and_revoked_keys_are_refused_even_for_old_signatures() {
        let gnupg = GnuPg::new();
        let user = "expired@localhost";
        gnupg.make_key_at(user, "ed25519", "20200201T000000", "20200101T000000");
        let signed = gnupg.clearsign(&[user], &[], "20200110T000000", TEXT);
        let fault = keyring(&gnupg.export(user)).verify(&signed).unwrap_err();
        assert_eq!(
            fault.to_string(),
            format!("signed by expired key {}", gnupg.fingerprint(user))
        );
        let then = SystemTime::UNIX_EPOCH + DAY * (50 * 365 + 12 + 15);
        let keyring_then = keyring(&gnupg.export(user));
        assert!(keyring_then.verify_at(&signed, then).is_ok());

        let user = "revoked@localhost";
        gnupg.make_key(user, "ed25519", "never");
        let signed = gnupg.clearsign(&[user], &[], "", TEXT);
        let before = gnupg.export(user);
        gnupg.revoke(user);
        let mut keys = keyring(&before);
        assert!(keys.verify(&signed).is_ok());
        let fault = keyring(&gnupg.export(user)).verify(&signed).unwrap_err();
        assert!(matches!(fault, Error::RevokedKey(_)), "{fault:?}");
        keys.add(&gnupg.export(user)).unwrap();
        keys.add(&before).unwrap();
        assert_eq!(keys.fingerprints(), [gnupg.fingerprint(user)]);
        assert!(matches!(keys.verify(&signed), Err(Error::RevokedKey(_))));
    }

    #[test]
    fn signatures_from_the_future_are_refused() {
        let key = key();
        let keyring = keyring(key.public_armored().as_bytes());
        let signed = key.clearsign(TEXT).unwrap();
        let now = SystemTime::now();
        let fault = keyring.verify_at(signed.as_bytes(), now - DAY).unwrap_err();
        assert!(matches!(fault, Error::Future { .. }), "{fault:?}");
        assert!(keyring.verify_at(signed.as_bytes(), now + DAY).is_ok());
    }

    #[test]
    fn weak_digests_are_refused() {
        let gnupg = GnuPg::new();
        let user = "weak@localhost";
        gnupg.make_key(user, "rsa2048", "never");
        let keyring = keyring(&gnupg.export(user));
        for digest in ["SHA1", "RIPEMD160", "MD5"] {
            let options = ["--digest-algo", digest, "--allow-weak-digest-algos"];
            let signed = gnupg.clearsign(&[user], &options, "", TEXT);
            let fault = keyring.verify(&signed).unwrap_err();
            assert!(matches!(fault, Error::Weak { .. }), "{digest}: {fault:?}");
        }
    }

    #[test]
    fn a_detached_signature_is_none_of_a_text() {
        let key = key();
        let keyring = keyring(key.public_armored().as_bytes());
        let signature = key.detach_sign(b"Source: hello").unwrap();
        let text = format!("-----BEGIN PGP SIGNED MESSAGE-----\n\nSource: hello\n{signature}");
        let fault = keyring.verify(text.as_bytes()).unwrap_err();
        assert!(matches!(fault, Error::Bad(_)), "{fault:?}");
    }

    #[test]
    fn armor_holds_a_few_signatures_and_nothing_else() {
        let key = key();
        let keyring = keyring(key.public_armored().as_bytes());
        let public = key
            .public_armored()
            .replace("PUBLIC KEY BLOCK", "SIGNATURE");
        let text = format!("-----BEGIN PGP SIGNED MESSAGE-----\n\na\n{public}");
        let fault = keyring.verify(text.as_bytes()).unwrap_err();
        assert!(matches!(fault, Error::Malformed(_)), "{fault:?}");
    }

    #[test]
    fn secret_parts_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let key = key();
        key.save(&path).unwrap();
        let mut keyring = Keyring::default();
        keyring.add_file(&path).unwrap();
        assert_eq!(keyring.fingerprints(), [key.fingerprint()]);
        std::fs::write(&path, keyring.to_armored().unwrap()).unwrap();
        let fault = SigningKey::load(&path).unwrap_err().to_string();
        assert!(fault.contains("no secret key"), "{fault}");
    }

    #[test]
    fn armored_keyrings_round_trip() {
        let (one, two) = (key(), key());
        let both = one.public_armored() + &two.public_armored();
        let first = keyring(both.as_bytes());
        assert_eq!(first.fingerprints().len(), 2);
        let second = keyring(first.to_armored().unwrap().as_bytes());
        assert_eq!(first.fingerprints(), second.fingerprints());
    }

    #[test]
    fn a_detached_signature_is_of_the_very_bytes_and_of_a_known_key() {
        let key = key();
        let keyring = keyring(key.public_armored().as_bytes());
        let signature = key.detach_sign(TEXT.as_bytes()).unwrap();
        keyring
            .verify_detached(TEXT.as_bytes(), &signature)
            .unwrap();
        assert!(keyring.verify_detached(b"other", &signature).is_err());
        assert!(keyring.verify_detached(TEXT.as_bytes(), "").is_err());
        let foreign = self::key().detach_sign(TEXT.as_bytes()).unwrap();
        let fault = keyring.verify_detached(TEXT.as_bytes(), &foreign);
        assert!(matches!(fault, Err(Error::UnknownKey(_))), "{fault:?}");
    }

    #[test]
    fn what_is_no_keyring_is_refused() {
        for text in [
            &b""[..],
            b"hello",
            b"\x99",
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n",
        ] {
            let added = Keyring::default().add(text);
            assert!(matches!(added, Err(Error::Key(_))), "{text:?}");
        }
    }

    #[test]
    fn keyrings_of_debian_load_quickly() {
        for name in ["debian-archive-keyring.gpg", "debian-keyring.gpg"] {
            let path = Path::new("/usr/share/keyrings").join(name);
            if !path.exists() {
                continue;
            }
            let start = Instant::now();
            let mut keyring = Keyring::default();
            keyring.add_file(&path).unwrap();
            assert!(keyring.fingerprints().len() > 5);
            assert!(start.elapsed() < Duration::from_secs(60));
        }
    }
}
