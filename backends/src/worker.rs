//! Work in the background, by a thread that exists only while there is something to do.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Working,
    /// Woken while working: what came meanwhile may have been overlooked.
    Again,
}

/// Does one kind of work when woken, one thing at a time.
pub(crate) struct Worker {
    name: &'static str,
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    work: Box<dyn Fn() + Send + Sync>,
}

impl Worker {
    pub(crate) fn new(name: &'static str, work: impl Fn() + Send + Sync + 'static) -> Worker {
        Worker {
            name,
            inner: Arc::new(Inner {
                state: Mutex::new(State::Idle),
                work: Box::new(work),
            }),
        }
    }

    /// Sees to it that the work is begun once more after this call.
    pub(crate) fn wake(&self) {
        let mut state = self.inner.state();
        if *state != State::Idle {
            *state = State::Again;
            return;
        }
        let inner = Arc::clone(&self.inner);
        match thread::Builder::new()
            .name(self.name.to_owned())
            .spawn(move || inner.run())
        {
            Ok(_detached) => *state = State::Working,
            Err(error) => tracing::warn!(%error, thread = self.name, "can't start a thread"),
        }
    }
}

impl Inner {
    fn run(&self) {
        loop {
            (self.work)();
            let mut state = self.state();
            if *state != State::Again {
                *state = State::Idle;
                return;
            }
            *state = State::Working;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_wake_during_work_is_not_lost() {
        let (started, starts) = mpsc::channel();
        let (go_on, gate) = mpsc::channel();
        let gate = Mutex::new(gate);
        let worker = Worker::new("test", move || {
            started.send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
        });

        worker.wake();
        starts.recv().unwrap();
        worker.wake();
        go_on.send(()).unwrap();

        assert_eq!(starts.recv(), Ok(()));
        go_on.send(()).unwrap();
    }
}
