//! A packager's upload.
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::admission::{Admission, Letter, News};
use super::authority::Uploaders;
use super::directory::Directory;
use super::fault::{Fault, Stop};
use super::listing::{self, Sums};
use super::{Arrival, Error};
use crate::deb::Changes;
use crate::home::Home;
use crate::model::job::{Packaging, PackagingState};
use crate::model::{PackageKey, Repository};
use crate::pgp::{self, Verified};
use crate::store::catalog::Catalog;
use crate::store::{Transaction, jobs};

pub(super) struct Upload {
    changes: Changes,
    packaging: Packaging,
}

impl Upload {
    pub(super) fn authorize(letter: &Letter<'_>) -> Result<Upload, Stop> {
        let changes = authorized(letter)?;
        if changes.paragraph.get("X-Mini-Buildd-Timecode").is_some() {
            return Err(Fault::NotAnUpload.into());
        }
        let packaging = Packaging {
            key: PackageKey {
                source: changes.source.clone(),
                version: changes.version.clone(),
                timecode: letter.message.timecode.clone(),
            },
            distribution: changes.distribution.clone(),
            architecture: changes.architecture(),
            changes: letter.message.changes.clone(),
            diststr: None,
            experimental: false,
            state: PackagingState::Accepted,
            builds: BTreeMap::new(),
        };
        Ok(Upload { changes, packaging })
    }
}

impl Admission for Upload {
    fn changes(&self) -> &Changes {
        &self.changes
    }

    fn place(&self, home: &Home) -> PathBuf {
        home.event_directory(&self.packaging.upload())
    }

    /// The packager knows what is installed already, and says so.
    fn is_wanted(&self, _: &Transaction<'_>) -> Result<bool, Stop> {
        Ok(true)
    }

    fn verify(&self, staging: &Directory) -> Result<(), Stop> {
        let verified = listing::verify(staging, &self.changes.files, Sums::Sha256)?;
        listing::verify_dsc(staging, &self.changes, &verified)
    }

    fn commit(&self, tx: &Transaction<'_>) -> Result<Option<News>, Stop> {
        jobs::put_packaging(tx, &self.packaging)?;
        let key = self.packaging.key.clone();
        Ok(Some(News::Packager(Arrival::Upload(key))))
    }
}

/// Text of an upload whose signer may upload where the text wants it.
fn authorized(letter: &Letter<'_>) -> Result<Changes, Stop> {
    let (content, catalog) = (letter.content, letter.catalog);
    let uploaders = Uploaders::load(catalog, letter.own).map_err(Error::from)?;
    let verified = match uploaders.verify(content) {
        Ok(verified) => verified,
        Err(error) => {
            return unauthenticated(content, catalog).ok_or_else(|| Fault::Signature(error).into());
        }
    };
    let changes = letter.parse(&verified.text)?;
    let Some(repository) = target(&changes, catalog) else {
        // The packager names what is wrong with it, where a retry finds the upload.
        return Ok(changes);
    };
    let may_upload = repository.allow_unauthenticated_uploads
        || uploaders.may_upload(&verified.fingerprint, &repository.identity);
    if !may_upload {
        return Err(not_allowed(verified, repository.identity.to_string()).into());
    }
    Ok(changes)
}

/// An upload that the repository takes without a good signature.
fn unauthenticated(content: &[u8], catalog: &Catalog) -> Option<Changes> {
    let mut repositories = catalog.repositories();
    // Nothing is parsed where nothing unsigned is wanted.
    repositories.find(|(repository, _)| repository.allow_unauthenticated_uploads)?;
    let changes: Changes = pgp::unauthenticated_text(content).ok()?.parse().ok()?;
    target(&changes, catalog)?
        .allow_unauthenticated_uploads
        .then_some(changes)
}

fn target<'a>(changes: &Changes, catalog: &'a Catalog) -> Option<&'a Repository> {
    let diststr = catalog.resolve(&changes.distribution).ok()?;
    let (repository, _) = catalog.repository(&diststr.repository)?;
    Some(repository)
}

fn not_allowed(verified: Verified, repository: String) -> Fault {
    Fault::NotAllowed {
        fingerprint: verified.fingerprint,
        user_id: verified.user_id,
        repository,
    }
}
