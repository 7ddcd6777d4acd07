//! The builder: takes buildrequests, builds them in its slots, sends buildresults.
use std::sync::Arc;

#[derive(Clone)]
pub struct Builder {
    _inner: Arc<()>,
}

impl Builder {
    /// Queued and running builds per slot, rounded to two digits; -1 when stopped.
    pub fn load(&self) -> f64 {
        todo!()
    }
}
