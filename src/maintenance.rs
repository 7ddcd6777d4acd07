//! Long work that administrators ask for: one after another, in the background, followed by as many as want to.
//!
//! Who asked may go away. What the daemon's end cuts short is not begun again: its row says so.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::cause::with_causes;
use crate::store::actions::{self, Action};
use crate::store::{self, Store};

const INTERRUPTED: &str = "the daemon ended before this was done; ask for it again";

/// What an action does; it tells its steps.
pub type Work = Box<dyn FnOnce(&mut dyn FnMut(&str)) -> Result<Value, Failure> + Send>;
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Takes actions in, and tells how they go.
pub struct Maintenance {
    store: Arc<Store>,
    queue: mpsc::UnboundedSender<(i64, Work)>,
    /// Steps of actions that have not ended.
    steps: Mutex<BTreeMap<i64, Vec<String>>>,
    /// Counts what there is to tell.
    told: watch::Sender<u64>,
}

/// What [`Maintenance::run`] takes.
pub struct Queue(mpsc::UnboundedReceiver<(i64, Work)>);

/// How an action goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub action: Action,
    /// All steps so far.
    pub steps: Vec<String>,
}

impl Maintenance {
    pub fn new(store: Arc<Store>) -> Result<(Maintenance, Queue), store::Error> {
        let now = Timestamp::now();
        let left = store.write(|tx| actions::end_unfinished(tx, now, INTERRUPTED))?;
        if left > 0 {
            warn!(left, "actions were cut short by the end of the last daemon");
        }
        let (queue, asked) = mpsc::unbounded_channel();
        let maintenance = Maintenance {
            store,
            queue,
            steps: Mutex::default(),
            told: watch::Sender::new(0),
        };
        Ok((maintenance, Queue(asked)))
    }

    /// Asks for an action; its id is returned at once. Synchronous.
    pub fn ask(&self, user: &str, title: &str, work: Work) -> Result<i64, store::Error> {
        let now = Timestamp::now();
        let id = self.store.write(|tx| actions::add(tx, title, user, now))?;
        self.steps().insert(id, Vec::new());
        // Nobody takes it any more when the daemon ends: then the next one says so.
        let _ = self.queue.send((id, work));
        Ok(id)
    }

    /// Does what is asked for, until `shutdown`.
    pub async fn run(self: Arc<Self>, mut queue: Queue, mut shutdown: watch::Receiver<bool>) {
        loop {
            let (id, work) = tokio::select! {
                biased;
                _ = shutdown.changed() => return,
                asked = queue.0.recv() => match asked {
                    Some(asked) => asked,
                    None => return,
                },
            };
            let this = Arc::clone(&self);
            let doing = tokio::task::spawn_blocking(move || this.work(id, work));
            let done = tokio::select! {
                biased;
                _ = shutdown.changed() => return,
                done = doing => done,
            };
            let noted = match done {
                Ok(noted) => noted,
                Err(panicked) => self.end(id, Err(&panicked.to_string())),
            };
            if let Err(error) = noted {
                error!(
                    id,
                    error = with_causes(&error),
                    "can't note how an action ended"
                );
            }
        }
    }

    fn work(&self, id: i64, work: Work) -> Result<(), store::Error> {
        let begun = Timestamp::now();
        self.store.write(|tx| actions::begin(tx, id, begun))?;
        let done = work(&mut |step| self.step(id, step));
        match done {
            Ok(result) => self.end(id, Ok(&result.to_string())),
            Err(error) => self.end(id, Err(&with_causes(error.as_ref()))),
        }
    }

    fn step(&self, id: i64, step: &str) {
        info!(action = id, step);
        self.steps().entry(id).or_default().push(step.to_owned());
        self.told.send_modify(|count| *count += 1);
    }

    fn end(&self, id: i64, outcome: Result<&str, &str>) -> Result<(), store::Error> {
        let steps = self.steps().get(&id).cloned().unwrap_or_default();
        let log = steps.join("\n");
        let now = Timestamp::now();
        let noted = self
            .store
            .write(|tx| actions::end(tx, id, now, outcome, &log));
        self.steps().remove(&id);
        self.told.send_modify(|count| *count += 1);
        noted
    }

    /// How an action goes; `None`: there is none of that id. Synchronous.
    pub fn progress(&self, id: i64) -> Result<Option<Progress>, store::Error> {
        // Steps first: what ends between the two has them in its row.
        let steps = self.steps().get(&id).cloned();
        let action = self.store.read(|tx| actions::get(tx, id))?;
        Ok(action.map(|action| Progress {
            steps: match (steps, action.ended) {
                (Some(steps), None) => steps,
                _ => action.log.lines().map(str::to_owned).collect(),
            },
            action,
        }))
    }

    /// As [`Maintenance::progress`], as soon as there are more steps than `seen` or it has ended; after `time` in any case.
    pub async fn follow(
        self: &Arc<Self>,
        id: i64,
        seen: usize,
        time: Duration,
    ) -> Result<Option<Progress>, store::Error> {
        let mut told = self.told.subscribe();
        let news = async {
            loop {
                told.mark_unchanged();
                let progress = self.progress(id)?;
                let is_news = progress.as_ref().is_none_or(|progress| {
                    progress.action.ended.is_some() || progress.steps.len() > seen
                });
                if is_news || told.changed().await.is_err() {
                    return Ok(progress);
                }
            }
        };
        match tokio::time::timeout(time, news).await {
            Ok(progress) => progress,
            Err(_late) => self.progress(id),
        }
    }

    fn steps(&self) -> MutexGuard<'_, BTreeMap<i64, Vec<String>>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn actions_run_one_after_another_and_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&directory.path().join("db")).unwrap());
        let (maintenance, queue) = Maintenance::new(store).unwrap();
        let maintenance = Arc::new(maintenance);
        let (_end, shutdown) = watch::channel(false);
        tokio::spawn(Arc::clone(&maintenance).run(queue, shutdown));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first: Work = Box::new(move |say| {
            say("one");
            wait.recv()?;
            say("two");
            Ok(Value::Null)
        });
        let first = maintenance.ask("admin", "first", first).unwrap();
        let second: Work = Box::new(|_| Err("no paper".into()));
        let second = maintenance.ask("admin", "second", second).unwrap();
        let minute = Duration::from_secs(60);
        let progress = |id, seen| {
            let maintenance = Arc::clone(&maintenance);
            async move { maintenance.follow(id, seen, minute).await.unwrap().unwrap() }
        };
        assert_eq!(progress(first, 0).await.steps, ["one"]);
        let waiting = maintenance.progress(second).unwrap().unwrap();
        assert_eq!(waiting.action.begun, None);
        go.send(()).unwrap();
        let mut ended = progress(first, 1).await;
        while ended.action.ended.is_none() {
            ended = progress(first, ended.steps.len()).await;
        }
        assert_eq!(ended.steps, ["one", "two"]);
        assert_eq!(ended.action.result.as_deref(), Some("null"));
        let failed = progress(second, 0).await.action;
        assert_eq!(failed.error.as_deref(), Some("no paper"));
        assert_eq!(maintenance.progress(99).unwrap(), None);
    }
}
