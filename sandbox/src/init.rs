//! The session's PID 1: mounts, starts processes on request, reaps all, reports exits.
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::process::{DumpableBehavior, Pid, WaitOptions, WaitStatus};

use crate::capabilities::Capabilities;
use crate::channel::Channel;
use crate::message::{Begin, Begun, Gate, Opened, Request, Started};
use crate::network::OwnNetwork;
use crate::process::{Exit, Network, Process};
use crate::refusal::{Attempt, Refusal};
use crate::seccomp::Filter;
use crate::start::Networks;
use crate::{limits, start, step, syscall, userns};

struct Init<'a> {
    control: &'a Channel,
    capabilities: Capabilities,
    filter: Option<Filter>,
    /// Of the first process that wants its own.
    network: Option<OwnNetwork>,
    /// Network namespace that pasta connects.
    forwarded: Option<OwnedFd>,
    children: HashMap<Pid, Child>,
}

struct Child {
    key: u64,
    exit: OwnedFd,
}

/// Sets the session up and serves it; its end ends all processes of the session.
///
/// `holder_alive` is a pipe whose other end only the holder has; `gate` tells of a forwarded network.
pub(crate) fn run(control: &Channel, holder_alive: &OwnedFd, gate: Option<Channel>) -> ! {
    die_with_the_holder();
    // Made while nobody waits.
    let network = OwnNetwork::make();
    // Until it comes, nothing of the session exists but its namespaces.
    let Ok(Some((begin, _))) = control.receive::<Begin>() else {
        std::process::exit(0)
    };
    let namespace = set_up(&begin).and_then(|()| gate.as_ref().map(namespace).transpose());
    let mut init = Init {
        control,
        capabilities: Capabilities::named(&begin.capabilities),
        filter: begin.filter,
        network,
        forwarded: None,
        children: HashMap::new(),
    };
    let served = namespace.and_then(|namespace| {
        init.forwarded = namespace;
        init.serve(holder_alive, gate)
    });
    match served {
        Ok(()) => std::process::exit(0),
        Err(refusal) => {
            // Before the session is ready, this is its answer; afterwards nobody reads it.
            let _ = control.send(&Begun::Refused(refusal), &[]);
            std::process::exit(1);
        }
    }
}

