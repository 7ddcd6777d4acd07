//! The packager: takes uploads, asks builders, installs what they send.
//!
//! One task looks at uploads and finishes packagings, one after another, so no two of them race for a dist; only the
//! sending of buildrequests runs beside it. Reading order: [`examine`] decides about an upload ([`target`], then
//! [`buildrequest`], else [`rejection`]); [`install`] ends it.
pub mod buildrequest;
pub mod examine;
pub mod install;
pub mod rejection;
pub mod target;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{error, info, warn};

use crate::archive::ArchiveDir;
use crate::cause::with_causes;
use crate::deb::{self, Architecture};
use crate::events::Events;
use crate::home::Home;
use crate::incoming::Arrival;
use crate::model::job::{BuildState, Packaging, PackagingState};
use crate::model::repository::Identity;
use crate::model::{Address, BuildKey, Daemon, PackageKey};
use crate::pgp::{self, SigningKey};
use crate::remotes::Load;
use crate::store::catalog::Catalog;
use crate::store::{self, Store, jobs};
use crate::upload;

/// First and longest pause before something is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How long an arrival waits that can't be followed for a reason of ours.
const RETRY: Duration = Duration::from_secs(30);

/// What the packager works with.
pub struct Parts {
    pub home: Home,
    pub store: Arc<Store>,
    pub key: Arc<SigningKey>,
    pub address: Address,
    pub daemon: Daemon,
    pub events: Arc<Events>,
    /// Of our own builder.
    pub load: Arc<Load>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Archive(#[from] crate::archive::Error),
    #[error(transparent)]
    Message(#[from] crate::message::Error),
    #[error(transparent)]
    Key(#[from] pgp::Error),
    #[error(transparent)]
    Events(#[from] crate::events::Error),
    #[error(transparent)]
    NoArchive(#[from] crate::model::source::NoArchive),
    #[error("{path}")]
    Text { path: PathBuf, source: deb::Error },
    #[error("can't {action} {path}")]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("buildresult {key}: {fault}")]
    Result { key: Box<BuildKey>, fault: String },
    #[error(transparent)]
    Version(#[from] Box<rejection::Rejection>),
    #[error("the repository, suite or .dsc of the upload is no longer there")]
    NoTarget,
}

impl Parts {
    fn archive(&self, identity: &Identity) -> ArchiveDir {
        ArchiveDir::new(
            self.home.repository(identity),
            identity.clone(),
            Arc::clone(&self.store),
        )
    }

    /// Publishes every dirty dist, then tells of what is published.
    fn publish(&self) -> Result<(), Error> {
        let catalog = self.store.read(Catalog::load)?;
        let now = Timestamp::now();
        for (repository, _) in catalog.repositories() {
            let archive = self.archive(&repository.identity);
            let published = archive.publish(&self.key, now)?;
            if published.is_empty() {
                continue;
            }
            info!(repository = %repository.identity, dists = published.len(), "published");
            if let Err(error) = archive.clean(now) {
                warn!(error = with_causes(&error), "can't delete old indices");
            }
        }
        Ok(self.events.flush_published()?)
    }
}

/// Follows arrivals until `shutdown`; begins with what an earlier run left.
pub async fn run(
    parts: Arc<Parts>,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    again: mpsc::UnboundedSender<Arrival>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut packager = Packager {
        parts,
        again,
        sending: JoinSet::new(),
        publish_at: None,
        publish_pause: FIRST_PAUSE,
    };
    packager.publish().await;
    packager.recover().await;
    loop {
        let publish_at = packager.publish_at;
        tokio::select! {
            biased;
            _ = shutdown.changed() => return,
            arrival = arrivals.recv() => match arrival {
                Some(Arrival::Upload(key)) => packager.examine(key).await,
                Some(Arrival::Buildresult(key)) => packager.finish(key).await,
                None => return,
            },
            Some(_) = packager.sending.join_next() => {}
            () = until(publish_at) => packager.publish().await,
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

struct Packager {
    parts: Arc<Parts>,
    /// Where an arrival goes that couldn't be followed for a reason of ours.
    again: mpsc::UnboundedSender<Arrival>,
    sending: JoinSet<()>,
    publish_at: Option<Instant>,
    publish_pause: Duration,
}

impl Packager {
    async fn recover(&mut self) {
        let unfinished = self
            .blocking(|parts| Ok(parts.store.read(jobs::unfinished_packagings)?))
            .await;
        for packaging in unfinished.unwrap_or_default() {
            match packaging.state {
                PackagingState::Accepted => self.examine(packaging.key).await,
                PackagingState::Packaging => {
                    self.send_requests(&packaging);
                    self.finish(packaging.key).await;
                }
                PackagingState::Installed
                | PackagingState::Failed { .. }
                | PackagingState::Rejected { .. } => {}
            }
        }
    }

    async fn examine(&mut self, key: PackageKey) {
        let arrival = Arrival::Upload(key.clone());
        let examined = self
            .blocking(move |parts| examine_or_reject(parts, &key))
            .await;
        self.flush().await;
        match examined {
            Some(Some(packaging)) => self.send_requests(&packaging),
            Some(None) => {}
            None => self.follow_later(arrival),
        }
    }

    async fn finish(&mut self, key: PackageKey) {
        let arrival = Arrival::Buildresult(key.clone());
        let finished = self
            .blocking(
                move |parts| match parts.store.read(|tx| jobs::packaging(tx, &key))? {
                    Some(packaging) if packaging.state == PackagingState::Packaging => {
                        install::finish(parts, packaging)
                    }
                    Some(_) | None => Ok(None),
                },
            )
            .await;
        self.flush().await;
        match finished {
            Some(Some(packaging)) if packaging.state == PackagingState::Installed => {
                self.publish().await;
            }
            Some(_) => {}
            None => self.follow_later(arrival),
        }
    }

    /// What fails is tried again, and again: the rows say what is to be published.
    async fn publish(&mut self) {
        if self.blocking(Parts::publish).await.is_some() {
            self.publish_at = None;
            self.publish_pause = FIRST_PAUSE;
            return;
        }
        self.publish_at = Some(Instant::now() + self.publish_pause);
        self.publish_pause = longer(self.publish_pause);
    }

    fn follow_later(&mut self, arrival: Arrival) {
        let again = self.again.clone();
        self.sending.spawn(async move {
            sleep(RETRY).await;
            // Without a receiver the daemon is stopping.
            let _ = again.send(arrival);
        });
    }

    /// What can't be told now is told with the next publication.
    async fn flush(&mut self) {
        let flushed = self.blocking(|parts| Ok(parts.events.flush()?)).await;
        if flushed.is_none() && self.publish_at.is_none() {
            self.publish_at = Some(Instant::now() + self.publish_pause);
        }
    }

    fn send_requests(&mut self, packaging: &Packaging) {
        for (architecture, build) in &packaging.builds {
            if build.state == BuildState::Requested {
                let parts = Arc::clone(&self.parts);
                let key = packaging.key.clone();
                let architecture = architecture.clone();
                self.sending.spawn(send(parts, key, architecture));
            }
        }
    }

    /// `None`: it failed, which is logged.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Parts) -> Result<T, Error> + Send + 'static,
    ) -> Option<T> {
        let parts = Arc::clone(&self.parts);
        match tokio::task::spawn_blocking(move || work(&parts)).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                error!(error = with_causes(&error), "packager");
                None
            }
            Err(panicked) => {
                error!(%panicked, "packager");
                None
            }
        }
    }
}

/// An upload that can't be examined for a reason of ours is rejected too: nobody waits for ever.
fn examine_or_reject(parts: &Parts, key: &PackageKey) -> Result<Option<Packaging>, Error> {
    let packaging = match parts.store.read(|tx| jobs::packaging(tx, key))? {
        Some(packaging) if packaging.state == PackagingState::Accepted => packaging,
        Some(_) | None => return Ok(None),
    };
    match examine::examine(parts, packaging.clone()) {
        Ok(packaging) => Ok(Some(packaging)),
        Err(error) => {
            let detail = format!("Internal error: {}", with_causes(&error));
            let paragraph = examine::read_upload(parts, &packaging)
                .map(|upload| upload.paragraph)
                .unwrap_or_default();
            examine::reject(parts, packaging, &paragraph, 500, &detail).map(Some)
        }
    }
}

/// Sends one buildrequest to its builder, again and again until it arrives.
async fn send(parts: Arc<Parts>, key: PackageKey, architecture: Architecture) {
    let directory = parts
        .home
        .event_directory(&key.build(architecture.as_str()));
    let name = format!(
        "{}_mini-buildd-buildrequest_{architecture}.changes",
        key.file_base()
    );
    let changes = directory.join(&name);
    let tar = directory.join(format!("{name}.tar"));
    let mut pause = FIRST_PAUSE;
    let url = &parts.address.incoming_url;
    while let Err(error) = upload::upload(url, std::slice::from_ref(&tar), &changes).await {
        warn!(%key, %architecture, error = with_causes(&error), "can't send buildrequest");
        sleep(pause).await;
        pause = longer(pause);
    }
    let sent = tokio::task::spawn_blocking(move || mark_sent(&parts, &key, &architecture)).await;
    if let Ok(Err(error)) = sent {
        error!(
            error = with_causes(&error),
            "can't note a sent buildrequest"
        );
    }
}

/// The result may have come first.
fn mark_sent(parts: &Parts, key: &PackageKey, architecture: &Architecture) -> Result<(), Error> {
    parts.store.write(|tx| {
        let Some(mut packaging) = jobs::packaging(tx, key)? else {
            return Ok(());
        };
        let Some(build) = packaging.builds.get_mut(architecture) else {
            return Ok(());
        };
        if build.state == BuildState::Requested {
            build.state = BuildState::Sent;
            jobs::put_packaging(tx, &packaging)?;
        }
        Ok(())
    })
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}
