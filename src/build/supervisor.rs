//! The process that owns a running build: started in a session of its own (setsid), it outlives the daemon and ends
//! with the build. It holds a lock in the build's directory; the kernel frees it when the process ends.
//!
//! Its death ends the sandbox session at once: the kernel closes its end of the session's socket. SIGTERM cancels;
//! [`cancel`] also gets at one that is stopped or hangs.
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal, setsid,
};
use sandbox::Ending;
use tokio::signal::unix::{SignalKind, signal};

use super::log::Log;
use super::package::{self, Kind};
use super::steps::Build;
use super::stop::{Stop, in_one_line};
use super::{Assignment, BuildStatus, Verdict, summary};
use crate::chroots::Chroots;
use crate::deb::Dsc;
use crate::home::{FileError, Home};
use crate::{chroots, pgp};

const ASSIGNMENT: &str = "assignment.json";
const VERDICT: &str = "verdict.json";
const LOCK: &str = "supervisor.lock";
/// What the supervisor itself says, for administrators.
const MESSAGES: &str = "supervisor.log";
/// Between two looks for processes to end, once cancelled.
const AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("can't understand {path}")]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("can't start a supervisor for {directory}")]
    Start {
        directory: PathBuf,
        source: io::Error,
    },
    #[error("the supervisor of {directory} ended at its start: {said}")]
    Ended { directory: PathBuf, said: String },
    #[error("{directory} has a supervisor already")]
    Running { directory: PathBuf },
    #[error("can't watch for signals")]
    Signals(#[source] io::Error),
    #[error("can't write the build log")]
    Log(#[from] super::log::Error),
    #[error(transparent)]
    Chroots(#[from] chroots::Error),
}

/// What a directory tells about its build.
#[derive(Debug)]
pub enum State {
    /// No supervisor ever ran, or it died before its verdict.
    NotRunning,
    Running,
    Ended(Box<Verdict>),
}

/// Writes the assignment and starts the supervisor (this program again); it holds its lock when this returns.
pub fn start(assignment: &Assignment) -> Result<Child, Error> {
    start_program(Path::new("/proc/self/exe"), assignment)
}

/// As [`start`], with another program that knows `supervise DIRECTORY`.
pub fn start_program(program: &Path, assignment: &Assignment) -> Result<Child, Error> {
    let directory = &assignment.directory;
    if is_locked(directory)? {
        return Err(Error::Running {
            directory: directory.clone(),
        });
    }
    remove_if_any(&directory.join(VERDICT))?;
    let text = serde_json::to_vec_pretty(assignment).expect("an assignment has string keys only");
    write_durably(&directory.join(ASSIGNMENT), &text)?;
    let messages = directory.join(MESSAGES);
    let stderr = File::create(&messages).map_err(FileError::of("make", &messages))?;
    let failed = |source| Error::Start {
        directory: directory.clone(),
        source,
    };
    let mut child = Command::new(program)
        .arg("supervise")
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(failed)?;
    let mut ready = [0];
    let answered = child
        .stdout
        .take()
        .map_or(Ok(0), |mut stdout| stdout.read(&mut ready));
    if answered.map_err(failed)? == 1 {
        return Ok(child);
    }
    child.wait().map_err(failed)?;
    Err(Error::Ended {
        directory: directory.clone(),
        said: fs::read_to_string(&messages)
            .unwrap_or_default()
            .trim()
            .to_owned(),
    })
}

pub fn state(directory: &Path) -> Result<State, Error> {
    if is_locked(directory)? {
        return Ok(State::Running);
    }
    let verdict = read_verdict(directory)?;
    Ok(verdict.map_or(State::NotRunning, |verdict| State::Ended(Box::new(verdict))))
}

/// Waits until no supervisor holds the directory; its verdict if it left one. Synchronous.
pub fn wait(directory: &Path) -> Result<Option<Verdict>, Error> {
    let path = directory.join(LOCK);
    if let Some(lock) = open_if_any(&path)? {
        retry_on_intr(|| flock(&lock, FlockOperation::LockShared))
            .map_err(|errno| FileError::of("lock", &path)(errno.into()))?;
    }
    read_verdict(directory)
}

/// Ends a running build, which has no verdict if its supervisor doesn't end by itself within `grace`. Synchronous.
pub fn cancel(directory: &Path, grace: Duration) -> Result<(), Error> {
    let path = directory.join(LOCK);
    let Some(mut lock) = open_if_any(&path)? else {
        return Ok(());
    };
    let mut pid = String::new();
    let failed = FileError::of("signal the supervisor that holds", &path);
    lock.read_to_string(&mut pid).map_err(&failed)?;
    let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    let supervisor = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(supervisor) => supervisor,
        Err(Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(failed(errno.into()).into()),
    };
    // The number may be another process's by now, which holds no lock here.
    if !is_locked(directory)? {
        return Ok(());
    }
    // A stopped process takes no other signal before it goes on (signal(7)).
    for signal in [Signal::TERM, Signal::CONT] {
        send(&supervisor, signal).map_err(&failed)?;
    }
    if !has_ended(&supervisor, Some(grace)).map_err(&failed)? {
        send(&supervisor, Signal::KILL).map_err(&failed)?;
        has_ended(&supervisor, None).map_err(&failed)?;
    }
    Ok(())
}

fn send(process: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(process, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits for the end of a process, for ever without a `limit`.
fn has_ended(process: &OwnedFd, limit: Option<Duration>) -> io::Result<bool> {
    let limit = limit.map(|limit| Timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let mut ended = [PollFd::new(process, PollFlags::IN)];
    Ok(retry_on_intr(|| poll(&mut ended, limit.as_ref()))? > 0)
}

fn is_locked(directory: &Path) -> Result<bool, Error> {
    let path = directory.join(LOCK);
    let Some(lock) = open_if_any(&path)? else {
        return Ok(false);
    };
    match retry_on_intr(|| flock(&lock, FlockOperation::NonBlockingLockShared)) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(FileError::of("lock", &path)(errno.into()).into()),
    }
}

fn read_verdict(directory: &Path) -> Result<Option<Verdict>, Error> {
    let path = directory.join(VERDICT);
    let Some(mut found) = open_if_any(&path)? else {
        return Ok(None);
    };
    let mut text = String::new();
    found
        .read_to_string(&mut text)
        .map_err(FileError::of("read", &path))?;
    let verdict = serde_json::from_str(&text).map_err(|source| Error::Json { path, source })?;
    Ok(Some(verdict))
}

/// The supervisor's own main function: runs the assignment of `directory`, returns the exit code.
pub fn main(directory: &Path) -> i32 {
    match supervise(directory) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("{}", in_one_line(&error));
            1
        }
    }
}

fn supervise(directory: &Path) -> Result<(), Error> {
    // Fails where a user started it by hand as a leader of a process group: nothing is lost then.
    let _ = setsid();
    let _lock = lock(directory)?;
    let cancelled = watch_for_cancel()?;
    let path = directory.join(ASSIGNMENT);
    let text = fs::read(&path).map_err(FileError::of("read", &path))?;
    let assignment: Assignment =
        serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })?;
    // Whoever started it waits for this line and may be gone by now.
    let _ = writeln!(io::stdout(), "running");
    let (verdict, ending) = run(assignment, &cancelled)?;
    let text = serde_json::to_vec_pretty(&verdict).expect("a verdict has string keys only");
    write_durably(&directory.join(VERDICT), &text)?;
    // So that all of the build has gone with the supervisor, and counts as its children's.
    if let Some(ending) = ending {
        ending.wait();
    }
    Ok(())
}

