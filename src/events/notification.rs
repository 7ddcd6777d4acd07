//! Letters to everybody who wants to know what happened: each is sent once, or given up after three days.
mod letter;
mod recipients;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{broadcast, watch};
use tracing::{error, info, warn};

use crate::cause::with_causes;
use crate::mail::{self, Postman};
use crate::store::catalog::Catalog;
use crate::store::event_log::{self, Logged};
use crate::store::letters::{self, Letter};
use crate::store::{self, Store, users};

use super::Told;

/// How long an event is worth a letter.
const WORTH: SignedDuration = SignedDuration::from_hours(72);
/// How long a letter waits after the first attempt in vain, twice as long after each further one, and how long at most.
const PATIENCE: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_hours(1)];
/// Without letters that wait, the next event brings some.
const UNTOLD: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Notification {
    pub store: Arc<Store>,
    pub postman: Arc<Postman>,
    /// Ours; its addresses are told unless the daemon's item says otherwise.
    pub hostname: String,
}

impl Notification {
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
                Some((_, due)) if due > now => return Ok(Some(due)),
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
            let told = recipients::of(&event, &catalog, &subscribers, &self.hostname);
            for (recipient, reason) in told {
                letters::add(tx, id, &recipient, &reason, now)?;
            }
            event_log::mark_mailed(tx, id)?;
        }
        Ok(())
    }

    fn send(&self, letter: &Letter, now: Timestamp) -> Result<(), store::Error> {
        let Some(logged) = self.store.read(|tx| event_log::get(tx, letter.event))? else {
            return self.store.write(|tx| letters::remove(tx, letter.id));
        };
        let written = letter::write(letter, &logged.event, &self.postman);
        let failed = match self.postman.send(&written) {
            Ok(()) => {
                info!(
                    to = letter.recipient,
                    event = logged.event.file_name(),
                    "sent a letter"
                );
                return self.store.write(|tx| letters::remove(tx, letter.id));
            }
            Err(failed) => failed,
        };
        let why = with_causes(&failed);
        if failed.is_final() || now.duration_since(logged.event.timestamp) > WORTH {
            error!(to = letter.recipient, error = why, "gave a letter up");
            return self.store.write(|tx| letters::remove(tx, letter.id));
        }
        self.put_off(letter, &failed, now)?;
        warn!(
            to = letter.recipient,
            error = why,
            "will try to send a letter again"
        );
        Ok(())
    }

    fn put_off(
        &self,
        letter: &Letter,
        failed: &mail::Error,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        let due = now
            .saturating_add(patience(letter.attempts))
            .unwrap_or(Timestamp::MAX);
        self.store.write(|tx| {
            letters::put_off(tx, letter.id, due)?;
            if failed.is_answer() {
                return Ok(());
            }
            letters::put_all_off(tx, due)
        })
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
