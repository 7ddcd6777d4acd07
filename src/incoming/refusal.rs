//! What becomes of a refused message: quarantine, REJECTED, and no build waits for it.
use std::time::SystemTime;

use jiff::Timestamp;
use tracing::{error, warn};

use super::directory::Directory;
use super::door::{CHANGES_LIMIT, Door};
use super::fault::{Fault, Stop};
use super::{Arrival, Error, claim, quarantine};
use crate::cause::with_causes;
use crate::home::FileError;
use crate::model::BuildKey;
use crate::model::job::Packaging;
use crate::model::message::{self, MessageKind};
use crate::store::jobs::{self, Received};
use crate::store::{Transaction, event_log};

/// A fault, and whom it leaves waiting.
#[derive(Debug)]
pub struct Refusal {
    pub fault: Fault,
    /// Builds of ours that the message was about, as its sender or our own words prove.
    pub builds: Vec<BuildKey>,
}

impl Door {
    /// A .changes that is gone can't say which builds wait for it; its name can.
    pub(super) fn lost(&self, message: &Received, fault: Fault) -> Result<Stop, Error> {
        let kind = MessageKind::of(&message.changes);
        let is_named = |key: &BuildKey| match kind {
            MessageKind::Upload => false,
            MessageKind::Buildrequest => message::request_name(key) == message.changes,
            MessageKind::Buildresult => message::result_name(key) == message.changes,
        };
        let unfinished = self.store.read(jobs::unfinished_packagings)?;
        let builds = unfinished.iter().flat_map(Packaging::build_keys);
        let stop = Stop::from(fault);
        Ok(builds
            .filter(is_named)
            .fold(stop, |stop, key| stop.about(&key)))
    }

    /// Keeps the message in quarantine and tells of it, and lets no build wait for it.
    pub(super) fn refuse(
        &self,
        staging: &Directory,
        message: &Received,
        refusal: &Refusal,
    ) -> Result<(), Error> {
        let fault = &refusal.fault;
        let content = staging
            .read(&message.changes, CHANGES_LIMIT)
            .ok()
            .flatten()
            .unwrap_or_default();
        let claim = claim::of(&content, &message.changes, &message.timecode);
        let reason = fault.to_string();
        warn!(changes = %message.changes, reason, "message refused");
        quarantine::keep(
            &self.home,
            &message.timecode,
            staging,
            &message.changes,
            &claim.files,
            &reason,
        )
        .map_err(FileError::of("quarantine", staging.path()))?;

        let event = claim.rejected(&reason, Timestamp::now());
        let lost = self.store.write::<_, Error>(|tx| {
            event_log::add(tx, &event, &claim.key.to_string())?;
            jobs::remove_received(tx, message)?;
            note_loss(tx, &refusal.builds, &reason, fault.is_damage())
        })?;
        for key in lost {
            let _ = self.packager.send(Arrival::Lost(key));
        }
        if let Err(error) = self.events.flush() {
            error!(error = with_causes(&error), "can't write events");
        }
        if let Err(error) = quarantine::prune(&self.home, SystemTime::now()) {
            warn!(%error, "can't prune quarantine");
        }
        Ok(())
    }
}

/// Lets no build wait for a refused message; those whose state that changes.
fn note_loss(
    tx: &Transaction<'_>,
    builds: &[BuildKey],
    reason: &str,
    may_be_repeated: bool,
) -> Result<Vec<BuildKey>, Error> {
    let mut lost = Vec::new();
    for key in builds {
        let Some(mut packaging) = jobs::packaging(tx, &key.package)? else {
            continue;
        };
        let Some(build) = packaging.build_mut(key) else {
            continue;
        };
        if build.refuse(reason, may_be_repeated) {
            lost.push(key.clone());
        }
        jobs::put_packaging(tx, &packaging)?;
    }
    Ok(lost)
}
