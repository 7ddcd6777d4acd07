//! The packager: takes uploads, asks builders, installs what they send.
//!
//! One task looks at uploads and finishes packagings, one after another, so no two of them race for a dist; only the
//! sending of buildrequests runs beside it. What is installed while more is waiting is published in one pass.
//!
//! Reading order: [`examine`] decides about an upload ([`target`], then [`buildrequest`], else [`rejection`]);
//! [`install`] ends it; [`publication`] tells apt.
pub mod buildrequest;
pub mod examine;
pub mod install;
mod publication;
pub mod rejection;
pub mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tracing::{error, warn};

use crate::archive::ArchiveDir;
use crate::cause::with_causes;
use crate::deb;
use crate::events::Events;
use crate::home::{FileError, Home};
use crate::incoming::Arrival;
use crate::keys::Keys;
use crate::model::job::{BuildState, Packaging, PackagingState, RequestedBuild};
use crate::model::message::request_name;
use crate::model::repository::Identity;
use crate::model::{Address, BuildKey, Check, Daemon, PackageKey, Status};
use crate::pgp;
use crate::remotes::Load;
use crate::store::{self, Store, items, jobs};
use crate::upload;

pub use publication::Publication;

/// First and longest pause before something is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How long an arrival waits that can't be followed for a reason of ours.
const RETRY: Duration = Duration::from_secs(30);

/// How often it is looked what other processes and the upkeep changed.
const LOOK: Duration = Duration::from_secs(5);

/// So many installed packages, or such a time after the first one, wait for others at most.
const BATCH: usize = 20;
const BATCH_TIME: Duration = Duration::from_secs(2);

/// What the packager works with.
pub struct Parts {
    pub home: Home,
    pub store: Arc<Store>,
    pub keys: Arc<Keys>,
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
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the certificate of the HTTP endpoint")]
    Certificate(#[from] crate::certificate::Error),
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
}

/// Follows arrivals until `shutdown`; begins with what an earlier run left, and says when its dists are `published`.
pub async fn run(
    parts: Arc<Parts>,
    publication: Arc<Publication>,
    published: oneshot::Sender<()>,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    again: mpsc::UnboundedSender<Arrival>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut packager = Packager {
        is_active: parts.load.value() >= 0.0,
        publication,
        parts,
        again,
        sending: JoinSet::new(),
        publish_at: None,
        publish_pause: FIRST_PAUSE,
        batch: Batch::default(),
    };
    packager.publish().await;
    // Without a receiver nobody waits any more.
    let _ = published.send(());
    packager.recover().await;
    let mut running = packager.parts.load.running();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if packager.batch.is_full(Instant::now()) {
            packager.publish().await;
        }
        let publish_at = packager.publish_at;
        // While it is stopped, what arrived waits.
        let is_running = *running.borrow_and_update();
        tokio::select! {
            biased;
            _ = shutdown.changed() => return,
            _ = running.changed() => {}
            arrival = arrivals.recv(), if is_running => match arrival {
                Some(Arrival::Upload(key)) => packager.examine(key).await,
                Some(Arrival::Buildresult(key)) => packager.finish(key).await,
                Some(Arrival::Lost(key)) => packager.ask_again(key).await,
                None => return,
            },
            Some(_) = packager.sending.join_next() => {}
            // After all that has arrived: the installed are published together.
            () = until(publish_at) => packager.publish().await,
            _ = looks.tick(), if publish_at.is_none() => packager.look().await,
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
    publication: Arc<Publication>,
    /// Where an arrival goes that couldn't be followed for a reason of ours.
    again: mpsc::UnboundedSender<Arrival>,
    sending: JoinSet<()>,
    publish_at: Option<Instant>,
    publish_pause: Duration,
    batch: Batch,
    /// Whether the daemon's item was active when it was looked at last.
    is_active: bool,
}

/// Installed packages that wait to be published together.
#[derive(Default)]
struct Batch {
    installed: usize,
    first: Option<Instant>,
}

impl Batch {
    fn add(&mut self, now: Instant) {
        self.installed += 1;
        self.first.get_or_insert(now);
    }

    /// Tells whether they wait for no other.
    fn is_full(&self, now: Instant) -> bool {
        self.installed >= BATCH || self.first.is_some_and(|first| now - first >= BATCH_TIME)
    }
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
                let now = Instant::now();
                self.batch.add(now);
                self.publish_at = Some(now);
            }
            Some(_) => {}
            None => self.follow_later(arrival),
        }
    }

    /// Asks the builder again, or finishes the packaging if that was done too often.
    async fn ask_again(&mut self, key: BuildKey) {
        let package = key.package.clone();
        let arrival = Arrival::Lost(key.clone());
        let packaging = self
            .blocking(move |parts| Ok(parts.store.read(|tx| jobs::packaging(tx, &package))?))
            .await;
        match packaging {
            Some(Some(mut packaging)) => {
                packaging
                    .builds
                    .retain(|name, _| name.as_str() == key.architecture);
                self.send_requests(&packaging);
                self.finish(key.package).await;
            }
            Some(None) => {}
            None => self.follow_later(arrival),
        }
    }

    /// What fails is tried again, and again: the rows say what is to be published.
    async fn publish(&mut self) {
        self.batch = Batch::default();
        let publication = Arc::clone(&self.publication);
        let published = self.blocking(move |_| publication.publish()).await;
        if published.is_some() {
            self.publish_at = None;
            self.publish_pause = FIRST_PAUSE;
            return;
        }
        self.publish_at = Some(Instant::now() + self.publish_pause);
        self.publish_pause = longer(self.publish_pause);
    }

    /// Follows what others changed: whether the daemon is active; keys, or packages, which are published and told.
    async fn look(&mut self) {
        let item = self.blocking(|parts| {
            let item = parts.store.read(|tx| items::get::<Daemon>(tx, "daemon"))?;
            Ok(item.and_then(|(_, status)| match status {
                // Changed fields are for the next start.
                Status::Prepared(Check::Changed) => None,
                status => Some(status.is_to_be_active()),
            }))
        });
        if let Some(Some(is_active)) = item.await
            && is_active != self.is_active
        {
            self.is_active = is_active;
            if is_active {
                self.parts.load.start();
            } else {
                self.parts.load.stop();
            }
        }
        let publication = Arc::clone(&self.publication);
        let is_due = self.blocking(move |_| publication.is_due()).await;
        if is_due == Some(true) {
            self.publish().await;
        }
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
                let key = packaging.key.build(architecture.as_str());
                self.sending.spawn(send(parts, key, self.again.clone()));
            }
        }
    }

    /// `None`: it failed, which is logged.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Parts) -> Result<T, Error> + Send + 'static,
    ) -> Option<T> {
        blocking(&self.parts, work).await
    }
}

