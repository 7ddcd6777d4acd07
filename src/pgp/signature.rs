//! Makes signatures, by one key or several at once.
use std::io::Write;

use sequoia_openpgp::armor;
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::serialize::stream::{Armorer, Message, Signer};
use sequoia_openpgp::types::{HashAlgorithm, SignatureType};

use super::Error;

/// Signs in the cleartext framework, SHA-512.
pub(super) fn clearsign(keys: Vec<KeyPair>, text: &str) -> Result<String, Error> {
    // The end of the last line belongs to the framework; given another one, it signs an empty line.
    let text = text.strip_suffix('\n').unwrap_or(text);
    sign(keys, text.as_bytes(), SignatureType::Text)
}

/// Armored detached signatures, SHA-512.
pub(super) fn detach_sign(keys: Vec<KeyPair>, data: &[u8]) -> Result<String, Error> {
    sign(keys, data, SignatureType::Binary)
}

fn sign(keys: Vec<KeyPair>, data: &[u8], kind: SignatureType) -> Result<String, Error> {
    let mut output = Vec::with_capacity(data.len() + 1024);
    let write = || -> sequoia_openpgp::Result<()> {
        let mut message = Message::new(&mut output);
        if kind != SignatureType::Text {
            message = Armorer::new(message).kind(armor::Kind::Signature).build()?;
        }
        let mut keys = keys.into_iter();
        let first = keys
            .next()
            .ok_or_else(|| sequoia_openpgp::anyhow::anyhow!("there is no key"))?;
        let mut signer = Signer::with_template(message, first, SignatureBuilder::new(kind))?;
        for key in keys {
            signer = signer.add_signer(key)?;
        }
        // The cleartext framework brings its own armor.
        signer = match kind {
            SignatureType::Text => signer.cleartext(),
            _ => signer.detached(),
        };
        let mut message = signer.hash_algo(HashAlgorithm::SHA512)?.build()?;
        message.write_all(data)?;
        message.finalize()
    };
    write().map_err(|fault| Error::Sign(fault.to_string()))?;
    String::from_utf8(output).map_err(|fault| Error::Sign(fault.to_string()))
}
