use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sequoia_openpgp::Profile;
use sequoia_openpgp::cert::amalgamation::key::ValidErasedKeyAmalgamation;
use sequoia_openpgp::cert::amalgamation::{ValidAmalgamation, ValidateAmalgamation};
use sequoia_openpgp::cert::{Cert, CertBuilder, CipherSuite};
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::crypto::mpi::PublicKey;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::key::SecretParts;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::{Curve, KeyFlags, RevocationStatus};

use super::{Error, signature};

/// A secret key that signs: indices, buildrequests and buildresults, uploads.
#[derive(Clone)]
pub struct SigningKey {
    cert: Cert,
    public: String,
}

/// Why a key does not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unable {
    #[error("it holds no secret key")]
    Public,
    #[error("its secret key is protected by a passphrase")]
    Locked,
    #[error("it was revoked")]
    Revoked,
    #[error("it has expired")]
    Expired,
    #[error("it is too weak: {0}")]
    Weak(String),
    #[error("no secret key in it is for signing")]
    NotForSigning,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey")
            .field(&self.fingerprint())
            .finish()
    }
}

impl SigningKey {
    /// Makes an ed25519 key for `NAME <EMAIL>` without expiry.
    pub fn generate(name: &str, email: &str) -> Result<SigningKey, Error> {
        let user_id = format!("{name} <{email}>");
        if [name, email].iter().any(|part| {
            part.is_empty() || part.contains(|c: char| c.is_control() || matches!(c, '<' | '>'))
        }) {
            return Err(Error::Key(format!("user id {user_id:?}")));
        }
        // Version 4 with signing by the primary key is what gpgv and every apt can read.
        let (cert, _revocation) = CertBuilder::new()
            .set_profile(Profile::RFC4880)
            .map_err(key_error)?
            .set_cipher_suite(CipherSuite::Cv25519)
            .set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
            .set_validity_period(None)
            .add_userid(UserID::from(user_id))
            .generate()
            .map_err(key_error)?;
        SigningKey::new(cert)
    }

    /// Reads an armored or binary secret key that can sign now.
    pub fn load(path: &Path) -> Result<SigningKey, Error> {
        let key = SigningKey::read(path)?;
        key.can_sign()?;
        Ok(key)
    }

    /// Reads a secret key that may have expired.
    pub fn read(path: &Path) -> Result<SigningKey, Error> {
        let text = fs::read(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        SigningKey::new(Cert::from_bytes(&text).map_err(key_error)?)
    }

    pub(super) fn new(cert: Cert) -> Result<SigningKey, Error> {
        let public = cert.armored().to_vec().map_err(key_error)?;
        Ok(SigningKey {
            public: String::from_utf8(public).map_err(|fault| key_error(fault.into()))?,
            cert,
        })
    }

    /// Writes with mode 0600; never replaces, and a crash leaves no half of a key.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        // Unlike a rename, a link never replaces.
        self.write(path, |new, path| {
            let linked = fs::hard_link(new, path);
            fs::remove_file(new)?;
            linked
        })
    }

    /// As [`SigningKey::save`], in the place of what is there: at any time there is one of the two.
    pub fn replace(&self, path: &Path) -> Result<(), Error> {
        self.write(path, |new, path| fs::rename(new, path))
    }

    fn write(&self, path: &Path, put: fn(&Path, &Path) -> io::Result<()>) -> Result<(), Error> {
        let text = self.cert.as_tsk().armored().to_vec().map_err(key_error)?;
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        write_new(&new, &text)
            .and_then(|()| put(&new, path))
            .and_then(|()| sync_parent(path))
            .map_err(|source| Error::Write {
                path: path.into(),
                source,
            })
    }

    pub fn public_armored(&self) -> String {
        self.public.clone()
    }

