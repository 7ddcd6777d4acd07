//! Looks after a build from outside: ends it when it uses more than it may, and knows why.
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::fs::statvfs;
use sandbox::Usage;

use crate::chroots::{Chroots, Session};
use crate::model::{Failure, Limits};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(500);
/// Shortest time between two measurements of what a session takes while the disk looks as free as before.
const MEASURED: Duration = Duration::from_secs(5);
/// One of so many parts of the time is what such measurements may take.
const MEASURING: u32 = 50;

/// Prints the bytes of the files below a directory that were changed after a time: a snapshot of the base, or its copy,
/// has others, which are not the session's own.
const TAKEN: &str = r#"find "$1" -newerct "@$2" -printf '%i %b\n' | sort -u |
awk '{ blocks += $2 } END { printf "%.0f\n", blocks * 512 }'"#;

/// Looks after one build until it is dropped.
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    limits: Limits,
    chroots: Chroots,
    begin: Instant,
    /// Out-of-memory kills of the whole machine before.
    kills: u64,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    session: Option<Watched>,
    /// Since when a process has said nothing; `None`: none runs whose output counts.
    silent: Option<Instant>,
    exceeded: Option<Failure>,
    over: bool,
}

/// A session, and where it writes.
struct Watched {
    session: sandbox::Watch,
    directory: PathBuf,
    /// Since 1970.
    begin: Duration,
    /// Free bytes of the file system then.
    free: Option<u64>,
    /// Since when, and who does.
    measuring: Option<(Instant, Child)>,
    /// When to measure next, whatever the disk looks like.
    measure: Instant,
    /// Bytes that its files took when last measured.
    taken: Option<u64>,
}

/// What is seen in one look.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    wall: Duration,
    silence: Duration,
    usage: Usage,
    taken: u64,
    /// Of the disk; `None`: can't be told.
    free: Option<u64>,
    no_inodes: bool,
}