/// Runs the build; only what hinders even a log is an error.
fn run(
    assignment: Assignment,
    cancelled: &Arc<AtomicBool>,
) -> Result<(Verdict, Option<Ending>), Error> {
    let begin = Timestamp::now();
    let request = assignment.request.clone();
    let log = Log::create(&log_path(&assignment), assignment.limits.log_mib << 20)?;
    let chroots = Chroots::of_caller(Home::new(&assignment.home))?;
    chroots.prepare();
    let mut build = Build::new(assignment, chroots, log.clone(), Arc::clone(cancelled));
    let outcome = read_dsc(&build).and_then(|dsc| {
        let kind = Kind::of(&dsc, &request.subject.architecture, request.arch_all);
        log.say(&summary::head(&build.assignment, kind, begin))?;
        build.run(&dsc)
    });
    // What ended because it was cancelled is not the package's fault.
    let outcome = match outcome {
        Err(_) if cancelled.load(Ordering::SeqCst) => Err(Stop::Cancelled),
        Err(stop) => Err(build.explain(stop)),
        outcome => outcome,
    };
    let (verdict, text) = summary::verdict(&build, outcome, begin);
    let verdict = match log.say(&text).and_then(|()| log.sync()) {
        Ok(()) => verdict,
        Err(error) => Verdict {
            status: BuildStatus::Failed,
            error: Some(in_one_line(&error)),
            changes: None,
            ..verdict
        },
    };
    Ok((verdict, build.ending))
}

