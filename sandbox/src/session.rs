use std::fs::File;
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::io::retry_on_intr;
use rustix::process::{Signal, pidfd_send_signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::Channel;
use crate::limits::{Held, InForce, Limits, Usage};
use crate::message::{Begun, Opened, Request, Started};
use crate::network::NetworkCounts;
use crate::{Error, Exit, Process, Stdio};

/// More than init ever writes about one process.
const LONGEST_REPORT: u64 = 64 * 1024;

/// Namespaces and mounts that outlive the processes run in them; dropping ends all of it.
#[derive(Debug)]
pub struct Session {
    control: Arc<Channel>,
    /// `None` once somebody waits for its end.
    holder: Option<Child>,
    /// Its process descriptor, once it is known.
    init: Option<OwnedFd>,
    held: Arc<Held>,
    ended: Arc<AtomicBool>,
    next_key: AtomicU64,
}

impl Session {
    /// One whose holder has just been started.
    pub(crate) fn new(control: Channel, holder: Child) -> Session {
        Session {
            control: Arc::new(control),
            held: Arc::new(Held::of(Limits::default(), &[])),
            holder: Some(holder),
            init: None,
            ended: Arc::new(AtomicBool::new(false)),
            next_key: AtomicU64::new(0),
        }
    }

    /// Gives the limits that are left to the session's processes themselves.
    pub(crate) fn hold_to(&mut self, limits: Limits, init: u32) -> Limits {
        let holder = self.holder.as_ref().map(Child::id);
        let processes: Vec<u32> = holder.into_iter().chain([init]).collect();
        let held = Held::of(limits, &processes);
        let left = held.left_to_the_session();
        self.held = Arc::new(held);
        left
    }

    /// What holder or init say while the session begins; `None` when they have died.
    pub(crate) fn hear(&mut self) -> Result<Option<(Begun, Option<OwnedFd>)>, Error> {
        let Some((begun, descriptors)) = self.control.receive().map_err(Error::Channel)? else {
            return Ok(None);
        };
        let mut descriptor = descriptors.into_iter().next();
        if let Begun::Init { .. } = begun {
            self.init = descriptor.take();
        }
        Ok(Some((begun, descriptor)))
    }

    pub(crate) fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Error> {
        self.control.send(message, descriptors).map_err(send_error)
    }

    /// Starts a process; several may run side by side.
    ///
    /// It leads a session and a process group of its own.
    /// A program that can't be executed is an error, not an exit code.
    pub fn run(&self, process: &Process, stdio: Stdio) -> Result<Running, Error> {
        let null = |given: Option<OwnedFd>| given.map_or_else(open_null, Ok);
        let three = [null(stdio.stdin)?, null(stdio.stdout)?, null(stdio.stderr)?];
        three.iter().for_each(let_reopen);
        let (starting, theirs) = Channel::pair().map_err(Error::Channel)?;
        let (exit, exit_writer) = std::io::pipe().map_err(Error::Channel)?;
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let request = Request::Start {
            key,
            process: Box::new(process.clone()),
        };
        let mut descriptors = vec![theirs.as_fd(), exit_writer.as_fd()];
        descriptors.extend(three.iter().map(AsFd::as_fd));
        self.send(&request, &descriptors)?;
        drop((theirs, exit_writer, three));
        let mut network = NetworkCounts::default();
        while let Some((started, files)) = starting.receive().map_err(Error::Channel)? {
            match started {
                Started::OwnNetwork => network = NetworkCounts::new(files),
                Started::Refused(refusal) => return Err(refusal.into()),
            }
        }
        Ok(Running {
            control: Arc::clone(&self.control),
            key,
            exit,
            network,
        })
    }

    /// Opens a regular file below the session's root for reading, following no link on the way.
    ///
    /// An open file keeps its mount, and so an overlay's directories, in use after the session.
    pub fn open(&self, path: &Path) -> Result<File, Error> {
        let (answer, theirs) = Channel::pair().map_err(Error::Channel)?;
        let request = Request::Open {
            path: path.to_path_buf(),
        };
        self.send(&request, &[theirs.as_fd()])?;
        drop(theirs);
        let Some((opened, descriptors)) = answer.receive().map_err(Error::Channel)? else {
            return Err(Error::SessionEnded);
        };
        if let Opened::Refused(refusal) = opened {
            return Err(refusal.into());
        }
        let not_regular = || Error::NotRegular {
            path: path.to_path_buf(),
        };
        // Init shares its namespaces with what runs in them; what it says is checked.
        let file = File::from(descriptors.into_iter().next().ok_or_else(not_regular)?);
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if regular {
            Ok(file)
        } else {
            Err(not_regular())
        }
    }

    /// Limits of the session, and what holds it to them.
    pub fn in_force(&self) -> InForce {
        self.held.in_force()
    }

    /// For another thread that looks after the session.
    pub fn watch(&self) -> Watch {
        Watch {
            control: Arc::clone(&self.control),
            held: Arc::clone(&self.held),
            ended: Arc::clone(&self.ended),
        }
    }

    /// Kills all processes and waits until the kernel has taken the namespaces down.
    pub fn end(mut self) -> Result<(), Error> {
        self.take_down()
    }

    /// Kills all processes and waits until they are dead; the kernel takes mounts and namespaces down meanwhile, which
    /// takes the longer the more files were used.
    pub fn stop(mut self) -> Result<Ending, Error> {
        let Some(init) = self.init.take() else {
            return self.take_down().map(|()| Ending(None));
        };
        // It fails where init is dead already.
        let _ = pidfd_send_signal(&init, Signal::KILL);
        let mut dead = [PollFd::new(&init, PollFlags::IN)];
        retry_on_intr(|| poll(&mut dead, None)).map_err(|errno| Error::Wait(errno.into()))?;
        self.ended.store(true, Ordering::SeqCst);
        // The holder has the mounts, too, and a cgroup goes when nothing is in it.
        let (holder, held) = (self.holder.take(), Arc::clone(&self.held));
        let wait = move || {
            let _ = holder.map(|mut holder| holder.wait());
            drop(held);
        };
        // Without a thread, the holder's entry stays until this process ends.
        let thread = thread::Builder::new().name("holder".to_owned()).spawn(wait);
        Ok(Ending(thread.ok()))
    }

    fn take_down(&mut self) -> Result<(), Error> {
        // The holder sees it, kills init and ends last. When it is gone already, so is the session.
        let _ = self.control.shut_down();
        self.ended.store(true, Ordering::SeqCst);
        if let Some(holder) = &mut self.holder {
            holder.wait().map_err(Error::Wait)?;
        }
        Ok(())
    }
}

/// What is still taken down of a session that has stopped; dropped, that goes on by itself.
#[derive(Debug)]
pub struct Ending(Option<JoinHandle<()>>);

impl Ending {
    /// Waits until nothing is left; the processors' time of the session then is the caller's children's (getrusage(2)).
    pub fn wait(self) {
        let _ = self.0.map(JoinHandle::join);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // After `end`, the exit status is known and nothing is done twice.
        let _ = self.take_down();
    }
}

/// Looks at a session that others run processes in, and may kill it.
#[derive(Clone, Debug)]
pub struct Watch {
    control: Arc<Channel>,
    held: Arc<Held>,
    ended: Arc<AtomicBool>,
}

impl Watch {
    /// What the session uses; once it has ended, a cgroup at most tells what was held against it.
    pub fn usage(&self) -> Usage {
        self.held.usage(self.ended.load(Ordering::SeqCst))
    }

    /// Kills all processes; whoever waits for one learns that the session has ended.
    pub fn kill(&self) {
        // It fails where the session has ended already.
        let _ = self.control.shut_down();
    }
}

/// Lets the process open /dev/stdout and the like when they are anonymous pipes of the caller's,
/// whose ids it does not have.
fn let_reopen(stdio: &OwnedFd) {
    const PIPEFS_MAGIC: u64 = 0x5049_5045;
    let is_pipe = rustix::fs::fstatfs(stdio)
        .is_ok_and(|about| u64::try_from(about.f_type) == Ok(PIPEFS_MAGIC));
    if is_pipe {
        // Another's pipe stays as it is; the process can still use its descriptor.
        let _ = rustix::fs::fchmod(stdio, Mode::from_bits_truncate(0o666));
    }
}

fn open_null() -> Result<OwnedFd, Error> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map(OwnedFd::from)
        .map_err(|source| Error::Read {
            path: "/dev/null".into(),
            source,
        })
}

