use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sequoia_openpgp::cert::{Cert, CertBuilder, CipherSuite};
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::serialize::stream::{Armorer, Message, Signer};
use sequoia_openpgp::types::{HashAlgorithm, KeyFlags, SignatureType};
use sequoia_openpgp::{Profile, armor};

use super::Error;

/// A secret key that signs: indices, buildrequests and buildresults, uploads.
#[derive(Clone)]
pub struct SigningKey {
    cert: Cert,
    public: String,
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

    /// Reads an armored or binary secret key; a passphrase on it is refused.
    pub fn load(path: &Path) -> Result<SigningKey, Error> {
        let text = fs::read(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        SigningKey::new(Cert::from_bytes(&text).map_err(key_error)?)
    }

    fn new(cert: Cert) -> Result<SigningKey, Error> {
        let public = cert.armored().to_vec().map_err(key_error)?;
        let key = SigningKey {
            public: String::from_utf8(public).map_err(|fault| key_error(fault.into()))?,
            cert,
        };
        key.signing_key_pair().map_err(Error::Key)?;
        Ok(key)
    }

    /// Writes with mode 0600; never replaces, and a crash leaves no half of a key.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let text = self.cert.as_tsk().armored().to_vec().map_err(key_error)?;
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        write_new(&PathBuf::from(new), path, &text).map_err(|source| Error::Write {
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

    /// Signs in the cleartext framework, SHA-512.
    pub fn clearsign(&self, text: &str) -> Result<String, Error> {
        // The end of the last line belongs to the framework; given another one, it signs an empty line.
        let text = text.strip_suffix('\n').unwrap_or(text);
        let signed = self.sign(text.as_bytes(), SignatureType::Text)?;
        String::from_utf8(signed).map_err(|fault| Error::Sign(fault.to_string()))
    }

    /// Armored detached signature, SHA-512.
    pub fn detach_sign(&self, data: &[u8]) -> Result<String, Error> {
        let signature = self.sign(data, SignatureType::Binary)?;
        String::from_utf8(signature).map_err(|fault| Error::Sign(fault.to_string()))
    }

    fn sign(&self, data: &[u8], kind: SignatureType) -> Result<Vec<u8>, Error> {
        let key = self.signing_key_pair().map_err(Error::Sign)?;
        let mut output = Vec::with_capacity(data.len() + 1024);
        let write = || -> sequoia_openpgp::Result<()> {
            let template = SignatureBuilder::new(kind);
            let message = Message::new(&mut output);
            let signer = if kind == SignatureType::Text {
                // The cleartext framework brings its own armor.
                Signer::with_template(message, key, template)?.cleartext()
            } else {
                let message = Armorer::new(message).kind(armor::Kind::Signature);
                Signer::with_template(message.build()?, key, template)?.detached()
            };
            let mut message = signer.hash_algo(HashAlgorithm::SHA512)?.build()?;
            message.write_all(data)?;
            message.finalize()
        };
        write().map_err(|fault| Error::Sign(fault.to_string()))?;
        Ok(output)
    }

    /// A key of the certificate that may sign now.
    fn signing_key_pair(&self) -> Result<KeyPair, String> {
        let keys = || self.cert.keys();
        if keys().secret().next().is_none() {
            return Err("it holds no secret key".into());
        }
        if keys().unencrypted_secret().next().is_none() {
            return Err("its secret key is protected by a passphrase".into());
        }
        let policy = StandardPolicy::new();
        let key = keys()
            .unencrypted_secret()
            .with_policy(&policy, None)
            .supported()
            .alive()
            .revoked(false)
            .for_signing()
            .next()
            .ok_or("no key in it may sign: expired, revoked, too weak, or not for signing")?;
        key.key()
            .clone()
            .into_keypair()
            .map_err(|fault| fault.to_string())
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err calls"
)]
fn key_error(fault: sequoia_openpgp::anyhow::Error) -> Error {
    Error::Key(fault.to_string())
}

fn write_new(new: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::remove_file(new) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    let written = file
        .write_all(text)
        .and_then(|()| file.sync_all())
        // Unlike a rename, a link never replaces.
        .and_then(|()| fs::hard_link(new, path));
    fs::remove_file(new)?;
    written?;
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
