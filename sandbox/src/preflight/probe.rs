//! The helper's part: tries in new namespaces what sessions need.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::CloneFlags;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::path::Arg;
use rustix::process::{Pid, WaitOptions, waitpid};

use super::{Check, Probe, Tried};
use crate::channel::Channel;
use crate::mount_options::Parameter;
use crate::mount_point;
use crate::plan::{Source, Upper};
use crate::refusal::{Attempt, Refusal};
use crate::step::{self, HostPaths};
use crate::{syscall, userns};

/// In a namespace that ends with the probe.
const HOSTNAME: &str = "preflight";

/// Answers one [`Probe`] with any number of [`Tried`].
pub(crate) fn run(channel: OwnedFd) {
    let channel = Channel::new(channel);
    let Ok(Some((probe, _))) = channel.receive::<Probe>() else {
        return;
    };
    let tell = |check, result: Result<(), Refusal>| {
        let refusal = result.err();
        // The library has gone; nothing is left to do for.
        let _ = channel.send(&Tried { check, refusal }, &[]);
    };
    let others = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    let Some(ids) = probe.ids else {
        let entered = userns::enter_alone(others);
        let is_inside = entered.is_ok();
        tell(Check::Namespaces, entered);
        if is_inside {
            try_inside(&probe.directory, || Ok(()), tell);
        }
        return;
    };
    let made = match userns::make(&ids, others) {
        Ok(made) => made,
        Err(refusal) => return tell(Check::Namespaces, Err(refusal)),
    };
    tell(Check::Namespaces, Ok(()));
    let mapped = made.map();
    let is_mapped = mapped.is_ok();
    tell(Check::Map, mapped);
    if is_mapped {
        try_inside(&probe.directory, userns::become_root, tell);
    }
}

/// The rest needs a process in the new pid namespace.
fn try_inside(
    directory: &Path,
    become_root: impl FnOnce() -> Result<(), Refusal>,
    tell: impl Fn(Check, Result<(), Refusal>),
) {
    match syscall::fork() {
        Ok(Some(pid)) => {
            let pid = Pid::from_raw(pid.as_raw());
            let _ = rustix::io::retry_on_intr(|| waitpid(pid, WaitOptions::empty()));
        }
        Ok(None) => {
            try_mounts(directory, become_root, tell);
            std::process::exit(0);
        }
        Err(errno) => tell(Check::Namespaces, Err(Attempt::Fork.refused(errno))),
    }
}

fn try_mounts(
    directory: &Path,
    become_root: impl FnOnce() -> Result<(), Refusal>,
    tell: impl Fn(Check, Result<(), Refusal>),
) {
    let overlay = overlay(directory);
    let (null, scratch, layers) = (
        open(Path::new("/dev/null")),
        open(directory),
        HostPaths::of_source(&overlay),
    );
    if let Err(refusal) = become_root() {
        return tell(Check::Map, Err(refusal));
    }
    let tmpfs = step::new_mount("tmpfs", &[], MountAttrFlags::empty()).map(drop);
    let can_mount = tmpfs.is_ok();
    tell(
        Check::Mounts,
        tmpfs.map_err(|error| mount("tmpfs", "/tmp").refused(error)),
    );
    if !can_mount {
        return;
    }
    let named = nix::unistd::sethostname(HOSTNAME);
    tell(
        Check::Hostname,
        named.map_err(|errno| Attempt::SetHostname(HOSTNAME.to_owned()).refused(errno)),
    );
    let proc = step::new_mount("proc", &[], MountAttrFlags::empty()).map(drop);
    tell(
        Check::Proc,
        proc.map_err(|error| mount("proc", "/proc").refused(error)),
    );
    let bound = null.and_then(|null| {
        let attempt = Attempt::Bind {
            source: "/dev/null".into(),
            target: "/dev/null".into(),
        };
        let bound = step::clone_mount(null.as_fd(), false).map(drop);
        bound.map_err(|error| attempt.refused(error))
    });
    tell(Check::Devices, bound);
    let tried = scratch.and_then(|scratch| {
        let result = layers.and_then(|layers| try_overlay(&overlay, layers, scratch.as_fd()));
        clean(scratch.as_fd());
        result
    });
    tell(Check::Overlay, tried);
}

fn open(path: &Path) -> Result<OwnedFd, Refusal> {
    mount_point::open_host(path)
        .map_err(|error| Attempt::OpenHostPath(path.to_path_buf()).refused(error))
}

fn mount(kind: &str, target: &str) -> Attempt {
    Attempt::Mount {
        kind: kind.to_owned(),
        target: target.into(),
    }
}

fn overlay(directory: &Path) -> Source {
    Source::Overlay {
        lower: vec![directory.join(super::LOWER)],
        upper: Some(Upper {
            directory: directory.join("upper"),
            work: directory.join("work"),
        }),
        parameters: vec![Parameter::Flag("userxattr".to_owned())],
    }
}

/// Mounts an overlay and removes a lower directory: only that shows whether `userxattr` works.
fn try_overlay(
    overlay: &Source,
    layers: HostPaths,
    scratch: BorrowedFd<'_>,
) -> Result<(), Refusal> {
    let refused = |errno: Errno| mount("overlay", "/").refused(errno);
    mkdirat(scratch, "lower/removed", Mode::from_bits_truncate(0o755)).map_err(refused)?;
    let mount = step::mount_detached(overlay, layers)?;
    unlinkat(mount, "removed", AtFlags::REMOVEDIR).map_err(refused)
}

/// Removes what root of the namespace made and the caller could not remove.
fn clean(scratch: BorrowedFd<'_>) {
    for directory in ["upper", "work"] {
        let _ = empty(scratch, directory);
        let _ = unlinkat(scratch, directory, AtFlags::REMOVEDIR);
    }
    let _ = unlinkat(scratch, "lower/removed", AtFlags::REMOVEDIR);
}

/// Removes all below a directory, which only overlay has written to.
fn empty(parent: BorrowedFd<'_>, name: impl Arg + Copy) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if unlinkat(&directory, name, AtFlags::empty()) == Err(Errno::ISDIR) {
            empty(directory.as_fd(), name)?;
            unlinkat(&directory, name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}
