//! Upkeep of the chroots: at the start, then every hour.
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use super::{Error, Parts, assignment, blocking};
use crate::cause::with_causes;
use crate::chroots::Chroots;
use crate::chroots::bootstrap::is_of_one_package;
use crate::chroots::renewal::{Reason, Renewal};
use crate::chroots::upkeep::{DAY, Policy};
use crate::model::{Buildrequest, Chroot, Daemon, Item};
use crate::store::catalog::Catalog;
use crate::store::items;

const EVERY: Duration = Duration::from_secs(3600);
/// Times in an hour that a new base may find no build running, to take its place.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(60);

/// Removes, in the background, what supervisors left: of their sessions if they were killed, in the trash else.
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
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        if let Err(error) = once(&parts, &slots).await {
            warn!(error = with_causes(&error), "upkeep of chroots");
        }
    }
}

async fn once(parts: &Arc<Parts>, slots: &Semaphore) -> Result<(), Error> {
    let mut made = Vec::new();
    for (chroot, reason) in blocking(parts, tidy).await? {
        let (name, of) = (chroot.name(), chroot.clone());
        match blocking(parts, move |parts| make(parts, &of, reason)).await {
            Ok(()) => made.push(chroot),
            Err(error) => warn!(
                chroot = name,
                error = with_causes(&error),
                "can't renew the base: {}",
                until_renewed(reason)
            ),
        }
    }
    // Layers go with their base: it is replaced when no build runs, in a minute of this hour or of a later one.
    let all = u32::try_from(parts.load.slots()).unwrap_or(1);
    for _ in 0..TRIES {
        if made.is_empty() {
            break;
        }
        let Ok(_slots) = slots.try_acquire_many(all) else {
            sleep(PAUSE).await;
            continue;
        };
        return blocking(parts, move |parts| {
            made.iter().try_for_each(|chroot| finish(parts, chroot))
        })
        .await;
    }
    Ok(())
}

/// Makes a chroot's base anew, and puts it in place: now, where no build runs, else when that is so.
pub(super) async fn remake(
    parts: &Arc<Parts>,
    slots: &Arc<Semaphore>,
    chroot: Chroot,
) -> Result<(), Error> {
    let of = chroot.clone();
    blocking(parts, move |parts| make(parts, &of, Reason::Asked)).await?;
    let all = u32::try_from(parts.load.slots()).unwrap_or(1);
    if let Ok(_slots) = slots.try_acquire_many(all) {
        return blocking(parts, move |parts| finish(parts, &chroot)).await;
    }
    let (parts, slots) = (Arc::clone(parts), Arc::clone(slots));
    tokio::spawn(async move {
        let Ok(_slots) = slots.acquire_many(all).await else {
            return;
        };
        let name = chroot.name();
        if let Err(error) = blocking(&parts, move |parts| finish(parts, &chroot)).await {
            let error = with_causes(&error);
            warn!(chroot = name, error, "the new base can't take its place");
        }
    });
    Ok(())
}

fn until_renewed(reason: Reason) -> &'static str {
    match reason {
        Reason::Old | Reason::Asked => "it stays in use as it is",
        Reason::Damaged | Reason::Missing => "builds wait until it can be made",
    }
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
    let (chroots, policy, now) = (chroots(parts)?, policy(parts)?, SystemTime::now());
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

/// Renews the base of a build that began at `began` and failed, if it is no more what it was; `false`: it was not to
/// blame.
pub(super) fn mend(
    parts: &Parts,
    request: &Buildrequest,
    began: SystemTime,
) -> Result<bool, Error> {
    let catalog = parts.store.read(Catalog::load)?;
    let chroot = assignment::chroot(&catalog, request)?;
    let chroots = chroots(parts)?;
    // Another build may have had it renewed since.
    let is_newer = || chroots.renewed(chroot).is_some_and(|made| made > began);
    let reason = || match chroots.needs_renewal(chroot, &policy(parts)?, SystemTime::now())? {
        Some(reason @ (Reason::Damaged | Reason::Missing)) => Ok(Some(reason)),
        Some(Reason::Old | Reason::Asked) | None => Ok::<_, Error>(None),
    };
    if reason()?.is_none() {
        return Ok(is_newer());
    }
    let renewal = chroots.renewal(chroot)?;
    if let Some(reason) = reason()? {
        make_in(parts, &renewal, chroot, reason)?;
        renewal.finish()?;
        info!(chroot = chroot.name(), "renewed the base");
    }
    Ok(true)
}

/// Makes a new base beside the old one.
fn make(parts: &Parts, chroot: &Chroot, reason: Reason) -> Result<(), Error> {
    let chroots = chroots(parts)?;
    make_in(parts, &chroots.renewal(chroot)?, chroot, reason)
}

/// Its progress is in the log.
fn make_in(
    parts: &Parts,
    renewal: &Renewal<'_>,
    chroot: &Chroot,
    reason: Reason,
) -> Result<(), Error> {
    let catalog = parts.store.read(Catalog::load)?;
    let name = chroot.name();
    let Some((source, extra)) = catalog.sources_of(chroot) else {
        return Err(Error::NoSource(name));
    };
    info!(chroot = name, ?reason, "renewing the base");
    let mut progress = |line: &str| {
        if is_of_one_package(line) {
            debug!(chroot = name, "{line}");
        } else {
            info!(chroot = name, "{line}");
        }
    };
    Ok(renewal.make(&source, &extra, &mut progress)?)
}

fn finish(parts: &Parts, chroot: &Chroot) -> Result<(), Error> {
    let chroots = chroots(parts)?;
    // A build may have had it renewed meanwhile.
    let renewal = chroots.renewal(chroot)?;
    if renewal.is_made() {
        renewal.finish()?;
        info!(chroot = chroot.name(), "renewed the base");
    }
    Ok(())
}

/// As the daemon's item wants it.
fn policy(parts: &Parts) -> Result<Policy, Error> {
    let daemon = parts.store.read(|tx| items::get::<Daemon>(tx, "daemon"))?;
    let Some((daemon, _)) = daemon else {
        return Ok(Policy::default());
    };
    let days = daemon.renew_chroots_after_days;
    Ok(Policy {
        base_age: (days > 0).then_some(DAY * days),
        ..Policy::default()
    })
}

/// With the program that supervises builds as helper, and the proxies of the host's apt.
fn chroots(parts: &Parts) -> Result<Chroots, Error> {
    Ok(Chroots::with_helper(
        parts.home.clone(),
        parts.supervisor.clone(),
    )?)
}
