//! The builder: takes buildrequests, builds them in its slots, sends buildresults.
//!
//! A build's row says how far it is, so that the next start goes on from there; the build itself belongs to its
//! supervisor. Reading order: this file walks a build from state to state; [`assignment`] makes what its supervisor is
//! told, [`result`] what its packager is; `upkeep` keeps the chroots in order, [`phases`] are counted, `handle` is for others.
pub mod assignment;
mod handle;
pub mod phases;
pub mod result;
mod upkeep;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::build::supervisor::{self, State};
use crate::build::{Assignment, BuildStatus, Verdict};
use crate::cause::with_causes;
use crate::chroots;
use crate::deb::Architecture;
use crate::events::{Events, record};
use crate::home::{FileError, Home};
use crate::keys::Keys;
use crate::model::{Address, BuildKey, Buildrequest, Buildresult, Event, EventType};
use crate::remotes::Load;
use crate::store::jobs::{Build, BuilderState};
use crate::store::{self, Store, event_log, jobs};
use crate::upload;

pub use handle::Builder;
use phases::Phases;

/// Supervisors that may die without a verdict before the builder gives up.
const MOST_ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What the builder works with.
pub struct Parts {
    pub home: Home,
    pub store: Arc<Store>,
    pub keys: Arc<Keys>,
    pub address: Address,
    pub events: Arc<Events>,
    pub load: Arc<Load>,
    /// Architecture of this machine's own packages.
    pub machine: Architecture,
    /// Program that supervises builds: `PROGRAM supervise DIRECTORY`.
    pub supervisor: PathBuf,
    /// What phases of builds took since the start.
    pub phases: Phases,
}

