//! What the verifier found out, turned into one good signature or the most telling fault.
use std::time::SystemTime;

use sequoia_openpgp::anyhow;
use sequoia_openpgp::cert::amalgamation::{ValidAmalgamation, ValidateAmalgamation};
use sequoia_openpgp::packet::{Signature, Tag};
use sequoia_openpgp::parse::stream::{
    DetachedVerifierBuilder, GoodChecksum, MessageLayer, MessageStructure, VerificationError,
    VerificationHelper,
};
use sequoia_openpgp::parse::{PacketParser, PacketParserResult, Parse};
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::types::{RevocationStatus, SignatureType};
use sequoia_openpgp::{Cert, KeyHandle};

use super::Error;
use super::cleartext::Cleartext;
use super::keyring::Keyring;

/// More signatures than anyone needs would cost more time than an upload is worth.
const MOST_SIGNATURES: usize = 16;

/// Who made a good signature.
pub(super) struct Signer {
    pub(super) fingerprint: String,
    pub(super) user_id: String,
}

/// Checks the signatures of a text as of a time: the key must be valid then, and when it signed.
pub(super) fn check(
    cleartext: &Cleartext,
    keyring: &Keyring,
    at: SystemTime,
) -> Result<Signer, Error> {
    // The end of the last line is not signed (RFC 9580, section 7.1); ends of lines are read as CRLF.
    let text = cleartext.text.strip_suffix('\n').unwrap_or_default();
    let signature = &cleartext.signature;
    check_detached(signature, text.as_bytes(), SignatureType::Text, keyring, at)
}

/// As [`check`], of signatures of one kind that stand beside what they sign.
pub(super) fn check_detached(
    signature: &str,
    signed: &[u8],
    kind: SignatureType,
    keyring: &Keyring,
    at: SystemTime,
) -> Result<Signer, Error> {
    check_armor(signature)?;
    let policy = StandardPolicy::new();
    let bad = |fault: anyhow::Error| Error::Bad(fault.to_string());
    let judge = Judge {
        keyring,
        policy: &policy,
        kind,
        at,
        verdict: Err(Error::NotSigned),
    };
    let mut verifier = DetachedVerifierBuilder::from_bytes(signature)
        .map_err(bad)?
        .with_policy(&policy, at, judge)
        .map_err(bad)?;
    verifier.verify_bytes(signed).map_err(bad)?;
    verifier.into_helper().verdict
}

/// Refuses armor that holds anything but signatures.
fn check_armor(armor: &str) -> Result<(), Error> {
    let malformed = |fault: anyhow::Error| Error::Malformed(fault.to_string());
    let mut count = 0;
    let mut rest = PacketParser::from_bytes(armor).map_err(malformed)?;
    while let PacketParserResult::Some(parser) = rest {
        if parser.packet.tag() != Tag::Signature {
            let fault = format!("{} within the signature", parser.packet.tag());
            return Err(Error::Malformed(fault));
        }
        count += 1;
        if count > MOST_SIGNATURES {
            let fault = format!("more than {MOST_SIGNATURES} signatures");
            return Err(Error::Malformed(fault));
        }
        rest = parser.next().map_err(malformed)?.1;
    }
    Ok(())
}

/// Finds the keys for the verifier, and judges what it found out.
struct Judge<'a> {
    keyring: &'a Keyring,
    policy: &'a StandardPolicy<'a>,
    kind: SignatureType,
    at: SystemTime,
    /// The first good signature.
    verdict: Result<Signer, Error>,
}

