//! The process that makes a session's namespaces and ends with them.
use std::os::fd::{AsFd, OwnedFd};

use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};

use crate::channel::Channel;
use crate::gateway::Gateway;
use crate::message::{Begun, Hold};
use crate::refusal::{Attempt, Refusal};
use crate::{gateway, init, syscall, userns};

/// Serves one session over `control`; returns when it is over.
pub(crate) fn hold(control: OwnedFd) {
    let control = Channel::new(control);
    // Ctrl-C at the caller's terminal is the caller's matter.
    let _ = rustix::process::setsid();
    // When the host runs out of memory, the kernel ends what a session holds before other things
    // (proc_pid_oom_score_adj(5)); where it can't be said, it decides by itself.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    let Ok(Some((hold, _))) = control.receive::<Hold>() else {
        return;
    };
    if let Err(refusal) = hold_namespaces(&control, &hold) {
        // When the library is gone, there is nobody to tell.
        let _ = control.send(&Begun::Refused(refusal), &[]);
    }
}

fn hold_namespaces(control: &Channel, hold: &Hold) -> Result<(), Refusal> {
    let (gateway, gate) = make_namespaces(hold)?.unzip();
    let (holder_alive, alive) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Attempt::Fork.refused(errno))?;
    let Some(pid) = syscall::fork().map_err(|errno| Attempt::Fork.refused(errno))? else {
        drop((alive, gateway));
        init::run(control, &holder_alive, gate);
    };
    drop(gate);
    let pid = Pid::from_raw(pid.as_raw()).expect("fork gives the parent a pid above zero");
    // Not reaped yet, so the pid is still init's.
    if let Ok(init) = pidfd_open(pid, PidfdFlags::empty()) {
        let told = Begun::Init {
            pid: pid.as_raw_nonzero().get().cast_unsigned(),
        };
        // Without it, the library begins nothing.
        let _ = control.send(&told, &[init.as_fd()]);
        watch(control, &init);
    }
    end(pid);
    drop(alive);
    if let Some(gateway) = gateway {
        gateway.end();
    }
    Ok(())
}

/// A gateway comes first: it belongs to the session's user namespace alone.
fn make_namespaces(hold: &Hold) -> Result<Option<(Gateway, Channel)>, Refusal> {
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    let Some(forwarding) = &hold.forwarding else {
        userns::enter(&hold.ids, all)?;
        return Ok(None);
    };
    userns::enter(&hold.ids, CloneFlags::empty())?;
    let gateway = gateway::start(forwarding)?;
    unshare(all).map_err(|errno| Attempt::MakeNamespaces.refused(errno))?;
    Ok(Some(gateway))
}

/// Waits until init is dead, or the library's end of `control` closed.
fn watch(control: &Channel, init: &OwnedFd) {
    let mut ends = [
        PollFd::from_borrowed_fd(control.as_fd(), PollFlags::RDHUP),
        PollFd::new(init, PollFlags::IN),
    ];
    // Whatever ends the wait, init must not outlive it.
    let _ = rustix::io::retry_on_intr(|| poll(&mut ends, None));
}

fn end(init: Pid) {
    let _ = kill_process(init, Signal::KILL);
    // The kernel lets init be reaped when all processes of its namespace are gone
    // (pid_namespaces(7)).
    let _ = rustix::io::retry_on_intr(|| waitpid(Some(init), WaitOptions::empty()));
}