/// Also when the holder is killed.
fn die_with_the_holder() {
    // It takes a number, which is right.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

fn set_up(begin: &Begin) -> Result<(), Refusal> {
    // Its root is the cgroup that the library put init into.
    unshare(CloneFlags::CLONE_NEWCGROUP).map_err(|errno| Attempt::MakeNamespaces.refused(errno))?;
    // Where the caller alone may look, its files are opened while the process is still the caller's.
    let host = step::HostPaths::of_steps(&begin.steps)?;
    userns::become_root()?;
    // Changing ids clears both (prctl(2)). The program file belongs to the host's user namespace,
    // so not dumpable means: no process of the session can trace init or look into its /proc/1.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| Attempt::BecomeRoot.refused(errno))?;
    die_with_the_holder();
    // A kernel without keyrings has none to leave behind.
    let _ = syscall::new_session_keyring();
    rustix::process::umask(Mode::from_bits_truncate(0o022));
    limits::apply_in_session(&begin.limits)?;
    step::apply_all(&begin.steps, host)
}

/// Waits for the session's network namespace.
fn namespace(gate: &Channel) -> Result<OwnedFd, Refusal> {
    let received = gate.receive::<Gate>();
    match received.map_err(|error| Attempt::ConnectNetwork.refused(error))? {
        Some((Gate::Refused(refusal), _)) => Err(refusal),
        Some((_, descriptors)) => {
            let namespace = descriptors.into_iter().next();
            namespace.ok_or_else(|| Attempt::ConnectNetwork.refused(Errno::EBADMSG))
        }
        None => Err(Attempt::ConnectNetwork.refused(Errno::EPIPE)),
    }
}

impl Init<'_> {
    fn serve(&mut self, holder_alive: &OwnedFd, gate: Option<Channel>) -> Result<(), Refusal> {
        let refused = |errno: nix::Error| Attempt::WatchProcesses.refused(errno);
        let mut child_ended = SigSet::empty();
        child_ended.add(Signal::SIGCHLD);
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&child_ended), None).map_err(refused)?;
        let signals =
            SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
                .map_err(refused)?;
        let passed: Vec<_> = gate.iter().map(AsFd::as_fd).collect();
        self.control
            .send(&Begun::Ready, &passed)
            .map_err(|error| Attempt::WatchProcesses.refused(error))?;
        drop(gate);
        loop {
            let mut events = [
                PollFd::from_borrowed_fd(self.control.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
                PollFd::new(holder_alive, PollFlags::IN),
            ];
            rustix::io::retry_on_intr(|| poll(&mut events, None))
                .map_err(|errno| Attempt::WatchProcesses.refused(errno))?;
            let [control, ended, holder] = events.map(|event| !event.revents().is_empty());
            if holder {
                return Ok(());
            }
            if ended {
                while matches!(signals.read_signal(), Ok(Some(_))) {}
                self.reap();
            }
            if control && !self.answer() {
                return Ok(());
            }
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some(exit) = exit_of(status) else {
                continue;
            };
            // Others are orphans of the session's processes.
            if let Some(child) = self.children.remove(&pid) {
                report(child.exit, &exit);
            }
        }
    }

    /// Handles one request; tells whether more can come.
    fn answer(&mut self) -> bool {
        let Ok(Some((request, descriptors))) = self.control.receive::<Request>() else {
            return false;
        };
        match request {
            Request::Start { key, process } => self.start(key, &process, descriptors),
            Request::Signal { key, signal } => self.signal(key, signal),
            Request::Open { path } => open(&path, descriptors),
        }
        true
    }

    fn start(&mut self, key: u64, process: &Process, descriptors: Vec<OwnedFd>) {
        let Ok([failure, exit, stdin, stdout, stderr]) = <[OwnedFd; 5]>::try_from(descriptors)
        else {
            return;
        };
        let failure = Channel::new(failure);
        let network = match process.network {
            Network::None => self.network.take(),
            Network::Forwarded | Network::Host => None,
        };
        let networks = Networks {
            own: network,
            forwarded: self.forwarded.as_ref(),
        };
        match syscall::fork() {
            Ok(Some(pid)) => {
                let pid = Pid::from_raw(pid.as_raw()).expect("a parent gets a pid above zero");
                self.children.insert(pid, Child { key, exit });
            }
            Ok(None) => {
                let refusal = start::start(
                    process,
                    [stdin, stdout, stderr],
                    &self.capabilities,
                    self.filter.as_ref(),
                    networks,
                    &failure,
                );
                // When the library has gone, there is nobody to tell.
                let _ = failure.send(&Started::Refused(refusal), &[]);
                std::process::exit(1);
            }
            Err(errno) => {
                let refusal = Attempt::Fork.refused(errno);
                let _ = failure.send(&Started::Refused(refusal), &[]);
            }
        }
    }

    fn signal(&self, key: u64, signal: i32) {
        let Some((pid, _)) = self.children.iter().find(|(_, child)| child.key == key) else {
            // It has ended, and its exit is on the way.
            return;
        };
        let Some(signal) = rustix::process::Signal::from_named_raw(signal) else {
            return;
        };
        let _ = rustix::process::kill_process(*pid, signal);
    }
}

/// Writes to a pipe that the library reads, unless it lost interest.
fn report(pipe: OwnedFd, what: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_vec(what) {
        let _ = File::from(pipe).write_all(&text);
    }
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    let code = status.exit_status().map(Exit::Code);
    code.or_else(|| status.terminating_signal().map(Exit::Signal))
}

fn open(path: &Path, descriptors: Vec<OwnedFd>) {
    let Ok([answer]) = <[OwnedFd; 1]>::try_from(descriptors) else {
        return;
    };
    let answer = Channel::new(answer);
    let attempt = Attempt::OpenFile(path.to_path_buf());
    let sent = match open_regular(path) {
        Ok(file) => answer.send(&Opened::Opened, &[file.as_fd()]),
        Err(error) => answer.send(&Opened::Refused(attempt.refused(error)), &[]),
    };
    // The library does not wait for the answer any more.
    drop(sent);
}

fn open_regular(path: &Path) -> std::io::Result<OwnedFd> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    // Without O_NONBLOCK a FIFO would hold init up.
    let file = rustix::fs::openat2(
        &root,
        path,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    if !File::from(file.try_clone()?).metadata()?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    Ok(file)
}
