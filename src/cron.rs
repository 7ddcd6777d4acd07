//! What repositories need at times of day: snapshots by rule, renewals, forgetting, cleaning; at the start, then every hour.
//!
//! Rows change here; the packager publishes what is dirty.
use std::time::Duration;

use jiff::Zoned;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use crate::cause::with_causes;
use crate::repositories::{Error, Repositories};

const EVERY: Duration = Duration::from_secs(60 * 60);

/// Looks after the repositories until `shutdown`.
pub async fn run(repositories: Repositories, mut shutdown: watch::Receiver<bool>) {
    let mut hours = interval(EVERY);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = shutdown.changed() => return,
            _ = hours.tick() => {}
        }
        let repositories = repositories.clone();
        let look = tokio::task::spawn_blocking(move || look(&repositories, &Zoned::now()));
        if let Err(panicked) = look.await {
            error!(%panicked, "the upkeep of repositories ended badly");
        }
    }
}

/// Does all that is due; what fails is tried again in the next hour.
fn look(repositories: &Repositories, now: &Zoned) {
    let time = now.timestamp();
    let done: [(&str, Result<(), Error>); 4] = [
        ("make snapshots", repositories.make_snapshots(now)),
        ("renew Valid-Until", repositories.renew(time)),
        ("forget the past", repositories.expire(time)),
        ("delete old indices", repositories.clean(time)),
    ];
    for (what, result) in done {
        if let Err(error) = result {
            error!(error = with_causes(&error), "can't {what}");
        }
    }
}