fn send_error(error: std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(nix::libc::EPIPE | nix::libc::ECONNRESET) => Error::SessionEnded,
        _ => Error::Channel(error),
    }
}

/// Waits for the end of the pipe; `None` when nothing was written.
fn read_report<T: DeserializeOwned>(pipe: &mut PipeReader) -> Result<Option<T>, Error> {
    let mut text = Vec::new();
    pipe.take(LONGEST_REPORT)
        .read_to_end(&mut text)
        .map_err(Error::Channel)?;
    if text.is_empty() {
        return Ok(None);
    }
    let report = serde_json::from_slice(&text).map_err(|error| Error::Channel(error.into()))?;
    Ok(Some(report))
}

/// A process that was started in a session; the session's end ends it.
#[derive(Debug)]
pub struct Running {
    control: Arc<Channel>,
    key: u64,
    exit: PipeReader,
    network: NetworkCounts,
}

impl Running {
    /// Counts of the process's own network; they can be read also after its end.
    pub fn network(&self) -> NetworkCounts {
        self.network.clone()
    }

    pub fn wait(mut self) -> Result<Exit, Error> {
        read_report(&mut self.exit)?.ok_or(Error::SessionEnded)
    }

    /// Sends a signal to the process itself, not to its children.
    ///
    /// A process that has ended meanwhile gets none.
    pub fn kill(&self, signal: i32) -> Result<(), Error> {
        let request = Request::Signal {
            key: self.key,
            signal,
        };
        self.control.send(&request, &[]).map_err(send_error)
    }
}