    /// Upper-case hexadecimal fingerprint of the primary key.
    pub fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }

    /// Of the key that signs, as gpg names it: `ed25519`, `rsa4096`.
    pub fn algorithm(&self) -> String {
        let primary = self.cert.primary_key().key().clone();
        let key = match self.pair() {
            Ok(pair) => pair.public().clone(),
            Err(_) => primary.role_into_unspecified(),
        };
        let bits = || key.mpis().bits().unwrap_or_default();
        match key.mpis() {
            PublicKey::EdDSA {
                curve: Curve::Ed25519,
                ..
            } => "ed25519".into(),
            PublicKey::RSA { .. } => format!("rsa{}", bits()),
            _ => key.pk_algo().to_string(),
        }
    }

    pub fn created(&self) -> SystemTime {
        self.cert.primary_key().key().creation_time()
    }

    /// When it ends to sign; `None`: never.
    pub fn expires(&self) -> Option<SystemTime> {
        let policy = StandardPolicy::new();
        let primary = self.cert.primary_key().with_policy(&policy, None).ok()?;
        let last = self
            .signers(&policy)
            .map(|key| key.key_expiration_time())
            .reduce(|one, other| Some(one?.max(other?)))
            .flatten();
        let times = [primary.key_expiration_time(), last];
        times.into_iter().flatten().min()
    }

    pub fn can_sign(&self) -> Result<(), Error> {
        self.pair().map(drop)
    }

    /// Signs in the cleartext framework, SHA-512.
    pub fn clearsign(&self, text: &str) -> Result<String, Error> {
        signature::clearsign(&[self.pair()?], text)
    }

    /// Armored detached signature, SHA-512.
    pub fn detach_sign(&self, data: &[u8]) -> Result<String, Error> {
        signature::detach_sign(&[self.pair()?], data)
    }

    /// A key of the certificate that may sign now.
    pub(super) fn pair(&self) -> Result<KeyPair, Error> {
        let policy = StandardPolicy::new();
        let able = self.signers(&policy).find(|key| key.alive().is_ok());
        let Some(key) = able else {
            return Err(Error::Unable {
                key: self.fingerprint(),
                source: self.why_unable(&policy),
            });
        };
        let key = key.key().clone();
        key.into_keypair()
            .map_err(|fault| Error::Sign(fault.to_string()))
    }

    /// Keys of the certificate that may sign, or might until they expired.
    fn signers<'a>(
        &'a self,
        policy: &'a StandardPolicy<'_>,
    ) -> impl Iterator<Item = ValidErasedKeyAmalgamation<'a, SecretParts>> {
        let keys = self.cert.keys().unencrypted_secret();
        keys.with_policy(policy, None)
            .supported()
            .revoked(false)
            .for_signing()
    }

    fn why_unable(&self, policy: &StandardPolicy<'_>) -> Unable {
        if !self.cert.is_tsk() {
            return Unable::Public;
        }
        if self.cert.keys().unencrypted_secret().next().is_none() {
            return Unable::Locked;
        }
        let primary = match self.cert.primary_key().with_policy(policy, None) {
            Ok(primary) => primary,
            Err(fault) => return Unable::Weak(fault.to_string()),
        };
        if let RevocationStatus::Revoked(_) = primary.revocation_status() {
            return Unable::Revoked;
        }
        if primary.alive().is_err() || self.signers(policy).next().is_some() {
            return Unable::Expired;
        }
        Unable::NotForSigning
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err calls"
)]
fn key_error(fault: sequoia_openpgp::anyhow::Error) -> Error {
    Error::Key(fault.to_string())
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::pgp::gnupg::{GnuPg, gpgv};

    fn key() -> SigningKey {
        SigningKey::generate("mini-buildd test", "mini-buildd@localhost").unwrap()
    }

    #[test]
    fn a_saved_key_is_private_and_loads_as_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("signing.asc");
        let key = key();
        key.save(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let loaded = SigningKey::load(&path).unwrap();
        assert_eq!(loaded.fingerprint(), key.fingerprint());
        assert_eq!(loaded.public_armored(), key.public_armored());
    }

    #[test]
    fn saving_never_replaces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("signing.asc");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(key().save(&path), Err(Error::Write { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_printed_of_a_key_is_public() {
        let key = key();
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey({:?})", key.fingerprint())
        );
        assert!(!key.public_armored().contains("PRIVATE"));
    }

    #[test]
    fn public_or_broken_keys_do_not_sign() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, key().public_armored()).unwrap();
        let fault = SigningKey::load(&path).unwrap_err().to_string();
        assert!(fault.contains("no secret key"), "{fault}");
        fs::write(&path, "hello").unwrap();
        assert!(matches!(SigningKey::load(&path), Err(Error::Key(_))));
        assert!(matches!(
            SigningKey::load(&directory.path().join("absent")),
            Err(Error::Read { .. })
        ));
    }

    #[test]
    fn user_ids_stay_in_one_line() {
        assert!(SigningKey::generate("a\nb", "a@b").is_err());
        assert!(SigningKey::generate("a", "a> <b").is_err());
    }

    #[test]
    fn gpgv_accepts_clearsigned_text() {
        let key = key();
        for text in [
            "Origin: test\nSuite: sid\n",
            "- dash\n-----BEGIN\nFrom x\n\n\nno newline at the end",
            "blank at end  \nnext\n\n",
            "",
            "umlaut ä\n",
        ] {
            let signed = key.clearsign(text).unwrap();
            assert!(signed.contains("\nHash: SHA512\n"), "{signed}");
            let said = gpgv(&key.public_armored(), &[signed.as_bytes()]).unwrap();
            assert!(said.contains(&key.fingerprint()), "{said}");
        }
    }

    #[test]
    fn clearsigned_text_stands_in_the_message_line_by_line() {
        let signed = key().clearsign("Origin: test\nSuite: sid\n").unwrap();
        let (_, text) = signed.split_once("\n\n").unwrap();
        let (text, _) = text.split_once("-----BEGIN").unwrap();
        assert_eq!(text, "Origin: test\nSuite: sid\n");
    }

    #[test]
    fn gpgv_accepts_detached_signatures() {
        let key = key();
        let data = b"Origin: test\r\n\x00binary\n";
        let signature = key.detach_sign(data).unwrap();
        assert!(signature.starts_with("-----BEGIN PGP SIGNATURE-----\n"));
        gpgv(&key.public_armored(), &[signature.as_bytes(), data]).unwrap();
        assert!(gpgv(&key.public_armored(), &[signature.as_bytes(), b"other"]).is_err());
    }

    #[test]
    fn imported_rsa_key_signs_and_a_passphrase_is_named() {
        let gnupg = GnuPg::new();
        gnupg.make_key("imported@localhost", "rsa2048", "never");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rsa.asc");
        fs::write(&path, gnupg.export_secret("imported@localhost")).unwrap();
        let key = SigningKey::load(&path).unwrap();
        let signed = key.clearsign("a: b\n").unwrap();
        gpgv(&key.public_armored(), &[signed.as_bytes()]).unwrap();

        gnupg.make_key_with_passphrase("locked@localhost", "secret");
        fs::write(&path, gnupg.export_locked("locked@localhost", "secret")).unwrap();
        let fault = SigningKey::load(&path).unwrap_err().to_string();
        assert!(fault.contains("passphrase"), "{fault}");
    }
}
