//! A session's way out: a network namespace of its own, which pasta(1) connects.
//!
//! Two processes beside the session, with its ids and in the host's file system: the *keeper* makes
//! the namespace and stays in it, so that pasta finds it as /proc/PID/ns/net (other paths AppArmor
//! may refuse it); the keeper's child, PID 1 of a namespace, runs pasta in the host's network.
//! Whatever ends holder or keeper ends that child, and the kernel then ends pasta.
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::getpid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, set_dumpable_behavior,
    set_parent_process_death_signal, waitpid,
};
use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::message::Gate;
use crate::refusal::{Attempt, Refusal};
use crate::{capabilities, network, syscall, userns};

/// Longest text of pasta's that is passed on.
const LONGEST_MESSAGE: usize = 1000;
/// What pasta says on standard error of a host without syslog.
const NO_SYSLOG: &str = "Failed to send";

/// How a session's own network is connected, and what of the host's loopback it reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding {
    /// Path of pasta(1).
    pub program: PathBuf,
    /// TCP ports of the host's loopback, which the session's loopback has under the same numbers.
    pub ports: Vec<u16>,
    /// Whether the host's first resolver answers queries by UDP at [`Forwarding::RESOLVER`]; with
    /// Debian 12's pasta it answers nowhere else then.
    pub resolver: bool,
    /// Time that pasta may take for its start.
    pub patience: Duration,
}

impl Forwarding {
    /// An address that stands for the host's resolver.
    pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
}

/// Held by the holder; closed, pasta ends.
pub(crate) struct Gateway {
    keeper: Pid,
    stop: OwnedFd,
}

impl Gateway {
    /// Waits until pasta and all beside it are gone.
    pub(crate) fn end(self) {
        drop(self.stop);
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(self.keeper), WaitOptions::empty()));
    }
}

/// Starts keeper and pasta; what becomes of them comes over the channel, the namespace first.
///
/// The caller is in the session's user namespace and in no other of the session's.
pub(crate) fn start(forwarding: &Forwarding) -> Result<(Gateway, Channel), Refusal> {
    let (answers, theirs) =
        Channel::pair().map_err(|error| Attempt::ConnectNetwork.refused(error))?;
    let (stopped, stop) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Attempt::ConnectNetwork.refused(errno))?;
    let Some(keeper) = syscall::fork().map_err(|errno| Attempt::Fork.refused(errno))? else {
        drop((answers, stop));
        if let Err(refusal) = keep(forwarding, &theirs, &stopped) {
            // Nobody may be left to tell.
            let _ = theirs.send(&Gate::Refused(refusal), &[]);
        }
        std::process::exit(0);
    };
    let keeper = Pid::from_raw(keeper.as_raw()).expect("fork gives the parent a pid above zero");
    Ok((Gateway { keeper, stop }, answers))
}

fn keep(forwarding: &Forwarding, answers: &Channel, stopped: &OwnedFd) -> Result<(), Refusal> {
    let refused = |errno: rustix::io::Errno| Attempt::ConnectNetwork.refused(errno);
    userns::become_root()?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(|errno| Attempt::MakeNamespaces.refused(errno))?;
    let (ready, get_ready) = pipe_with(PipeFlags::CLOEXEC).map_err(refused)?;
    let keeper = getpid();
    let child = syscall::fork().map_err(|errno| Attempt::Fork.refused(errno))?;
    let Some(child) = child else {
        drop(get_ready);
        // Also at the keeper's end; without a byte it came already, and the keeper says why.
        let dies = set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
        if dies && matches!(File::from(ready).read(&mut [0]), Ok(1)) {
            serve(forwarding, keeper, answers, stopped);
        }
        std::process::exit(0);
    };
    network::make_own()?;
    network::keep_loopback_in()?;
    let namespace = File::open("/proc/self/ns/net")
        .map_err(|error| Attempt::OpenHostPath("/proc/self/ns/net".into()).refused(error))?;
    answers
        .send(&Gate::Namespace, &[namespace.as_fd()])
        .map_err(|error| Attempt::ConnectNetwork.refused(error))?;
    // pasta opens the namespace with fewer capabilities than it began with (ptrace(2), "Ptrace access
    // mode checking"): the keeper must have none, and be dumpable, which the change of ids undid.
    capabilities::drop_all()?;
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(refused)?;
    File::from(get_ready)
        .write_all(b"1")
        .map_err(|error| Attempt::ConnectNetwork.refused(error))?;
    let child = Pid::from_raw(child.as_raw());
    let _ = rustix::io::retry_on_intr(|| waitpid(child, WaitOptions::empty()));
    Ok(())
}

/// PID 1 of pasta's namespace: its end is pasta's.
fn serve(forwarding: &Forwarding, keeper: nix::unistd::Pid, answers: &Channel, stopped: &OwnedFd) {
    let outcome = match connect(forwarding, keeper, stopped) {
        Ok(()) => Gate::Connected,
        Err(said) => Gate::Refused(Attempt::ConnectNetwork.said(said)),
    };
    let connected = matches!(outcome, Gate::Connected);
    if answers.send(&outcome, &[]).is_ok() && connected {
        let mut ends = [PollFd::new(stopped, PollFlags::IN)];
        let _ = rustix::io::retry_on_intr(|| poll(&mut ends, None));
    }
}

