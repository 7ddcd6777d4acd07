//! Periodic jobs: at the start, then every hour, each does what is due; and one is run when somebody asks for it.
//!
//! Rows change here; the packager publishes what is dirty. [`expiry`] forgets builds and events.
mod expiry;

use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use crate::cause::with_causes;
use crate::home::{FileError, Home};
use crate::model::Daemon;
use crate::repositories::{self, Repositories};
use crate::store::{self, Store, items};

const EVERY: Duration = Duration::from_secs(60 * 60);

pub struct Cron {
    home: Home,
    store: Arc<Store>,
    repositories: Repositories,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Repositories(#[from] repositories::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Something that time brings; doing it again changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Stock's, where stock has it; snapshots are one job here, for what is due is told by those that there are.
    pub ids: &'static [&'static str],
    pub doc: &'static str,
    run: fn(&Cron, &Zoned) -> Result<(), Error>,
}

pub const JOBS: [Job; 6] = [
    Job {
        ids: &[
            "cronjob_snapshots (WEEKLY)",
            "cronjob_snapshots (MONTHLY)",
            "cronjob_snapshots (YEARLY)",
        ],
        doc: "Make snapshots that are due, and give up old ones",
        run: |cron, now| Ok(cron.repositories.make_snapshots(now)?),
    },
    Job {
        ids: &["cronjob_expire_builds (DAILY)"],
        doc: "Remove builds older than expire_builds_after_days",
        run: |cron, now| {
            let before = cron.before(now.timestamp(), |daemon| daemon.expire_builds_after_days)?;
            expiry::builds(&cron.home, &cron.store, before)
        },
    },
    Job {
        ids: &["cronjob_expire_events (WEEKLY)"],
        doc: "Remove events older than expire_events_after_days",
        run: |cron, now| {
            let before = cron.before(now.timestamp(), |daemon| daemon.expire_events_after_days)?;
            expiry::events(&cron.home, &cron.store, before)
        },
    },
    Job {
        ids: &["renew (HOURLY)"],
        doc: "Renew Valid-Until",
        run: |cron, now| Ok(cron.repositories.renew(now.timestamp())?),
    },
    Job {
        ids: &["expire_history (HOURLY)"],
        doc: "Forget past states, and packages that nothing names",
        run: |cron, now| Ok(cron.repositories.expire(now.timestamp())?),
    },
    Job {
        ids: &["clean (HOURLY)"],
        doc: "Delete old indices, and what was cut short",
        run: |cron, now| Ok(cron.repositories.clean(now.timestamp())?),
    },
];

impl Cron {
    pub fn new(home: Home, store: Arc<Store>, repositories: Repositories) -> Cron {
        Cron {
            home,
            store,
            repositories,
        }
    }

    /// Does what is due until `shutdown`.
    pub async fn run(self: Arc<Cron>, mut shutdown: watch::Receiver<bool>) {
        let mut hours = interval(EVERY);
        hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = shutdown.changed() => return,
                _ = hours.tick() => {}
            }
            let cron = Arc::clone(&self);
            if let Err(panicked) = tokio::task::spawn_blocking(move || cron.all()).await {
                error!(%panicked, "a periodic job ended badly");
            }
        }
    }

    /// What fails is tried again in the next hour.
    fn all(&self) {
        for job in JOBS {
            if let Err(error) = self.job(job) {
                error!(
                    job = job.doc,
                    error = with_causes(&error),
                    "a periodic job failed"
                );
            }
        }
    }

    /// Runs one now. Synchronous.
    pub fn job(&self, job: Job) -> Result<(), Error> {
        (job.run)(self, &Zoned::now())
    }

    /// The time so many days ago.
    fn before(&self, now: Timestamp, days: fn(&Daemon) -> u32) -> Result<Timestamp, Error> {
        let daemon = self.store.read(|tx| items::get::<Daemon>(tx, "daemon"))?;
        let days = daemon.map_or(u32::MAX, |(daemon, _)| days(&daemon));
        let age = jiff::SignedDuration::from_hours(24 * i64::from(days));
        Ok(now.checked_sub(age).unwrap_or(Timestamp::MIN))
    }
}
