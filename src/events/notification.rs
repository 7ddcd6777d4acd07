//! Letters to everybody who wants to know what happened: each is sent once, or given up after three days.
mod letter;
mod recipients;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::{broadcast, watch};
use tracing::{error, info, warn};

use crate::cause::with_causes;
use crate::mail::Postman;
use crate::model::Event;
use crate::store::catalog::Catalog;
use crate::store::event_log::{self, Logged};
use crate::store::letters::{self, Letter};
use crate::store::{self, Store, users};

use super::Told;

/// How long an event is worth a letter.
const WORTH: SignedDuration = SignedDuration::from_hours(72);
/// How long a letter waits after the first attempt in vain, twice as long after each further one, and how long at most.
const PATIENCE: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_hours(1)];
/// With each answer of the relay: it may look at a letter for long before it says that it has it, and must not get it
/// again (RFC 5321, section 4.5.3.2).
const RELAY: Duration = Duration::from_secs(10 * 60);
/// So many events of uploads that nobody known has signed are worth a letter within the time.
const UNVERIFIED: u32 = 20;
const UNVERIFIED_TIME: SignedDuration = SignedDuration::from_hours(1);
/// Without letters that wait, the next event brings some.
const UNTOLD: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Notification {
    store: Arc<Store>,
    postman: Arc<Postman>,
    /// Ours; its addresses are told unless the daemon's item says otherwise.
    hostname: String,
    unverified: Mutex<(u32, Timestamp)>,
}

impl Notification {
    pub fn new(store: Arc<Store>, postman: Arc<Postman>, hostname: String) -> Notification {
        Notification {
            store,
            postman,
            hostname,
            unverified: Mutex::new((0, Timestamp::MIN)),
        }
    }

    /// Tells of all that `events` brings, and of what an earlier run left, until `shutdown`.
    pub async fn run(
        self: Arc<Self>,
        mut events: broadcast::Receiver<Arc<Told>>,
        mut shutdown: watch::Receiver<bool>,
    ) {
        // Who starts it anew may have mended what the relay was.
        let this = Arc::clone(&self);
        let hasten = move || this.store.write(|tx| letters::hasten(tx, Timestamp::now()));
        if let Ok(Err(error)) = tokio::task::spawn_blocking(hasten).await {
            error!(error = with_causes(&error), "can't look for letters");
        }
        loop {
            let (this, stopping) = (Arc::clone(&self), shutdown.clone());
            let sending = tokio::task::spawn_blocking(move || this.deliver(&stopping));
            let sent = tokio::select! {
                biased;
                _ = shutdown.changed() => return,
                sent = sending => sent,
            };
            let sent = sent.map_err(|panicked| panicked.to_string());
            let sent = sent.and_then(|sent| sent.map_err(|error| with_causes(&error)));
            let wait = match sent {
                Ok(next) => next.map(|due| due.duration_since(Timestamp::now())),
                Err(error) => {
                    error!(error, "can't write letters");
                    Some(PATIENCE[0])
                }
            };
            let wait = wait.map(|wait| Duration::try_from(wait).unwrap_or_default());
            tokio::select! {
                biased;
                _ = shutdown.changed() => return,
                told = events.recv() => if let Err(broadcast::error::RecvError::Closed) = told {
                    return;
                },
                () = tokio::time::sleep(wait.unwrap_or(UNTOLD)) => {}
            }
        }
    }

    /// Sends what is due; tells when the next is. Synchronous.
    fn deliver(&self, stopping: &watch::Receiver<bool>) -> Result<Option<Timestamp>, store::Error> {
        self.store.write(|tx| self.note(tx))?;
        while !*stopping.borrow() {
            let now = Timestamp::now();
            match self.store.read(letters::next)? {
                None => break,
                // Later than any waits: the clock was put back.
                Some((_, due)) if due > now && due.duration_since(now) <= PATIENCE[1] => {
                    return Ok(Some(due));
                }
                Some((letter, _)) => self.send(&letter, now)?,
            }
        }
        Ok(None)
    }

    /// Notes who is to be told of new events.
    fn note(&self, tx: &store::Transaction<'_>) -> Result<(), store::Error> {
        let unmailed = event_log::unmailed(tx)?;
        if unmailed.is_empty() {
            return Ok(());
        }
        let catalog = Catalog::load(tx)?;
        let subscribers = users::subscribers(tx)?;
        let now = Timestamp::now();
        for Logged { id, event, .. } in unmailed {
            let told = if self.is_one_too_many(&event, now) {
                Vec::new()
            } else {
                recipients::of(&event, &catalog, &subscribers, &self.hostname)
            };
            for (recipient, reason) in told {
                letters::add(tx, id, &recipient, &reason, now)?;
            }
            event_log::mark_mailed(tx, id)?;
        }
        Ok(())
    }

    /// Whoever reaches the FTP port can upload what is rejected.
    fn is_one_too_many(&self, event: &Event, now: Timestamp) -> bool {
        if event.extra.get("unverified") != Some(&Value::Bool(true)) {
            return false;
        }
        let mut unverified = self
            .unverified
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (count, since) = &mut *unverified;
        if now.duration_since(*since).abs() >= UNVERIFIED_TIME {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
        if *count == UNVERIFIED + 1 {
            warn!(
                since = %since,
                "too many uploads that nobody known has signed: no letters about more of them for an hour; see var/events"
            );
        }
        *count > UNVERIFIED
    }

    fn send(&self, letter: &Letter, now: Timestamp) -> Result<(), store::Error> {
        let Some(logged) = self.store.read(|tx| event_log::get(tx, letter.event))? else {
            return self.store.write(|tx| letters::remove(tx, letter.id));
        };
        let to = &letter.recipient;
        if letter.attempts > 0 && now.duration_since(logged.event.timestamp) > WORTH {
            error!(to, "gave a letter up: the relay did not take it in time");
            return self.store.write(|tx| letters::remove(tx, letter.id));
        }
        let due = now
            .saturating_add(patience(letter.attempts))
            .unwrap_or(Timestamp::MAX);
        // First: what could not be noted afterwards would be sent again and again.
        self.store
            .write(|tx| letters::put_off(tx, letter.id, due))?;
        let written = letter::write(letter, &logged.event, &self.postman);
        let failed = match self.postman.send(&written, RELAY) {
            Ok(()) => {
                info!(to, event = logged.event.file_name(), "sent a letter");
                return self.store.write(|tx| letters::remove(tx, letter.id));
            }
            Err(failed) => failed,
        };
        let why = with_causes(&failed);
        if failed.is_final() {
            error!(to, error = why, "gave a letter up");
            return self.store.write(|tx| letters::remove(tx, letter.id));
        }
        warn!(to, error = why, "will try to send a letter again");
        if failed.is_of_relay() {
            self.store.write(|tx| letters::put_all_off(tx, due))?;
        }
        Ok(())
    }
}

fn patience(attempts: u32) -> SignedDuration {
    let [first, most] = PATIENCE;
    let wait = 2_i32
        .checked_pow(attempts)
        .and_then(|times| first.checked_mul(times));
    wait.unwrap_or(most).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_to_an_hour() {
        let minutes = [0, 1, 5, 6, 31, u32::MAX].map(|attempts| patience(attempts).as_mins());
        assert_eq!(minutes, [1, 2, 32, 60, 60, 60]);
    }
}
