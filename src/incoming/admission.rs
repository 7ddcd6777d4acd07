//! What the kinds of messages have in common at the door.
use std::path::PathBuf;

use super::authority::Peers;
use super::directory::Directory;
use super::fault::{Fault, Stop};
use super::listing::{self, Sums};
use super::{Arrival, Error};
use crate::deb::{Changes, Checksums, FileName};
use crate::home::Home;
use crate::model::BuildKey;
use crate::pgp::SigningKeys;
use crate::store::Transaction;
use crate::store::catalog::Catalog;
use crate::store::jobs::Received;

/// A message whose signer and text are good: what is left to verify, and what it changes.
pub(super) trait Admission {
    fn changes(&self) -> &Changes;
    /// Where its files go.
    fn place(&self, home: &Home) -> PathBuf;
    /// Tells whether its files are wanted: of a repetition they are not.
    fn is_wanted(&self, tx: &Transaction<'_>) -> Result<bool, Stop>;
    /// Holds its files against their lists.
    fn verify(&self, staging: &Directory) -> Result<(), Stop>;
    /// Writes what it changes, and says whom that concerns.
    fn commit(&self, tx: &Transaction<'_>) -> Result<Option<News>, Stop>;
}

/// Whom a committed change concerns.
pub(super) enum News {
    Packager(Arrival),
    Builder(BuildKey),
}

/// A message that nothing is known of yet, and who decides about it.
pub(super) struct Letter<'a> {
    pub(super) message: &'a Received,
    pub(super) content: &'a [u8],
    pub(super) catalog: &'a Catalog,
    pub(super) own: &'a SigningKeys,
    /// Our own.
    pub(super) http_url: &'a str,
}

/// A message of another instance, or of this one to itself.
pub(super) struct FromPeer {
    pub(super) peers: Peers,
    /// Of the key that signed it.
    pub(super) fingerprint: String,
    pub(super) changes: Changes,
}

impl Letter<'_> {
    pub(super) fn parse(&self, text: &str) -> Result<Changes, Fault> {
        text.parse().map_err(|source| self.fault(source))
    }

    pub(super) fn fault(&self, source: crate::deb::Error) -> Fault {
        Fault::Text {
            changes: self.message.changes.clone(),
            source,
        }
    }

    pub(super) fn peer(&self) -> Result<FromPeer, Stop> {
        let peers = Peers::load(self.catalog, self.own).map_err(Error::from)?;
        let verified = peers.verify(self.content).map_err(Fault::Signature)?;
        Ok(FromPeer {
            changes: self.parse(&verified.text)?,
            fingerprint: verified.fingerprint,
            peers,
        })
    }

    /// The name of a message between instances follows from its fields.
    pub(super) fn check_name(&self, expected: &FileName) -> Result<(), Fault> {
        let changes = &self.message.changes;
        if changes == expected {
            return Ok(());
        }
        Err(Fault::Name {
            changes: changes.clone(),
            expected: expected.clone(),
        })
    }

    /// SHA-256, by which repetitions are known.
    pub(super) fn digest(&self) -> String {
        let mut content = self.content;
        Checksums::of(&mut content)
            .expect("reading memory can't fail")
            .sha256
    }
}

/// Verifies the files of a message between instances, which may be these only.
pub(super) fn verify_files(
    staging: &Directory,
    changes: &Changes,
    allowed: &[String],
) -> Result<(), Stop> {
    let is_allowed = |name: &FileName| allowed.iter().any(|allowed| allowed == name.as_str());
    if let Some(extra) = changes.files.iter().find(|file| !is_allowed(&file.name)) {
        return Err(Fault::Extra(extra.name.clone()).into());
    }
    listing::verify(staging, &changes.files, Sums::Any)?;
    Ok(())
}
