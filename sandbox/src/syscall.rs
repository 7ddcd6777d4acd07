//! The calls that nix and rustix lack, or offer as unsafe only.
#![expect(
    unsafe_code,
    reason = "the one place for it; each block says why it is sound"
)]
use std::ffi::CStr;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::libc;
use nix::unistd::{ForkResult, Pid};
use rustix::mount::MountAttrFlags;

/// Forks a process that has one thread; `None` in the child.
pub(crate) fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: the helper never starts a second thread, so no lock can be held by one that is gone.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Sets attributes of a mount, or with `recursive` of all mounts below it too (mount_setattr(2)).
pub(crate) fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    set: MountAttrFlags,
    recursive: bool,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: u64::from(set.bits()),
        attr_clr: if set.intersects(MountAttrFlags::MOUNT_ATTR__ATIME) {
            u64::from(MountAttrFlags::MOUNT_ATTR__ATIME.bits())
        } else {
            0
        },
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string and the structure lives through the call; the size is its own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            mem::size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Gives every signal its default action; an ignored one would stay ignored through exec.
pub(crate) fn default_signals() {
    const SIGNALS: libc::c_int = 64;
    const SIGNAL_SET_SIZE: libc::c_long = 8;
    // The kernel's struct sigaction, with room to spare, of SIG_DFL, no flags, an empty mask.
    let default = [0_u64; 8];
    for signal in 1..=SIGNALS {
        // The C library's function refuses signals that it keeps for itself.
        // SAFETY: the structure lives through the call and names no handler; for SIGKILL and
        // SIGSTOP the call fails and changes nothing.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SIGNAL_SET_SIZE,
            )
        };
    }
}

/// Closes all descriptors from `first`.
pub(crate) fn close_from(first: RawFd) -> io::Result<()> {
    close_range(first, 0)
}

/// Lets exec close all descriptors from `first`.
pub(crate) fn close_from_on_exec(first: RawFd) -> io::Result<()> {
    // The C library's header has the flag as unsigned; its bits fit.
    close_range(first, libc::CLOSE_RANGE_CLOEXEC.cast_signed())
}

fn close_range(first: RawFd, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: takes numbers only. Callers hold no descriptor of that range any more, or exec next.
    let result = unsafe { libc::close_range(first.cast_unsigned(), libc::c_uint::MAX, flags) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets the interface `lo` of the network namespace up (netdevice(7)).
pub(crate) fn set_loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all zeroes is a valid ifreq.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    let up = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = i16::try_from(up).expect("IFF_UP and IFF_RUNNING are low bits");
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Gives the process a level of the best-effort class for reading and writing disks
/// (ioprio_set(2)).
pub(crate) fn set_io_level(level: u16) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    const BEST_EFFORT: libc::c_int = 2 << 13;
    const CALLER: libc::c_int = 0;
    let priority = BEST_EFFORT | libc::c_int::from(level);
    // SAFETY: takes numbers only.
    let result =
        unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, CALLER, priority) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Adds a filter of system calls to the process (seccomp(2)).
pub(crate) fn attach_filter(program: &[u64], flags: u64) -> io::Result<()> {
    let length = libc::c_ushort::try_from(program.len())
        .map_err(|_too_long| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the kernel reads `len` instructions of eight bytes, which live through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Leaves the keys of the caller's session behind (session-keyring(7)).
pub(crate) fn new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the null name asks for a new keyring without one.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What to do with a subvolume of btrfs.
#[derive(Clone, Copy)]
pub(crate) enum Subvolume {
    Create,
    /// Of the one that has this descriptor.
    Copy(RawFd),
    Delete,
}

/// Makes, copies or deletes the subvolume `name` in `directory` (ioctl(2), linux/btrfs.h).
pub(crate) fn subvolume(directory: BorrowedFd<'_>, what: Subvolume, name: &CStr) -> io::Result<()> {
    /// struct btrfs_ioctl_vol_args
    #[repr(C)]
    struct Arguments {
        descriptor: i64,
        name: [u8; 4088],
    }
    const MAGIC: u32 = 0x94;
    let (number, descriptor) = match what {
        Subvolume::Create => (14, 0),
        Subvolume::Copy(of) => (1, of),
        Subvolume::Delete => (15, 0),
    };
    let mut arguments = Arguments {
        descriptor: i64::from(descriptor),
        name: [0; 4088],
    };
    let name = name.to_bytes_with_nul();
    let Some(place) = arguments.name.get_mut(..name.len()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidFilename));
    };
    place.copy_from_slice(name);
    let request = libc::_IOW::<Arguments>(MAGIC, number);
    // SAFETY: these calls read the structure, which lives through the call; its name ends with a zero.
    let result = unsafe { libc::ioctl(directory.as_raw_fd(), request, &raw const arguments) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
