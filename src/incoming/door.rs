//! Takes the messages of closed connections, one after another.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use tokio::sync::{mpsc, watch};
use tracing::{error, info};

use super::authority::{Peers, Uploaders};
use super::directory::Directory;
use super::fault::{Fault, Stop};
use super::listing::{self, Sums};
use super::{Arrival, Error, row_name};
use crate::cause::with_causes;
use crate::deb::{Changes, Checksums, FileName};
use crate::events::Events;
use crate::home::Home;
use crate::model::job::{BuildState, Packaging, PackagingState};
use crate::model::message::MessageKind;
use crate::model::{BuildKey, Buildrequest, Buildresult, PackageKey};
use crate::pgp::{self, SigningKey, Verified};
use crate::store::catalog::Catalog;
use crate::store::jobs::{self, Build, BuilderState, Received};
use crate::store::{Store, Transaction};

/// A longer .changes is refused.
pub(super) const CHANGES_LIMIT: u64 = 4 << 20;
/// How long a message waits that can't be taken for a reason of ours.
const RETRY: Duration = Duration::from_secs(30);

pub struct Door {
    pub home: Home,
    pub store: Arc<Store>,
    pub key: Arc<SigningKey>,
    pub events: Arc<Events>,
    pub packager: mpsc::UnboundedSender<Arrival>,
    pub builder: mpsc::UnboundedSender<BuildKey>,
}

/// Takes staging directories from `closed` until `shutdown`.
pub async fn run(
    door: Arc<Door>,
    mut closed: mpsc::UnboundedReceiver<PathBuf>,
    again: mpsc::UnboundedSender<PathBuf>,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        let staging = tokio::select! {
            biased;
            _ = shutdown.changed() => return,
            staging = closed.recv() => staging,
        };
        let Some(staging) = staging else { return };
        let taken = {
            let (door, staging) = (Arc::clone(&door), staging.clone());
            tokio::task::spawn_blocking(move || door.take(&staging)).await
        };
        let fault = match taken {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => with_causes(&error),
            Err(panicked) => panicked.to_string(),
        };
        error!(staging = %staging.display(), error = fault, "can't take what was received");
        let again = again.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RETRY).await;
            let _ = again.send(staging);
        });
    }
}

impl Door {
    /// Takes all messages of a staging directory, then deletes it. After a crash in the middle it is run again.
    pub fn take(&self, staging: &Path) -> Result<(), Error> {
        let row_name = row_name(staging);
        let messages = self.store.read(|tx| jobs::received_in(tx, &row_name))?;
        if !messages.is_empty() {
            let directory =
                Directory::create(staging).map_err(|source| failed("open", staging, source))?;
            for message in &messages {
                self.take_message(&directory, message)?;
            }
        }
        remove(staging).map_err(|source| failed("delete", staging, source))
    }

    fn take_message(&self, staging: &Directory, message: &Received) -> Result<(), Error> {
        match self.admit(staging, message) {
            Ok(()) => Ok(()),
            Err(Stop::Refused(refusal)) => self.refuse(staging, message, &refusal),
            Err(Stop::Failed(error)) => Err(*error),
        }
    }

    fn admit(&self, staging: &Directory, message: &Received) -> Result<(), Stop> {
        let content = match read_changes(staging, &message.changes)? {
            Ok(content) => content,
            Err(fault) => return Err(self.lost(message, fault)?),
        };
        let catalog = self.store.read(Catalog::load)?;
        match MessageKind::of(&message.changes) {
            MessageKind::Upload => self.admit_upload(staging, message, &content, &catalog),
            MessageKind::Buildrequest => self.admit_request(staging, message, &content, &catalog),
            MessageKind::Buildresult => self.admit_result(staging, message, &content, &catalog),
        }
    }

    fn admit_upload(
        &self,
        staging: &Directory,
        message: &Received,
        content: &[u8],
        catalog: &Catalog,
    ) -> Result<(), Stop> {
        let changes = self.authorized(message, content, catalog)?;
        if changes.paragraph.get("X-Mini-Buildd-Timecode").is_some() {
            return Err(Fault::NotAnUpload.into());
        }
        let verified = listing::verify(staging, &changes.files, Sums::Sha256)?;
        listing::verify_dsc(staging, &changes, &verified)?;

        let key = PackageKey {
            source: changes.source.clone(),
            version: changes.version.clone(),
            timecode: message.timecode.clone(),
        };
        let packaging = Packaging {
            key: key.clone(),
            distribution: changes.distribution.clone(),
            architecture: changes.architecture(),
            changes: message.changes.clone(),
            diststr: None,
            experimental: false,
            state: PackagingState::Accepted,
            builds: std::collections::BTreeMap::new(),
        };
        let place = self.home.event_directory(&packaging.upload());
        link(staging, message, &changes, &place)?;
        self.store.write::<_, Stop>(|tx| {
            jobs::put_packaging(tx, &packaging)?;
            Ok(jobs::remove_received(tx, message)?)
        })?;
        info!(%key, distribution = packaging.distribution, "upload accepted");
        let _ = self.packager.send(Arrival::Upload(key));
        Ok(())
    }