impl VerificationHelper for Judge<'_> {
    fn get_certs(&mut self, ids: &[KeyHandle]) -> anyhow::Result<Vec<Cert>> {
        self.keyring.certificates(ids)
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> anyhow::Result<()> {
        for layer in structure {
            let MessageLayer::SignatureGroup { results } = layer else {
                continue;
            };
            for result in results {
                let verdict = match result {
                    Ok(good) => good_now(&good, self),
                    Err(fault) => Err(fault_of(&fault)),
                };
                // A signature by an unknown key beside another one says least.
                if verdict.is_ok()
                    || matches!(self.verdict, Err(Error::NotSigned | Error::UnknownKey(_)))
                {
                    self.verdict = verdict;
                }
                if self.verdict.is_ok() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Checks what the verifier does not: the kind of signature, and the key at the present time.
fn good_now(good: &GoodChecksum<'_>, judge: &Judge<'_>) -> Result<Signer, Error> {
    let Judge {
        policy, kind, at, ..
    } = *judge;
    let fingerprint = good.ka.cert().fingerprint().to_hex();
    if good.sig.typ() != kind {
        return Err(Error::Bad(format!(
            "key {fingerprint} signed no {kind} but a {}",
            good.sig.typ()
        )));
    }
    // Within the verifier's tolerance a signature may be a little younger than our clock.
    let at = good
        .sig
        .signature_creation_time()
        .map_or(at, |made| made.max(at));
    let key_fault = |fault: anyhow::Error| key_fault(&fingerprint, &fault);
    let now = good.ka.clone().with_policy(policy, at).map_err(key_fault)?;
    if revoked(&now.valid_cert().revocation_status()) || revoked(&now.revocation_status()) {
        return Err(Error::RevokedKey(fingerprint));
    }
    now.valid_cert().alive().map_err(key_fault)?;
    now.alive().map_err(key_fault)?;
    let user_id = now
        .valid_cert()
        .primary_userid()
        .map(|user_id| String::from_utf8_lossy(user_id.userid().value()).into_owned())
        .unwrap_or_default();
    Ok(Signer {
        fingerprint,
        user_id,
    })
}

fn revoked(status: &RevocationStatus<'_>) -> bool {
    matches!(status, RevocationStatus::Revoked(_))
}

fn key_fault(fingerprint: &str, fault: &anyhow::Error) -> Error {
    use sequoia_openpgp::Error as Sequoia;
    match fault.downcast_ref() {
        Some(Sequoia::Expired(_)) => Error::ExpiredKey(fingerprint.into()),
        Some(Sequoia::PolicyViolation(..)) => Error::Weak {
            key: fingerprint.into(),
            fault: fault.to_string(),
        },
        _ => Error::Bad(format!("key {fingerprint}: {fault}")),
    }
}

fn fault_of(fault: &VerificationError<'_>) -> Error {
    use sequoia_openpgp::Error as Sequoia;
    match fault {
        VerificationError::MissingKey { sig } => Error::UnknownKey(issuer(sig)),
        VerificationError::UnboundKey { cert, error, .. } => {
            key_fault(&cert.fingerprint().to_hex(), error)
        }
        VerificationError::BadKey { ka, error, .. } => {
            let fingerprint = ka.cert().fingerprint().to_hex();
            if revoked(&ka.valid_cert().revocation_status()) || revoked(&ka.revocation_status()) {
                return Error::RevokedKey(fingerprint);
            }
            key_fault(&fingerprint, error)
        }
        VerificationError::BadSignature { ka, error, .. } => {
            let key = ka.cert().fingerprint().to_hex();
            let fault = error.to_string();
            match error.downcast_ref() {
                Some(Sequoia::NotYetLive(_)) => Error::Future { key, fault },
                Some(Sequoia::PolicyViolation(..)) => Error::Weak { key, fault },
                _ => Error::Bad(format!("key {key}: {fault}")),
            }
        }
        VerificationError::MalformedSignature { error, .. } => Error::Bad(error.to_string()),
        VerificationError::UnknownSignature { sig } => Error::Bad(sig.error().to_string()),
        other => Error::Bad(other.to_string()),
    }
}

/// The most exact name that the signature gives to its key.
fn issuer(signature: &Signature) -> String {
    let issuers = signature.get_issuers();
    let fingerprint = issuers
        .iter()
        .find(|issuer| matches!(issuer, KeyHandle::Fingerprint(_)));
    fingerprint
        .or(issuers.first())
        .map_or_else(|| "without a name".into(), KeyHandle::to_hex)
}