impl Parts {
    /// Tells whether the key that signed a buildrequest is ours.
    fn is_own(&self, requester: &str) -> bool {
        self.keys.now().own(Timestamp::now()).holds(requester)
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Message(#[from] crate::message::Error),
    #[error(transparent)]
    Events(#[from] crate::events::Error),
    #[error(transparent)]
    Supervisor(#[from] supervisor::Error),
    #[error(transparent)]
    Chroots(#[from] chroots::Error),
    #[error("Distribution: {0}")]
    Distribution(#[from] crate::model::diststr::Malformed),
    #[error("no active chroot for {0}")]
    NoChroot(String),
    #[error("chroot {0} has no source")]
    NoSource(String),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0} supervisors ended without a verdict")]
    Abandoned(u32),
    #[error("build {0} is unknown")]
    Unknown(BuildKey),
    #[error("blocking work ended early: {0}")]
    Ended(String),
}

impl Error {
    /// Tells whether trying again would end the same way, so that the packager is to be told.
    fn is_final(&self) -> bool {
        match self {
            Error::Supervisor(_)
            | Error::Distribution(_)
            | Error::NoChroot(_)
            | Error::NoSource(_)
            | Error::Abandoned(_) => true,
            Error::Message(error) => error.is_of_the_file(),
            Error::Store(_)
            | Error::Events(_)
            | Error::Chroots(_)
            | Error::File(_)
            | Error::Unknown(_)
            | Error::Ended(_) => false,
        }
    }
}

/// Counts a build from its arrival to its result.
struct Counted(Arc<Load>);

impl Counted {
    fn new(load: &Arc<Load>) -> Counted {
        load.add();
        Counted(Arc::clone(load))
    }
}
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// Follows buildrequests until `shutdown`; begins with what an earlier run left.
pub async fn run(
    builder: Builder,
    mut requests: mpsc::UnboundedReceiver<BuildKey>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut walks = Walks {
        slots: builder.slots,
        parts: builder.parts,
        walking: HashSet::new(),
        again: HashSet::new(),
        tasks: JoinSet::new(),
    };
    let unfinished = blocking(&walks.parts, |parts| {
        Ok(parts.store.read(jobs::unfinished_builds)?)
    });
    upkeep::clean(&walks.parts);
    let upkeep = upkeep::run(Arc::clone(&walks.parts), Arc::clone(&walks.slots));
    let upkeep = tokio::spawn(upkeep);
    match unfinished.await {
        Ok(unfinished) => {
            for build in unfinished {
                walks.begin(build.request.key());
            }
        }
        Err(error) => error!(error = with_causes(&error), "can't read unfinished builds"),
    }
    loop {
        tokio::select! {
            biased;
            _ = shutdown.changed() => break,
            key = requests.recv() => match key {
                Some(key) => walks.begin(key),
                None => break,
            },
            Some(ended) = walks.tasks.join_next() => match ended {
                Ok(key) => walks.end(key),
                Err(panicked) => error!(%panicked, "builder"),
            },
        }
    }
    upkeep.abort();
    walks.parts.load.stop();
}

/// The builds that are on their way, each once: a request may arrive while unfinished ones are read.
struct Walks {
    parts: Arc<Parts>,
    slots: Arc<Semaphore>,
    walking: HashSet<BuildKey>,
    /// Those that were asked for again meanwhile.
    again: HashSet<BuildKey>,
    tasks: JoinSet<BuildKey>,
}

impl Walks {
    fn begin(&mut self, key: BuildKey) {
        if self.walking.insert(key.clone()) {
            let (parts, slots) = (Arc::clone(&self.parts), Arc::clone(&self.slots));
            self.tasks.spawn(walk(parts, slots, key));
        } else {
            self.again.insert(key);
        }
    }

    fn end(&mut self, key: BuildKey) {
        self.walking.remove(&key);
        if self.again.remove(&key) {
            self.begin(key);
        }
    }
}

/// Brings one build to its end, trying again when something of ours fails.
async fn walk(parts: Arc<Parts>, slots: Arc<Semaphore>, key: BuildKey) -> BuildKey {
    let mut pause = FIRST_PAUSE;
    let counted = Counted::new(&parts.load);
    while let Err(error) = build(&parts, &slots, &key).await {
        error!(%key, error = with_causes(&error), "build is tried again");
        sleep(pause).await;
        pause = longer(pause);
    }
    drop(counted);
    while let Err(error) = send(&parts, &key).await {
        warn!(%key, error, "can't send buildresult");
        sleep(pause).await;
        pause = longer(pause);
    }
    key
}

/// From Queued or Building to Built.
async fn build(parts: &Arc<Parts>, slots: &Semaphore, key: &BuildKey) -> Result<(), Error> {
    let _slot = slot(parts, slots).await?;
    loop {
        let row = read(parts, key).await?;
        if matches!(row.state, BuilderState::Built | BuilderState::Uploaded) {
            return Ok(());
        }
        let began = SystemTime::now();
        let verdict = supervise(parts, &row).await;
        let verdict = match verdict {
            // The row counts the attempts.
            Ok(None) => continue,
            Ok(Some(verdict)) if begin_again(parts, &row, &verdict, began).await? => continue,
            Ok(Some(verdict)) => Ok(verdict),
            Err(error) if error.is_final() => Err(with_causes(&error)),
            Err(error) => return Err(error),
        };
        // Its beginning may have changed it.
        let row = read(parts, key).await?;
        blocking(parts, move |parts| finish(parts, &row, verdict)).await?;
        upkeep::clean(parts);
        return Ok(());
    }
}

/// Waits for a slot, and until the builder is running.
async fn slot<'a>(parts: &Parts, slots: &'a Semaphore) -> Result<SemaphorePermit<'a>, Error> {
    let mut running = parts.load.running();
    loop {
        // Its sender is in the parts.
        let _ = running.wait_for(|&is_running| is_running).await;
        let slot = slots.acquire().await;
        let slot = slot.map_err(|closed| Error::Ended(closed.to_string()))?;
        if parts.load.is_running() {
            return Ok(slot);
        }
    }
}

/// Queues a build once more that failed for its chroot's base, which is renewed.
async fn begin_again(
    parts: &Arc<Parts>,
    row: &Build,
    verdict: &Verdict,
    began: SystemTime,
) -> Result<bool, Error> {
    if verdict.status != BuildStatus::Failed {
        return Ok(false);
    }
    // Its beginning counted it.
    let mut build = read(parts, &row.request.key()).await?;
    if build.attempts >= MOST_ATTEMPTS {
        return Ok(false);
    }
    blocking(parts, move |parts| {
        if !upkeep::mend(parts, &build.request, began)? {
            return Ok(false);
        }
        build.state = BuilderState::Queued;
        parts.store.write(|tx| jobs::put_build(tx, &build))?;
        Ok(true)
    })
    .await
}

async fn read(parts: &Arc<Parts>, key: &BuildKey) -> Result<Build, Error> {
    let key = key.clone();
    blocking(parts, move |parts| {
        let row = parts.store.read(|tx| jobs::build(tx, &key))?;
        row.ok_or(Error::Unknown(key))
    })
    .await
}

/// Starts a supervisor, or finds the one that an earlier run started, and waits for its end.
///
/// `None`: it ended without a verdict.
async fn supervise(parts: &Arc<Parts>, row: &Build) -> Result<Option<Verdict>, Error> {
    let directory = parts.home.build_directory(&row.request.key());
    if row.state == BuilderState::Building {
        match supervisor::state(&directory)? {
            State::Ended(verdict) => return Ok(Some(*verdict)),
            State::Running => {
                info!(key = %row.request.key(), "attached to a running build");
                return wait(move || Ok(supervisor::wait(&directory)?)).await;
            }
            State::NotRunning if row.attempts >= MOST_ATTEMPTS => {
                return Err(Error::Abandoned(row.attempts));
            }
            State::NotRunning => {
                warn!(key = %row.request.key(), "build ended without a verdict");
                upkeep::clean(parts);
            }
        }
    }
    let build = row.clone();
    let assignment = blocking(parts, move |parts| begin(parts, build)).await?;
    let program = parts.supervisor.clone();
    wait(move || {
        let mut child = supervisor::start_program(&program, &assignment)?;
        let ended = child.wait();
        ended.map_err(FileError::of("wait for the supervisor in", &directory))?;
        Ok(supervisor::wait(&directory)?)
    })
    .await
}

/// Waits in a thread of its own: a build may take days, and the daemon ends without it.
async fn wait(
    work: impl FnOnce() -> Result<Option<Verdict>, Error> + Send + 'static,
) -> Result<Option<Verdict>, Error> {
    let (done, waiting) = oneshot::channel();
    std::thread::spawn(move || {
        // Without a receiver the daemon is stopping; the next start finds the verdict.
        let _ = done.send(work());
    });
    waiting
        .await
        .map_err(|closed| Error::Ended(closed.to_string()))?
}

/// Unpacks the request, notes that a supervisor is started, tells BUILDING the first time.
fn begin(parts: &Parts, mut build: Build) -> Result<Assignment, Error> {
    let assignment = assignment::make(parts, &mut build)?;
    let is_first = build.attempts == 0;
    build.state = BuilderState::Building;
    build.attempts += 1;
    let request = &build.request;
    let key = request.key();
    parts.store.write::<_, Error>(|tx| {
        jobs::put_build(tx, &build)?;
        if is_first {
            let extra = record::message(&key, Some(&request.file_name()), &request.to_paragraph());
            let now = Timestamp::now();
            let kind = EventType::Building;
            let event = Event::new(kind, &request.subject.distribution, &key, now, extra);
            event_log::add(tx, &event, &key.to_string())?;
        }
        Ok(())
    })?;
    info!(%key, attempt = build.attempts, "building");
    flush(parts);
    Ok(assignment)
}

/// Signs the result, then notes that and tells BUILT.
fn finish(parts: &Parts, row: &Build, verdict: Result<Verdict, String>) -> Result<(), Error> {
    let request = &row.request;
    let key = request.key();
    let result = match verdict {
        Ok(verdict) => {
            parts.phases.note(&verdict);
            collect(parts, request, &verdict)?
        }
        Err(error) => give_up(parts, request, &error)?,
    };
    let mut build = row.clone();
    build.state = BuilderState::Built;
    let extra = record::message(&key, Some(&result.file_name()), &result.to_paragraph());
    let kind = EventType::Built;
    let event = Event::new(
        kind,
        &result.subject.distribution,
        &key,
        Timestamp::now(),
        extra,
    );
    parts.store.write::<_, Error>(|tx| {
        jobs::put_build(tx, &build)?;
        event_log::add(tx, &event, &key.to_string())?;
        Ok(())
    })?;
    info!(%key, status = result.status(), error = result.internal_error, "built");
    flush(parts);
    Ok(())
}

fn collect(parts: &Parts, request: &Buildrequest, verdict: &Verdict) -> Result<Buildresult, Error> {
    let result = result::of(request, Ok(verdict));
    match result::write(parts, &result, Some(verdict)) {
        Ok(()) => Ok(result),
        // What the build left can't be sent; the packager hears why.
        Err(error) => give_up(parts, request, &with_causes(&error)),
    }
}

fn give_up(parts: &Parts, request: &Buildrequest, error: &str) -> Result<Buildresult, Error> {
    let result = result::of(request, Err(error));
    result::write(parts, &result, None)?;
    Ok(result)
}

/// Events are rows already; their files come with the next flush.
fn flush(parts: &Parts) {
    if let Err(error) = parts.events.flush() {
        error!(error = with_causes(&error), "can't write events");
    }
}

/// From Built to Uploaded; the error is for the log.
async fn send(parts: &Arc<Parts>, key: &BuildKey) -> Result<(), String> {
    let row = read(parts, key)
        .await
        .map_err(|error| with_causes(&error))?;
    if row.state == BuilderState::Uploaded {
        return Ok(());
    }
    // Our own address may have changed since we asked ourselves.
    let url = if parts.is_own(&row.requester) {
        parts.address.incoming_url.clone()
    } else {
        row.request.upload_to.clone()
    };
    let directory = parts.home.build_directory(key);
    let request = row.request.clone();
    let files = blocking(parts, move |_| result::files(&directory, &request)).await;
    let (files, changes) = match files {
        Ok(files) => files,
        Err(error) if error.is_final() => return Err(replace(parts, row, error).await),
        Err(error) => return Err(with_causes(&error)),
    };
    upload::upload(&url, &files, &changes, &parts.address.certificates())
        .await
        .map_err(|error| with_causes(&error))?;
    let uploaded = blocking(parts, move |parts| {
        let mut build = row;
        build.state = BuilderState::Uploaded;
        result::note_upload(&changes, &url)?;
        Ok(parts.store.write(|tx| jobs::put_build(tx, &build))?)
    });
    uploaded.await.map_err(|error| with_causes(&error))
}

/// What can't be sent any more is answered by saying so; gives the reason.
async fn replace(parts: &Arc<Parts>, row: Build, error: Error) -> String {
    let reason = with_causes(&error);
    let said = reason.clone();
    let replaced = blocking(parts, move |parts| give_up(parts, &row.request, &said));
    match replaced.await {
        Ok(_) => reason,
        Err(error) => with_causes(&error),
    }
}

async fn blocking<T: Send + 'static>(
    parts: &Arc<Parts>,
    work: impl FnOnce(&Parts) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let parts = Arc::clone(parts);
    tokio::task::spawn_blocking(move || work(&parts))
        .await
        .map_err(|ended| Error::Ended(ended.to_string()))?
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}