/// `None`: it failed, which is logged.
async fn blocking<T: Send + 'static>(
    parts: &Arc<Parts>,
    work: impl FnOnce(&Parts) -> Result<T, Error> + Send + 'static,
) -> Option<T> {
    let parts = Arc::clone(parts);
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
            let paragraph = examine::upload_fields(parts, &packaging);
            examine::reject(parts, packaging, &paragraph, 500, &detail).map(Some)
        }
    }
}

/// Sends one buildrequest to its builder, again and again until it arrives or there is none any more.
async fn send(parts: Arc<Parts>, key: BuildKey, ended: mpsc::UnboundedSender<Arrival>) {
    let directory = parts.home.event_directory(&key);
    let name = request_name(&key);
    let changes = directory.join(name.as_str());
    let tar = directory.join(format!("{name}.tar"));
    let url = &parts.address.incoming_url;
    let mut pause = FIRST_PAUSE;
    loop {
        let read = key.clone();
        let before = blocking(&parts, move |parts| refusals(parts, &read)).await;
        if before == Some(None) {
            return;
        }
        let sent = upload::upload(
            url,
            std::slice::from_ref(&tar),
            &changes,
            &parts.address.certificates(),
        )
        .await;
        let noted = match (sent, before.flatten()) {
            (Ok(()), Some(refusals)) => {
                let key = key.clone();
                blocking(&parts, move |parts| mark_sent(parts, &key, refusals)).await
            }
            (Err(error), _) if error.is_of_the_file() => {
                let (key, reason) = (key.clone(), with_causes(&error));
                let reason = format!("the buildrequest is lost: {reason}");
                blocking(&parts, move |parts| mark_lost(parts, &key, &reason)).await
            }
            (Err(error), _) => {
                warn!(%key, error = with_causes(&error), "can't send buildrequest");
                None
            }
            (Ok(()), None) => None,
        };
        if noted == Some(true) {
            // Without a receiver the daemon is stopping.
            let _ = ended.send(Arrival::Buildresult(key.package));
            return;
        }
        sleep(pause).await;
        pause = longer(pause);
    }
}

/// How many messages of a build were refused; `None`: nobody is to be asked.
fn refusals(parts: &Parts, key: &BuildKey) -> Result<Option<u32>, Error> {
    let mut packaging = parts.store.read(|tx| jobs::packaging(tx, &key.package))?;
    let build = packaging
        .as_mut()
        .and_then(|packaging| packaging.build_mut(key));
    Ok(build
        .filter(|build| build.state == BuildState::Requested)
        .map(|build| build.refusals))
}

/// Notes that a buildrequest has arrived, if nothing was refused since; the result may have come first.
fn mark_sent(parts: &Parts, key: &BuildKey, refusals: u32) -> Result<bool, Error> {
    change_request(parts, key, |build| {
        let is_last = build.refusals == refusals;
        if is_last {
            build.state = BuildState::Sent;
        }
        is_last
    })
}

fn mark_lost(parts: &Parts, key: &BuildKey, reason: &str) -> Result<bool, Error> {
    change_request(parts, key, |build| build.refuse(reason, false))
}

/// Changes what is asked of a builder, while it is asked; `true` otherwise.
fn change_request(
    parts: &Parts,
    key: &BuildKey,
    change: impl FnOnce(&mut RequestedBuild) -> bool,
) -> Result<bool, Error> {
    parts.store.write(|tx| {
        let Some(mut packaging) = jobs::packaging(tx, &key.package)? else {
            return Ok(true);
        };
        let build = packaging.build_mut(key);
        let Some(build) = build.filter(|build| build.state == BuildState::Requested) else {
            return Ok(true);
        };
        let changed = change(build);
        jobs::put_packaging(tx, &packaging)?;
        Ok(changed)
    })
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}
