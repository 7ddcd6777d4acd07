//! What phases of builds took since the start.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::build::Verdict;

/// What phases of one name took, all together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub times: u64,
    pub wall: Duration,
    pub cpu: Duration,
}

/// By the names of phases.
#[derive(Debug, Default)]
pub struct Phases(Mutex<BTreeMap<String, Spent>>);

impl Phases {
    pub(super) fn note(&self, verdict: &Verdict) {
        let mut phases = self.lock();
        for phase in &verdict.phases {
            let spent = phases.entry(phase.name.clone()).or_default();
            spent.times += 1;
            spent.wall += Duration::from_millis(phase.wall_ms);
            spent.cpu += Duration::from_millis(phase.cpu_ms);
        }
    }

    pub(super) fn all(&self) -> BTreeMap<String, Spent> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Spent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