fn read_dsc(build: &Build) -> Result<Dsc, Stop> {
    let name = package::dsc_name(&build.assignment.request);
    let path = build.path(&name);
    let text = fs::read(&path).map_err(|source| Stop::Read { path, source })?;
    let text = pgp::unauthenticated_text(&text).map_err(|source| Stop::Signed {
        name: name.clone(),
        source,
    })?;
    text.parse().map_err(|source| Stop::Format {
        what: name.to_string(),
        source,
    })
}

/// `BASE_ARCHITECTURE.buildlog` in the build's directory.
fn log_path(assignment: &Assignment) -> PathBuf {
    let request = &assignment.request;
    let base = request.key().package.file_base();
    assignment
        .directory
        .join(format!("{base}_{}.buildlog", request.subject.architecture))
}

fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LOCK);
    let mut lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(FileError::of("make", &path))?;
    // One that looks at the state holds a shared lock for an instant.
    for _ in 0..20 {
        match retry_on_intr(|| flock(&lock, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => {
                lock.set_len(0)
                    .and_then(|()| writeln!(lock, "{}", std::process::id()))
                    .map_err(FileError::of("write", &path))?;
                return Ok(lock);
            }
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(20)),
            Err(errno) => return Err(FileError::of("lock", &path)(errno.into()).into()),
        }
    }
    Err(Error::Running {
        directory: directory.to_owned(),
    })
}

/// Waits for SIGTERM in a thread; from then on every session that runs or begins is killed.
fn watch_for_cancel() -> Result<Arc<AtomicBool>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Signals)?;
    let guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    drop(guard);
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    std::thread::spawn(move || {
        if runtime.block_on(terminate.recv()).is_none() {
            return;
        }
        flag.store(true, Ordering::SeqCst);
        loop {
            for child in children() {
                // It may have ended meanwhile; its number stays its own until it is waited for.
                let _ = kill_process(child, Signal::KILL);
            }
            std::thread::sleep(AGAIN);
        }
    });
    Ok(cancelled)
}

/// Processes that this one started, holders of sessions among them.
fn children() -> Vec<Pid> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids = lists.flat_map(|list| {
        list.split_whitespace()
            .filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw))
            .collect::<Vec<_>>()
    });
    pids.collect()
}

fn open_if_any(path: &Path) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::of("open", path)(error).into()),
    }
}

fn remove_if_any(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::of("remove", path)(error).into())
        }
        _ => Ok(()),
    }
}

/// Writes a file that is there whole or not at all, also after the power went.
fn write_durably(path: &Path, text: &[u8]) -> Result<(), FileError> {
    let new = path.with_extension("new");
    let written = File::create(&new).and_then(|mut to| {
        to.write_all(text)?;
        to.sync_all()
    });
    written.map_err(FileError::of("write", &new))?;
    fs::rename(&new, path).map_err(FileError::of("write", path))?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(FileError::of("sync", directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_supervisor_is_not_running() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(
            state(directory.path()).unwrap(),
            State::NotRunning
        ));
        assert!(wait(directory.path()).unwrap().is_none());
    }

    #[test]
    fn a_held_lock_means_running() {
        let directory = tempfile::tempdir().unwrap();
        let lock = lock(directory.path()).unwrap();
        assert!(matches!(state(directory.path()).unwrap(), State::Running));
        drop(lock);
        assert!(matches!(
            state(directory.path()).unwrap(),
            State::NotRunning
        ));
    }

    #[test]
    fn a_verdict_is_found_by_who_waits() {
        let directory = tempfile::tempdir().unwrap();
        let verdict = Verdict {
            status: BuildStatus::Skipped,
            error: None,
            failure: None,
            changes: None,
            summary: std::collections::BTreeMap::new(),
            phases: Vec::new(),
        };
        let text = serde_json::to_vec(&verdict).unwrap();
        write_durably(&directory.path().join(VERDICT), &text).unwrap();
        assert_eq!(wait(directory.path()).unwrap(), Some(verdict));
    }
}
