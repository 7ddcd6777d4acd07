//! The build log: a file that grows while the build runs, bounded in size.
//!
//! Processes of a session write into a pipe and a thread carries it over: what they say is data, they hold no
//! descriptor of the file, and a flood ends in a mark instead of a full disk.
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;

/// Reads after the process ended: more than a pipe holds; one that was left behind may go on writing.
const AFTER_THE_END: u32 = 32;
const MARK: &str = "\n[log truncated: the limit is reached, further output is dropped]\n";

#[derive(Debug, thiserror::Error)]
#[error("can't {action} build log {path}")]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The log of one build; clones write to the same file.
#[derive(Clone, Debug)]
pub(super) struct Log {
    path: PathBuf,
    tail: Arc<Mutex<Tail>>,
}

/// End of the file, and how much room processes have left.
#[derive(Debug)]
struct Tail {
    file: File,
    room: u64,
}

/// A pipe whose content goes into the log.
pub(super) struct Pump {
    /// Write end for a process.
    pub(super) descriptor: OwnedFd,
    flow: Flow,
}

/// Carries over until [`Flow::finish`].
pub(super) struct Flow {
    stop: OwnedFd,
    thread: JoinHandle<io::Result<()>>,
    path: PathBuf,
}

impl Log {
    /// Begins an empty log that all may read.
    ///
    /// Processes may write `limit` bytes in all; the supervisor's own lines come on top.
    pub(super) fn create(path: &Path, limit: u64) -> Result<Log, Error> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o644)
            .open(path)
            .map_err(|source| failed("make", path, source))?;
        Ok(Log {
            path: path.to_owned(),
            tail: Arc::new(Mutex::new(Tail { file, room: limit })),
        })
    }

    /// Writes the supervisor's own text.
    pub(super) fn say(&self, text: &str) -> Result<(), Error> {
        self.lock()
            .file
            .write_all(text.as_bytes())
            .map_err(|source| failed("write", &self.path, source))
    }

    /// Opens a pipe for one process; `heard` is called when something comes out of it.
    pub(super) fn pump(&self, heard: impl Fn() + Send + 'static) -> Result<Pump, Error> {
        let failed = |source| failed("open a pipe to", &self.path, source);
        let (reader, writer) = io::pipe().map_err(failed)?;
        // Users of a session are others to the pipe's owner: without this they can't open /dev/stderr.
        rustix::fs::fchmod(&writer, Mode::from_raw_mode(0o622)).map_err(|e| failed(e.into()))?;
        let (stopped, stop) = io::pipe().map_err(failed)?;
        let tail = Arc::clone(&self.tail);
        let thread = std::thread::spawn(move || carry(reader, &stopped, &tail, &heard));
        Ok(Pump {
            descriptor: writer.into(),
            flow: Flow {
                stop: stop.into(),
                thread,
                path: self.path.clone(),
            },
        })
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        self.lock()
            .file
            .sync_all()
            .map_err(|source| failed("sync", &self.path, source))
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pump {
    /// Parts the end that a process gets from the one that waits for it.
    pub(super) fn split(self) -> (OwnedFd, Flow) {
        (self.descriptor, self.flow)
    }
}

impl Flow {
    /// Writes what is in the pipe and ends; a process that was left behind may still hold the other end.
    pub(super) fn finish(self) -> Result<(), Error> {
        drop(self.stop);
        let carried = self.thread.join().unwrap_or(Ok(()));
        carried.map_err(|source| failed("write", &self.path, source))
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Copies until the pipe ends, or is empty after `stopped` ended.
fn carry(
    mut from: PipeReader,
    stopped: &PipeReader,
    tail: &Mutex<Tail>,
    heard: &impl Fn(),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut outcome = Ok(());
    let mut rest = AFTER_THE_END;
    while rest > 0 {
        let mut waits = [
            PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| poll(&mut waits, None))?;
        let [readable, stopped] = waits.map(|wait| !wait.revents().is_empty());
        if !readable {
            break;
        }
        let count = from.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        heard();
        if stopped {
            rest -= 1;
        }
        // A full disk must not block the build for ever: it goes on, and the fault is told at its end.
        if outcome.is_ok() {
            outcome = tail
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(&buffer[..count]);
        }
    }
    outcome
}

impl Tail {
    fn take(&mut self, text: &[u8]) -> io::Result<()> {
        if self.room == 0 {
            return Ok(());
        }
        let length = usize::try_from(self.room).map_or(text.len(), |room| room.min(text.len()));
        self.file.write_all(&text[..length])?;
        self.room -= length as u64;
        if self.room == 0 {
            self.file.write_all(MARK.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(limit: u64) -> (tempfile::TempDir, Log) {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::create(&directory.path().join("log"), limit).unwrap();
        (directory, log)
    }

    #[test]
    fn output_stands_between_what_was_said_before_and_after() {
        let (_directory, log) = log(1000);
        log.say("before\n").unwrap();
        let (descriptor, flow) = log.pump(|| {}).unwrap().split();
        File::from(descriptor).write_all(b"output\n").unwrap();
        flow.finish().unwrap();
        log.say("after\n").unwrap();
        assert_eq!(
            std::fs::read_to_string(&log.path).unwrap(),
            "before\noutput\nafter\n"
        );
    }

    #[test]
    fn a_flood_is_cut_and_marked_and_the_summary_still_written() {
        let (_directory, log) = log(4);
        let (descriptor, flow) = log.pump(|| {}).unwrap().split();
        File::from(descriptor)
            .write_all(&vec![b'x'; 200_000])
            .unwrap();
        flow.finish().unwrap();
        log.say("Status: successful\n").unwrap();
        assert_eq!(
            std::fs::read_to_string(&log.path).unwrap(),
            format!("xxxx{MARK}Status: successful\n")
        );
    }

    #[test]
    fn a_process_left_behind_does_not_hold_the_log_up() {
        let (_directory, log) = log(1000);
        let (descriptor, flow) = log.pump(|| {}).unwrap().split();
        let mut left_behind = File::from(descriptor);
        left_behind.write_all(b"last words").unwrap();
        flow.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&log.path).unwrap(), "last words");
        drop(left_behind);
    }
}
