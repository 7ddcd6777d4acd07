//! Upkeep of the chroots: at the start, then every hour.
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sandbox::{IdMap, Launcher};
use tokio::sync::Semaphore;
use tokio::time::interval;
use tracing::{info, warn};

use super::{Error, Parts, assignment, blocking};
use crate::cause::with_causes;
use crate::chroots::upkeep::{Policy, Reason};
use crate::chroots::{self, Chroots};
use crate::model::{Buildrequest, Chroot, Item};
use crate::store::catalog::Catalog;

const EVERY: Duration = Duration::from_secs(3600);

/// Removes, in the background, what killed supervisors left of their sessions.
pub(super) fn clean(parts: &Arc<Parts>) {
    let parts = Arc::clone(parts);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = clean_all(&parts) {
            warn!(error = with_causes(&error), "can't clean chroots");
        }
    });
}

/// Keeps the chroots in order until it is dropped.
pub(super) async fn run(parts: Arc<Parts>, slots: Arc<Semaphore>) {
    let mut hours = interval(EVERY);
    loop {
        hours.tick().await;
        if let Err(error) = once(&parts, &slots).await {
            warn!(error = with_causes(&error), "upkeep of chroots");
        }
    }
}

async fn once(parts: &Arc<Parts>, slots: &Semaphore) -> Result<(), Error> {
    let renewals = blocking(parts, tidy).await?;
    if renewals.is_empty() {
        return Ok(());
    }
    // A base is renewed while nobody uses it. Where builds run, the next hour will do: one that finds its base damaged
    // has it renewed itself.
    let all = u32::try_from(parts.load.slots()).unwrap_or(1);
    let Ok(_slots) = slots.try_acquire_many(all) else {
        return Ok(());
    };
    blocking(parts, move |parts| {
        renewals
            .iter()
            .try_for_each(|(chroot, reason)| renew(parts, chroot, *reason))
    })
    .await
}

fn clean_all(parts: &Parts) -> Result<(), Error> {
    let chroots = chroots(parts)?;
    let catalog = parts.store.read(Catalog::load)?;
    for chroot in catalog.chroots().filter(|chroot| chroots.exists(chroot)) {
        chroots.clean(chroot)?;
    }
    Ok(())
}

/// Removes what is superfluous; the chroots to renew.
fn tidy(parts: &Parts) -> Result<Vec<(Chroot, Reason)>, Error> {
    let (chroots, policy, now) = (chroots(parts)?, Policy::default(), SystemTime::now());
    let catalog = parts.store.read(Catalog::load)?;
    let mut renewals = Vec::new();
    for chroot in catalog.chroots() {
        if chroots.exists(chroot) {
            chroots.clean(chroot)?;
            for layer in chroots.drop_superfluous(chroot, &policy, now)? {
                info!(chroot = chroot.name(), %layer, "dropped a layer");
            }
        }
        let reason = chroots.needs_renewal(chroot, &policy, now)?;
        renewals.extend(reason.map(|reason| (chroot.clone(), reason)));
    }
    let removed = chroots.drop_debs(&policy, now)?;
    if removed > 0 {
        info!(removed, "removed downloaded packages");
    }
    Ok(renewals)
}

/// Renews the base of a build that failed, if it is no more what it was; `false`: it was not to blame.
pub(super) fn mend(parts: &Parts, request: &Buildrequest) -> Result<bool, Error> {
    let catalog = parts.store.read(Catalog::load)?;
    let chroot = assignment::chroot(&catalog, request)?;
    let (policy, now) = (Policy::default(), SystemTime::now());
    match chroots(parts)?.needs_renewal(chroot, &policy, now)? {
        Some(reason @ (Reason::Damaged | Reason::Missing)) => {
            renew(parts, chroot, reason)?;
            Ok(true)
        }
        Some(Reason::Old) | None => Ok(false),
    }
}

/// Renews a base; its progress is in the log.
fn renew(parts: &Parts, chroot: &Chroot, reason: Reason) -> Result<(), Error> {
    let catalog = parts.store.read(Catalog::load)?;
    let name = chroot.name();
    let Some((source, extra)) = catalog.sources_of(chroot) else {
        return Err(Error::NoSource(name));
    };
    info!(chroot = name, ?reason, "renewing the base");
    let mut progress = |line: &str| info!(chroot = name, "{line}");
    chroots(parts)?.renew(chroot, &source, &extra, reason, &mut progress)?;
    info!(chroot = name, "renewed the base");
    Ok(())
}

/// With the program that supervises builds as helper.
fn chroots(parts: &Parts) -> Result<Chroots, Error> {
    let launcher = Launcher {
        helper: parts.supervisor.clone(),
        ids: IdMap::of_caller().map_err(chroots::Error::Ids)?,
    };
    Ok(Chroots::new(parts.home.clone(), Arc::new(launcher)))
}
