//! Network of one process: its own with nothing but loopback, the session's own, or the host's.
mod outlet;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::channel::Channel;
use crate::refusal::{Attempt, Refusal};
use crate::syscall;

/// A network namespace with nothing but loopback, for one process.
pub(crate) struct OwnNetwork {
    namespace: OwnedFd,
    counts: Vec<OwnedFd>,
}

impl OwnNetwork {
    /// Made by a child that ends; `None` where that does not work.
    pub(crate) fn make() -> Option<OwnNetwork> {
        let (init, child) = Channel::pair().ok()?;
        let Some(pid) = syscall::fork().ok()? else {
            if let Some(files) = OwnNetwork::files() {
                let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
                // Init does without it.
                let _ = child.send(&(), &files);
            }
            std::process::exit(0);
        };
        drop(child);
        let made = init.receive::<()>();
        let _ = nix::sys::wait::waitpid(pid, None);
        let ((), files) = made.ok()??;
        let mut files = files.into_iter();
        Some(OwnNetwork {
            namespace: files.next()?,
            counts: files.collect(),
        })
    }

    /// Those of a new one, into which the calling process is moved.
    fn files() -> Option<Vec<OwnedFd>> {
        let counts = make_own().ok()?;
        let namespace = File::open("/proc/thread-self/ns/net").ok()?;
        Some([namespace.into()].into_iter().chain(counts).collect())
    }
}

/// Moves the calling process into the network namespace that was made for it, or a new one where it
/// may enter none (setns(2) is not for guests of every container engine).
///
/// Returns files of the kernel's counts there, for IPv4 and IPv6; open, they keep the namespace. None
/// where there is no /proc.
pub(crate) fn enter_own(made: Option<OwnNetwork>) -> Result<Vec<OwnedFd>, Refusal> {
    let kind = Some(LinkNameSpaceType::Network);
    match made {
        Some(made) if move_into_link_name_space(made.namespace.as_fd(), kind).is_ok() => {
            Ok(made.counts)
        }
        Some(_) | None => make_own(),
    }
}

/// Moves the calling process into a new network namespace, `lo` up; returns what [`enter_own`] does.
pub(crate) fn make_own() -> Result<Vec<OwnedFd>, Refusal> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| Attempt::MakeNetwork.refused(errno))?;
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| Attempt::MakeNetwork.refused(errno))?;
    syscall::set_loopback_up(socket.as_fd())
        .map_err(|error| Attempt::MakeNetwork.refused(error))?;
    let counts = ["snmp", "snmp6"]
        .iter()
        .filter_map(|name| File::open(format!("/proc/thread-self/net/{name}")).ok());
    Ok(counts.map(OwnedFd::from).collect())
}

/// Lets nothing leave the calling process's network namespace for a loopback address.
pub(crate) fn keep_loopback_in() -> Result<(), Refusal> {
    outlet::close_for_loopback().map_err(|error| Attempt::KeepLoopbackIn.refused(error))
}

/// Moves the calling process into the session's network namespace.
pub(crate) fn join(forwarded: Option<&OwnedFd>) -> Result<(), Refusal> {
    let Some(namespace) = forwarded else {
        let none = "the session was begun without a network to forward";
        return Err(Attempt::JoinNetwork.said(none.to_owned()));
    };
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| Attempt::JoinNetwork.refused(errno))
}

/// What the kernel counted in the network namespace of one process, also after its end.
#[derive(Clone, Debug, Default)]
pub struct NetworkCounts {
    files: Arc<Vec<File>>,
}

impl NetworkCounts {
    pub(crate) fn new(files: Vec<OwnedFd>) -> NetworkCounts {
        NetworkCounts {
            files: Arc::new(files.into_iter().map(File::from).collect()),
        }
    }

    /// How often TCP or UDP wanted to go where no route leads; 0 with the host's network.
    pub fn without_route(&self) -> u64 {
        let counts = self.files.iter().map(|file| {
            let mut text = vec![0; 64 << 10];
            // A file that can't be read has counted nothing.
            let length = file.read_at(&mut text, 0).unwrap_or(0);
            no_routes(&String::from_utf8_lossy(&text[..length]))
        });
        counts.sum()
    }
}

/// `OutNoRoutes` of `Ip:` lines, names above values (snmp), or of a line by itself (snmp6).
fn no_routes(text: &str) -> u64 {
    let mut lines = text.lines().filter(|line| line.starts_with("Ip: "));
    let by_name = lines.next().zip(lines.next()).and_then(|(names, values)| {
        let mut pairs = names.split_whitespace().zip(values.split_whitespace());
        pairs.find(|(name, _)| *name == "OutNoRoutes")
    });
    let by_line = || {
        let mut pairs = text
            .lines()
            .filter_map(|line| line.split_once(char::is_whitespace));
        pairs.find(|(name, _)| *name == "Ip6OutNoRoutes")
    };
    let found = by_name.or_else(by_line);
    found
        .and_then(|(_, count)| count.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_name() {
        let snmp = "Ip: Forwarding OutDiscards OutNoRoutes\nIp: 1 2 3\nIcmp: a\nIcmp: 4\n";
        assert_eq!(no_routes(snmp), 3);
        let snmp6 = "Ip6InReceives                   \t7\nIp6OutNoRoutes                  \t5\n";
        assert_eq!(no_routes(snmp6), 5);
        assert_eq!(no_routes(""), 0);
    }
}
