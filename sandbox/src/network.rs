//! Network of one process: its own with nothing but loopback, or the host's.
use std::os::fd::AsFd;

use nix::sched::{CloneFlags, unshare};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::refusal::{Attempt, Refusal};
use crate::syscall;

/// Moves the calling process into a new network namespace, `lo` up.
pub(crate) fn make_own() -> Result<(), Refusal> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| Attempt::MakeNetwork.refused(errno))?;
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| Attempt::MakeNetwork.refused(errno))?;
    syscall::set_loopback_up(socket.as_fd()).map_err(|error| Attempt::MakeNetwork.refused(error))
}