/// Returns when pasta runs in the background and the namespace is connected.
fn connect(
    forwarding: &Forwarding,
    keeper: nix::unistd::Pid,
    stopped: &OwnedFd,
) -> Result<(), String> {
    if !has_default_route() {
        // Newer versions would go on, without a way out.
        return Err("this host has no default route, which pasta gives to the session".to_owned());
    }
    let program = forwarding.program.display();
    let mut child = Command::new(&forwarding.program)
        .args(arguments(forwarding, keeper))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("can't start {program}: {error}"))?;
    let mut said = Vec::new();
    let stderr = child.stderr.take();
    let deadline = Instant::now() + forwarding.patience;
    let status = listen(&mut child, stderr, &mut said, stopped, deadline)
        .map_err(|error| format!("can't wait for {program}: {error}"))?;
    let said = last_words(&said);
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{program} ended with {status}: {said}")),
        None => Err(format!(
            "{program} did not start within {} s: {said}",
            forwarding.patience.as_secs_f32()
        )),
    }
}

/// In the words of all versions since Debian 12's.
fn arguments(forwarding: &Forwarding, keeper: nix::unistd::Pid) -> Vec<String> {
    let ports: Vec<String> = forwarding.ports.iter().map(u16::to_string).collect();
    let ports = if ports.is_empty() {
        "none".to_owned()
    } else {
        ports.join(",")
    };
    let resolver = Forwarding::RESOLVER.to_string();
    let resolver = forwarding
        .resolver
        .then(|| ["--dns-forward".to_owned(), resolver]);
    let namespace = format!("/proc/{keeper}/ns/net");
    [
        "--quiet",
        "--config-net",
        // Otherwise the gateway's address is the host's loopback.
        "--no-map-gw",
        "--tcp-ports=none",
        "--udp-ports=none",
        "--udp-ns=none",
        "--tcp-ns",
        &ports,
        // The namespace's directory can't be watched; PID 1 ends pasta.
        "--no-netns-quit",
        "--netns-only",
        "--netns",
        &namespace,
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(resolver.into_iter().flatten())
    .collect()
}

/// Gathers what is said until the process has ended; `None`: it had to be killed.
fn listen(
    child: &mut Child,
    mut stderr: Option<ChildStderr>,
    said: &mut Vec<u8>,
    stopped: &OwnedFd,
    deadline: Instant,
) -> io::Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::NotFound)?;
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut events = vec![
            PollFd::new(&ended, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        events.extend(
            stderr
                .iter()
                .map(|stderr| PollFd::new(stderr, PollFlags::IN)),
        );
        let count = rustix::io::retry_on_intr(|| poll(&mut events, Some(&left)))?;
        let happened: Vec<bool> = events.iter().map(|e| !e.revents().is_empty()).collect();
        if count == 0 || happened[1] {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        if happened.get(2) == Some(&true) {
            let mut buffer = [0; LONGEST_MESSAGE];
            let count = stderr
                .as_mut()
                .map_or(Ok(0), |stderr| stderr.read(&mut buffer))?;
            said.extend_from_slice(&buffer[..count]);
            said.drain(..said.len().saturating_sub(LONGEST_MESSAGE));
            if count == 0 {
                stderr = None;
            }
        } else if happened[0] {
            return child.wait().map(Some);
        }
    }
}

fn last_words(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = said.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(NO_SYSLOG));
    lines.collect::<Vec<_>>().join("; ")
}

fn has_default_route() -> bool {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/net/{name}"));
    is_default(
        &read("route").unwrap_or_default(),
        &read("ipv6_route").unwrap_or_default(),
    )
}

/// Looks into /proc/net/route and /proc/net/ipv6_route.
fn is_default(route: &str, ipv6_route: &str) -> bool {
    let ipv4 = route.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")
    });
    let ipv6 = ipv6_route.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The kernel has one over lo that says: unreachable.
        let [to, "00", .., interface] = fields[..] else {
            return false;
        };
        to.bytes().all(|digit| digit == b'0') && interface != "lo"
    });
    ipv4 || ipv6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_ports_are_named() {
        let mut forwarding = Forwarding {
            program: "pasta".into(),
            ports: vec![8066, 3128],
            resolver: false,
            patience: Duration::ZERO,
        };
        let line = |forwarding: &Forwarding| {
            let line = arguments(forwarding, nix::unistd::Pid::from_raw(7));
            line.join(" ")
        };
        assert!(line(&forwarding).contains(" --tcp-ns 8066,3128 "));
        forwarding.ports.clear();
        assert!(line(&forwarding).contains(" --tcp-ns none "));
        assert!(line(&forwarding).ends_with(" --netns /proc/7/ns/net"));
    }

    #[test]
    fn default_routes_are_found() {
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n";
        let near = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n";
        let far = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n";
        let zeros = "0".repeat(32);
        let ipv6 = |interface: &str| {
            format!("{zeros} 00 {zeros} 00 {zeros} 00000400 1 0 00200200 {interface}\n")
        };
        assert!(is_default(&format!("{head}{near}{far}"), ""));
        assert!(!is_default(&format!("{head}{near}"), &ipv6("lo")));
        assert!(is_default(head, &ipv6("eth0")));
    }

    #[test]
    fn complaints_about_syslog_are_left_out() {
        let said = b"Failed to send 9 bytes to syslog\nNo routable interface\n\nExiting\n";
        assert_eq!(last_words(said), "No routable interface; Exiting");
    }
}
