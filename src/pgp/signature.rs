//! Makes signatures, by one key or several at once.
use std::io::Write;

use sequoia_openpgp::armor;
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::stream::{Armorer, Message, Signer};
use sequoia_openpgp::types::{HashAlgorithm, SignatureType};
use sequoia_openpgp::{Packet, PacketPile};

use super::Error;
use super::cleartext::BEGIN_SIGNATURE;

/// Signs in the cleartext framework, SHA-512.
pub(super) fn clearsign(keys: &[KeyPair], text: &str) -> Result<String, Error> {
    // The end of the last line belongs to the framework; given another one, it signs an empty line.
    let text = text.strip_suffix('\n').unwrap_or(text);
    sign(keys, text.as_bytes(), SignatureType::Text)
}

/// Armored detached signatures, SHA-512.
pub(super) fn detach_sign(keys: &[KeyPair], data: &[u8]) -> Result<String, Error> {
    sign(keys, data, SignatureType::Binary)
}

fn sign(keys: &[KeyPair], data: &[u8], kind: SignatureType) -> Result<String, Error> {
    let fault = |fault: sequoia_openpgp::anyhow::Error| Error::Sign(fault.to_string());
    loop {
        let signed = sign_once(keys.to_vec(), data, kind).map_err(fault)?;
        if is_plain_in_status(&signed).map_err(fault)? {
            return Ok(signed);
        }
    }
}

fn sign_once(
    keys: Vec<KeyPair>,
    data: &[u8],
    kind: SignatureType,
) -> sequoia_openpgp::Result<String> {
    let mut output = Vec::with_capacity(data.len() + 1024);
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
    message.finalize()?;
    Ok(String::from_utf8(output)?)
}

/// Whether gpgv's status lines about the signatures hold no backslash. Sequoia salts each signature in a notation, whose
/// bytes gpgv prints; debootstrap reads the lines by `read` without `-r`, which takes a backslash at the end of one for
/// the start of the next, and so misses VALIDSIG.
fn is_plain_in_status(signed: &str) -> sequoia_openpgp::Result<bool> {
    let armor = signed.rfind(BEGIN_SIGNATURE).unwrap_or_default();
    let packets = PacketPile::from_bytes(&signed[armor..])?;
    let mut notations = packets
        .descendants()
        .filter_map(|packet| match packet {
            Packet::Signature(signature) => Some(signature),
            _ => None,
        })
        .flat_map(|signature| signature.notation_data());
    Ok(!notations.any(|notation| notation.value().contains(&b'\\')))
}

#[cfg(test)]
mod tests {
    use crate::pgp::SigningKey;
    use crate::pgp::gnupg::gpgv_status;

    // Random salts: of 100, all are without a backslash once in 200,000 times.
    #[test]
    fn no_status_line_of_gpgv_goes_on_in_the_next_one() {
        let key = SigningKey::generate("Test", "test@example.org").unwrap();
        let check = |inputs: &[&[u8]]| {
            let status = gpgv_status(&key.public_armored(), inputs);
            assert!(status.contains("[GNUPG:] VALIDSIG "), "{status}");
            assert!(!status.contains('\\'), "{status}");
        };
        for _ in 0..50 {
            check(&[key.clearsign("text\n").unwrap().as_bytes()]);
            check(&[key.detach_sign(b"text\n").unwrap().as_bytes(), b"text\n"]);
        }
    }
}