impl Watch {
    pub(super) fn begin(limits: Limits, chroots: Chroots) -> Watch {
        let shared = Arc::new(Shared {
            limits,
            chroots,
            begin: Instant::now(),
            kills: out_of_memory_kills(),
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let looking = Arc::clone(&shared);
        let thread = std::thread::spawn(move || looking.look_again_and_again());
        Watch {
            shared,
            thread: Some(thread),
        }
    }

    /// Looks at this session from now on; once a limit was hit, it is killed at once.
    pub(super) fn follow(&self, session: &Session) {
        let directory = session.directory().to_owned();
        let mut state = self.shared.lock();
        let watched = Watched {
            session: session.watch(),
            begin: UNIX_EPOCH.elapsed().unwrap_or_default(),
            free: free(&directory).map(|(bytes, _)| bytes),
            directory,
            measuring: None,
            measure: Instant::now() + MEASURED,
            taken: None,
        };
        if state.exceeded.is_some() {
            watched.session.kill();
        }
        state.session = Some(watched);
    }

    /// A process whose output counts begins.
    pub(super) fn listen(&self) {
        self.shared.lock().silent = Some(Instant::now());
    }

    /// It has ended.
    pub(super) fn stop_listening(&self) {
        self.shared.lock().silent = None;
    }

    /// For whoever carries the output over, to tell that there is some.
    pub(super) fn ear(&self) -> impl Fn() + Send + use<> {
        let shared = Arc::clone(&self.shared);
        move || {
            let mut state = shared.lock();
            if state.silent.is_some() {
                state.silent = Some(Instant::now());
            }
        }
    }

    /// The limit that ended the build, if one did.
    pub(super) fn exceeded(&self) -> Option<Failure> {
        self.shared.lock().exceeded
    }

    /// Looks at once: a process has failed, and what it left behind may tell why.
    pub(super) fn look(&self) {
        self.shared.look(&mut self.shared.lock());
    }

    /// What explains the end of a failed process better than its exit code.
    pub(super) fn explanation(&self) -> Option<Failure> {
        let out_of_memory = || out_of_memory_kills() > self.shared.kills;
        self.exceeded()
            .or_else(|| out_of_memory().then_some(Failure::Memory))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // It panics never; and if it did, the build has ended all the same.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_again_and_again(&self) {
        let mut state = self.lock();
        while !state.over {
            self.look(&mut state);
            let waited = self.wake.wait_timeout(state, PERIOD);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let measuring = state.session.take().and_then(|watched| watched.measuring);
        if let Some((_, mut taken)) = measuring {
            let _ = taken.kill();
            let _ = taken.wait();
        }
    }

    fn look(&self, state: &mut State) {
        let Some(watched) = &mut state.session else {
            return;
        };
        let mut facts = Facts {
            wall: self.begin.elapsed(),
            silence: state.silent.map_or(Duration::ZERO, |since| since.elapsed()),
            usage: watched.session.usage(),
            ..disk(watched)
        };
        self.measure(watched, &facts);
        facts.taken = watched.taken.unwrap_or(0);
        if state.exceeded.is_none() {
            state.exceeded = exceeded_by(&self.limits, &facts);
        }
        if state.exceeded.is_some() {
            watched.session.kill();
        }
    }

    /// Counts what the session's files take: at once when the disk has lost as much as they may, else now and then.
    ///
    /// The disk tells neither who took it, nor, on btrfs, of what was written within the last half minute.
    fn measure(&self, watched: &mut Watched, facts: &Facts) {
        if let Some((since, taken)) = &mut watched.measuring {
            if let Ok(None) = taken.try_wait() {
                return;
            }
            let mut said = String::new();
            if let Some(stdout) = &mut taken.stdout {
                // Without an answer there is none; the next look asks again.
                let _ = stdout.take(1024).read_to_string(&mut said);
            }
            let bytes = said.split_whitespace().next();
            watched.taken = bytes.and_then(|bytes| bytes.parse().ok());
            watched.measure = Instant::now() + MEASURED.max(since.elapsed() * MEASURING);
            watched.measuring = None;
        }
        let lost = watched
            .free
            .zip(facts.free)
            .map_or(0, |(before, now)| before.saturating_sub(now));
        if lost > self.limits.disk_mib << 20 || Instant::now() >= watched.measure {
            let mut taken = self.chroots.storage_command("sh");
            taken.args(["-c", TAKEN, "sh"]).arg(&watched.directory);
            let (seconds, rest) = (watched.begin.as_secs(), watched.begin.subsec_nanos());
            taken.arg(format!("{seconds}.{rest:09}"));
            let taken = taken.stdin(Stdio::null()).stdout(Stdio::piped());
            let taken = taken.stderr(Stdio::null()).spawn().ok();
            watched.measuring = taken.map(|taken| (Instant::now(), taken));
        }
    }
}

fn disk(watched: &Watched) -> Facts {
    let found = free(&watched.directory);
    Facts {
        taken: watched.taken.unwrap_or(0),
        free: found.map(|(bytes, _)| bytes),
        no_inodes: found.is_some_and(|(_, inodes)| inodes == Some(0)),
        ..Facts::default()
    }
}

/// The limit that is hit, if one is.
fn exceeded_by(limits: &Limits, facts: &Facts) -> Option<Failure> {
    let too_full = facts
        .free
        .is_some_and(|free| free < limits.free_disk_mib << 20);
    let checks = [
        (facts.usage.memory_exceeded, Failure::Memory),
        (facts.usage.processes_exceeded, Failure::Processes),
        (facts.taken > limits.disk_mib << 20, Failure::Disk),
        (too_full || facts.no_inodes, Failure::Disk),
        (
            facts.silence.as_secs() >= limits.silence_seconds,
            Failure::Silence,
        ),
        (
            facts.wall.as_secs() >= limits.wall_seconds,
            Failure::WallTime,
        ),
    ];
    let hit = checks.into_iter().find(|(hit, _)| *hit);
    hit.map(|(_, failure)| failure)
}

/// Free bytes and inodes; the latter `None` where the file system makes them as it needs them.
fn free(directory: &std::path::Path) -> Option<(u64, Option<u64>)> {
    let found = statvfs(directory).ok()?;
    let inodes = (found.f_files > 0).then_some(found.f_favail);
    Some((found.f_bavail.saturating_mul(found.f_frsize), inodes))
}

/// Counted by the kernel since its start (/proc/vmstat).
fn out_of_memory_kills() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Bytes of memory that a build may have.
pub(super) fn memory(limits: &Limits) -> Option<u64> {
    if limits.memory_mib > 0 {
        return Some(limits.memory_mib << 20);
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024 / 10 * 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            wall_seconds: 100,
            silence_seconds: 10,
            disk_mib: 1,
            free_disk_mib: 1,
            ..Limits::default()
        }
    }

    #[test]
    fn every_limit_has_its_class() {
        let seconds = Duration::from_secs;
        let usage = |memory_exceeded, processes_exceeded| Usage {
            memory_exceeded,
            processes_exceeded,
            ..Usage::default()
        };
        let none = Facts {
            free: Some(2 << 20),
            ..Facts::default()
        };
        for (facts, class) in [
            (none, None),
            (
                Facts {
                    usage: usage(true, true),
                    ..none
                },
                Some(Failure::Memory),
            ),
            (
                Facts {
                    usage: usage(false, true),
                    ..none
                },
                Some(Failure::Processes),
            ),
            (
                Facts {
                    taken: (1 << 20) + 1,
                    ..none
                },
                Some(Failure::Disk),
            ),
            (
                Facts {
                    free: Some(0),
                    ..none
                },
                Some(Failure::Disk),
            ),
            (
                Facts {
                    no_inodes: true,
                    ..none
                },
                Some(Failure::Disk),
            ),
            (
                Facts {
                    wall: seconds(99),
                    silence: seconds(10),
                    ..none
                },
                Some(Failure::Silence),
            ),
            (
                Facts {
                    wall: seconds(100),
                    ..none
                },
                Some(Failure::WallTime),
            ),
        ] {
            assert_eq!(exceeded_by(&limits(), &facts), class, "{facts:?}");
        }
    }

    #[test]
    fn memory_is_most_of_the_machines_unless_said() {
        let own = Limits {
            memory_mib: 7,
            ..Limits::default()
        };
        assert_eq!(memory(&own), Some(7 << 20));
        assert!(memory(&Limits::default()).is_some_and(|bytes| bytes > 64 << 20));
    }
}
