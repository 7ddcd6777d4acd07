//! Builders: ourselves and other instances, chosen by load.
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::deb::{Architecture, Codename};

/// Queued and running builds of our own builder, its slots, and whether work is wanted at all.
#[derive(Debug)]
pub struct Load {
    builds: AtomicUsize,
    slots: usize,
    running: watch::Sender<bool>,
}

impl Load {
    pub fn new(slots: usize) -> Load {
        Load {
            builds: AtomicUsize::new(0),
            slots: slots.max(1),
            running: watch::Sender::new(true),
        }
    }
    pub fn slots(&self) -> usize {
        self.slots
    }
    pub fn builds(&self) -> usize {
        self.builds.load(Ordering::Relaxed)
    }
    pub fn add(&self) {
        self.builds.fetch_add(1, Ordering::Relaxed);
    }
    pub fn remove(&self) {
        self.builds.fetch_sub(1, Ordering::Relaxed);
    }
    /// Takes uploads, packages and builds again.
    pub fn start(&self) {
        self.running.send_replace(true);
    }
    /// Begins nothing any more; what runs goes on.
    pub fn stop(&self) {
        self.running.send_replace(false);
    }
    pub fn is_running(&self) -> bool {
        *self.running.borrow()
    }
    /// Tells of starts and stops.
    pub fn running(&self) -> watch::Receiver<bool> {
        self.running.subscribe()
    }
    /// Builds per slot, rounded to two digits; -1 when stopped.
    pub fn value(&self) -> f64 {
        if !self.is_running() {
            return -1.0;
        }
        let builds = u32::try_from(self.builds()).unwrap_or(u32::MAX);
        let slots = u32::try_from(self.slots).unwrap_or(u32::MAX);
        (f64::from(builds) / f64::from(slots) * 100.0).round() / 100.0
    }
}

/// A builder that might be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Base URL of its HTTP server, by which messages name it.
    pub url: String,
    pub incoming_url: String,
    pub load: f64,
    /// What it has active chroots for.
    pub chroots: Vec<(Codename, Architecture)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("No working builder found for {architecture}/{codename}")]
pub struct NoBuilder {
    pub architecture: Architecture,
    pub codename: Codename,
}

/// The least loaded running builder with a fitting chroot; of equals the first.
pub fn choose<'a>(
    candidates: &'a [Candidate],
    codename: &Codename,
    architecture: &Architecture,
) -> Result<&'a Candidate, NoBuilder> {
    let fits = |candidate: &&Candidate| {
        candidate.load >= 0.0
            && candidate
                .chroots
                .iter()
                .any(|(of, on)| of == codename && on == architecture)
    };
    candidates
        .iter()
        .filter(fits)
        .min_by(|a, b| a.load.total_cmp(&b.load))
        .ok_or_else(|| NoBuilder {
            architecture: architecture.clone(),
            codename: codename.clone(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(url: &str, load: f64, architecture: &str) -> Candidate {
        Candidate {
            url: url.into(),
            incoming_url: String::new(),
            load,
            chroots: vec![("trixie".parse().unwrap(), architecture.parse().unwrap())],
        }
    }

    fn chosen(candidates: &[Candidate], architecture: &str) -> Result<String, String> {
        choose(
            candidates,
            &"trixie".parse().unwrap(),
            &architecture.parse().unwrap(),
        )
        .map(|candidate| candidate.url.clone())
        .map_err(|error| error.to_string())
    }

    #[test]
    fn least_loaded_fitting_builder_is_chosen() {
        let candidates = [
            candidate("a", 0.5, "amd64"),
            candidate("b", 0.0, "arm64"),
            candidate("c", 0.25, "amd64"),
            candidate("d", 0.25, "amd64"),
            candidate("e", -1.0, "amd64"),
        ];
        assert_eq!(chosen(&candidates, "amd64"), Ok("c".into()));
    }

    #[test]
    fn without_a_fitting_chroot_nobody_is_found() {
        assert_eq!(
            chosen(&[candidate("a", 0.0, "amd64")], "i386"),
            Err("No working builder found for i386/trixie".into())
        );
    }

    #[test]
    fn load_counts_builds_per_slot() {
        let load = Load::new(3);
        load.add();
        assert!((load.value() - 0.33).abs() < f64::EPSILON);
        load.stop();
        assert!((load.value() + 1.0).abs() < f64::EPSILON);
    }
}