    /// Text of an upload whose signer may upload where the text wants it.
    fn authorized(
        &self,
        message: &Received,
        content: &[u8],
        catalog: &Catalog,
    ) -> Result<Changes, Stop> {
        let uploaders = Uploaders::load(catalog, &self.key).map_err(Error::from)?;
        let verified = match uploaders.verify(content) {
            Ok(verified) => verified,
            Err(error) => {
                return unauthenticated(content, catalog)
                    .ok_or_else(|| Fault::Signature(error).into());
            }
        };
        let changes = parse(message, &verified.text)?;
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

    fn admit_request(
        &self,
        staging: &Directory,
        message: &Received,
        content: &[u8],
        catalog: &Catalog,
    ) -> Result<(), Stop> {
        let peers = Peers::load(catalog, &self.key).map_err(Error::from)?;
        let verified = peers.verify(content).map_err(Fault::Signature)?;
        let changes = parse(message, &verified.text)?;
        let request =
            Buildrequest::from_changes(&changes).map_err(|source| text_fault(message, source))?;
        let (name, key) = (request.file_name(), request.key());
        check_name(message, &name)?;
        check_files(&changes, &[format!("{name}.tar")])
            .map_err(Stop::from)
            .and_then(|()| listing::verify(staging, &changes.files, Sums::Any))
            .map_err(|stop| {
                let is_ours = verified.fingerprint == self.key.fingerprint();
                if is_ours { stop.about(&key) } else { stop }
            })?;
        let build = Build {
            request,
            digest: digest(content),
            requester: verified.fingerprint,
            attempts: 0,
            state: BuilderState::Queued,
        };
        let to_do = |tx: &Transaction<'_>| to_do(tx, &key, &build);
        let is_new = |build: &Build| build.state == BuilderState::Queued;
        if self.store.read(to_do)?.as_ref().is_some_and(is_new) {
            link(staging, message, &changes, &self.home.build_directory(&key))?;
        }
        let to_do = self.store.write::<_, Stop>(|tx| {
            let to_do = to_do(tx)?;
            if let Some(build) = &to_do {
                jobs::put_build(tx, build)?;
            }
            jobs::remove_received(tx, message)?;
            Ok(to_do)
        })?;
        info!(%key, new = to_do.as_ref().is_some_and(is_new), "buildrequest accepted");
        if to_do.is_some() {
            let _ = self.builder.send(key);
        }
        Ok(())
    }

    fn admit_result(
        &self,
        staging: &Directory,
        message: &Received,
        content: &[u8],
        catalog: &Catalog,
    ) -> Result<(), Stop> {
        let peers = Peers::load(catalog, &self.key).map_err(Error::from)?;
        let verified = peers.verify(content).map_err(Fault::Signature)?;
        let changes = parse(message, &verified.text)?;
        let result =
            Buildresult::from_changes(&changes).map_err(|source| text_fault(message, source))?;
        let (name, key) = (result.file_name(), result.key());
        check_name(message, &name)?;
        let digest = digest(content);
        let signed_by = |builder: &str| {
            if peers.is_builder(&verified.fingerprint, builder) {
                return Ok(());
            }
            Err(Fault::WrongBuilder {
                key: Box::new(key.clone()),
                builder: builder.into(),
                fingerprint: verified.fingerprint.clone(),
            })
        };
        let awaits = |tx: &Transaction<'_>| awaiting(tx, &result, &digest, signed_by);
        if self.store.read(awaits)?.is_some() {
            check_files(&changes, &[buildlog_name(&result), format!("{name}.tar")])
                .map_err(Stop::from)
                .and_then(|()| listing::verify(staging, &changes.files, Sums::Any))
                .map_err(|stop| stop.about(&key))?;
            link(staging, message, &changes, &self.home.event_directory(&key))?;
        }
        let new = self.store.write::<_, Stop>(|tx| {
            let packaging = awaits(tx)?;
            if let Some(packaging) = &packaging {
                jobs::put_packaging(tx, &with_result(packaging.clone(), &result))?;
                jobs::put_message_digest(tx, BUILDRESULT, &key, &digest)?;
            }
            jobs::remove_received(tx, message)?;
            Ok(packaging.is_some())
        })?;
        info!(%key, new, "buildresult accepted");
        if new {
            let _ = self.packager.send(Arrival::Buildresult(key.package));
        }
        Ok(())
    }
}

const BUILDRESULT: &str = "buildresult";

/// Content of a .changes, or what is wrong with it.
fn read_changes(staging: &Directory, changes: &FileName) -> Result<Result<Vec<u8>, Fault>, Error> {
    match staging.read(changes, CHANGES_LIMIT) {
        Ok(Some(content)) => Ok(Ok(content)),
        Ok(None) => Ok(Err(Fault::TooLong {
            changes: changes.clone(),
            limit: CHANGES_LIMIT,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(Fault::Unreadable {
            changes: changes.clone(),
            fault: error.to_string(),
        })),
        Err(source) => Err(failed("read", staging.path(), source)),
    }
}

fn parse(message: &Received, text: &str) -> Result<Changes, Fault> {
    text.parse().map_err(|source| text_fault(message, source))
}

fn text_fault(message: &Received, source: crate::deb::Error) -> Fault {
    Fault::Text {
        changes: message.changes.clone(),
        source,
    }
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

fn target<'a>(changes: &Changes, catalog: &'a Catalog) -> Option<&'a crate::model::Repository> {
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

fn check_name(message: &Received, expected: &FileName) -> Result<(), Fault> {
    if message.changes == *expected {
        return Ok(());
    }
    Err(Fault::Name {
        changes: message.changes.clone(),
        expected: expected.clone(),
    })
}

fn check_files(changes: &Changes, allowed: &[String]) -> Result<(), Fault> {
    let is_allowed = |name: &FileName| allowed.iter().any(|allowed| allowed == name.as_str());
    match changes.files.iter().find(|file| !is_allowed(&file.name)) {
        Some(extra) => Err(Fault::Extra(extra.name.clone())),
        None => Ok(()),
    }
}

fn buildlog_name(result: &Buildresult) -> String {
    let path = result.buildlog();
    path.rsplit('/').next().unwrap_or_default().into()
}

fn digest(content: &[u8]) -> String {
    let mut content = content;
    Checksums::of(&mut content)
        .expect("reading memory can't fail")
        .sha256
}

/// What becomes of the build, if this request changes that.
///
/// Who asks again has not got the answer: one that was sent is sent again.
fn to_do(tx: &Transaction<'_>, key: &BuildKey, asked: &Build) -> Result<Option<Build>, Stop> {
    match jobs::build(tx, key)? {
        None => Ok(Some(asked.clone())),
        Some(known) if known.digest != asked.digest => Err(Fault::Replayed(key.clone()).into()),
        Some(known) if known.state == BuilderState::Uploaded => Ok(Some(Build {
            state: BuilderState::Built,
            ..known
        })),
        Some(_) => Ok(None),
    }
}

/// The packaging that waits for this result; `None`: it has exactly this one already.
fn awaiting(
    tx: &Transaction<'_>,
    result: &Buildresult,
    digest: &str,
    signed_by: impl Fn(&str) -> Result<(), Fault>,
) -> Result<Option<Packaging>, Stop> {
    let key = result.key();
    let Some(packaging) = jobs::packaging(tx, &key.package)? else {
        return Err(Fault::Stray(key).into());
    };
    let Some(build) = packaging.builds.get(&result.architecture) else {
        return Err(Fault::NotAsked(key).into());
    };
    signed_by(&build.builder)?;
    if let Some(known) = jobs::message_digest(tx, BUILDRESULT, &key)? {
        if known == digest {
            return Ok(None);
        }
        return Err(Fault::Replayed(key).into());
    }
    match (&packaging.state, &build.state) {
        (PackagingState::Packaging, BuildState::Requested | BuildState::Sent) => {
            Ok(Some(packaging))
        }
        (
            PackagingState::Accepted
            | PackagingState::Packaging
            | PackagingState::Installed
            | PackagingState::Failed { .. }
            | PackagingState::Rejected { .. },
            _,
        ) => Err(Fault::Stray(key).into()),
    }
}

fn with_result(mut packaging: Packaging, result: &Buildresult) -> Packaging {
    if let Some(build) = packaging.builds.get_mut(&result.architecture) {
        build.state = BuildState::Done(Box::new(result.clone()));
    }
    packaging
}

/// Gives the message and its files their second name, at their place; on disk before the row is.
fn link(
    staging: &Directory,
    message: &Received,
    changes: &Changes,
    place: &Path,
) -> Result<(), Error> {
    let place_failed = |source| failed("move files to", place, source);
    let to = Directory::create(place).map_err(place_failed)?;
    let files = changes.files.iter().map(|file| &file.name);
    for name in files.chain([&message.changes]) {
        staging
            .link(name, &to, name.as_str())
            .map_err(place_failed)?;
    }
    to.sync().map_err(place_failed)
}

fn remove(staging: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(staging) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(staging),
        Ok(_) => fs::remove_file(staging),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File {
        action,
        path: path.into(),
        source,
    }
}
