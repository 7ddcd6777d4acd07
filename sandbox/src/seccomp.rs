//! Which system calls the processes of a session may make: from the spec's `linux.seccomp` to one
//! program for all architectures of the machine (seccomp(2)).
//!
//! Reading order: `profile` is what sessions refuse unless their spec says otherwise, `architecture`
//! knows the numbers of calls, `program` assembles.
//!
//! No crate does all of it: seccompiler makes a program for one architecture that kills on all
//! others, and the binding of libseccomp needs its C library.
mod architecture;
mod profile;
mod program;

use std::borrow::Cow;

use oci_spec::runtime::{
    Arch, Linux, LinuxPersonalityDomain, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag,
    Spec,
};
use serde::{Deserialize, Serialize};

use crate::plan::PlanError;
use crate::refusal::{Attempt, Refusal};
use crate::syscall;
use architecture::Architecture;
use program::{Calls, Rule};

pub(crate) use profile::{Sockets, profile};

/// An instruction of the kernel's filter machine: `struct sock_filter` as one number.
pub(crate) type Instruction = u64;

/// A program for the kernel, made once and attached to each process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    program: Vec<Instruction>,
    flags: u64,
}

impl Filter {
    /// Filters the calling process and all that come of it; needs no_new_privs, or CAP_SYS_ADMIN.
    pub(crate) fn attach(&self) -> Result<(), Refusal> {
        syscall::attach_filter(&self.program, self.flags)
            .map_err(|error| Attempt::FilterSystemCalls.refused(error))
    }
}

/// The filter that the spec asks for, if any.
pub(crate) fn filter(spec: &Spec) -> Result<Option<Filter>, PlanError> {
    let Some(linux) = spec.linux() else {
        return Ok(None);
    };
    let Some(asked) = linux.seccomp() else {
        return Ok(None);
    };
    if asked.listener_path().is_some() {
        return Err(PlanError::Unsupported("linux.seccomp.listenerPath"));
    }
    let asked = for_personality(asked, linux);
    let architectures = architectures(&asked)?;
    let calls: Vec<Calls> = architectures
        .iter()
        .map(|architecture| calls(&asked, *architecture))
        .collect::<Result<_, _>>()?;
    Ok(Some(Filter {
        program: program::assemble(&calls),
        flags: flags(&asked),
    }))
}

/// The profile of sessions comes in a form for 32-bit root file systems too.
fn for_personality<'a>(asked: &'a LinuxSeccomp, linux: &Linux) -> Cow<'a, LinuxSeccomp> {
    let is_32_bit = linux
        .personality()
        .as_ref()
        .is_some_and(|personality| personality.domain() == LinuxPersonalityDomain::PerLinux32);
    if is_32_bit && *asked == profile(Sockets::Direct) {
        return Cow::Owned(profile(Sockets::BySocketcall));
    }
    Cow::Borrowed(asked)
}

/// The machine's own first; without any in the spec it is the only one.
fn architectures(asked: &LinuxSeccomp) -> Result<Vec<Architecture>, PlanError> {
    let named = asked.architectures().iter().flatten();
    let mut found = vec![Architecture::NATIVE];
    for arch in named {
        // x32 has the number of x86_64; its calls are refused whole.
        if *arch == Arch::ScmpArchX32 {
            continue;
        }
        let architecture = Architecture::of(*arch)
            .ok_or(PlanError::Unsupported("an architecture of linux.seccomp"))?;
        if !found.contains(&architecture) {
            found.push(architecture);
        }
    }
    Ok(found)
}

fn calls(asked: &LinuxSeccomp, architecture: Architecture) -> Result<Calls, PlanError> {
    let fallback = action(asked.default_action(), asked.default_errno_ret())?;
    let mut calls = Calls::new(architecture, fallback);
    for rule in asked.syscalls().iter().flatten() {
        let action = action(rule.action(), rule.errno_ret())?;
        let conditions = rule.args().clone().unwrap_or_default();
        if conditions.iter().any(|condition| condition.index() > 5) {
            return Err(PlanError::Unsupported(
                "an argument of linux.seccomp above 5",
            ));
        }
        for name in rule.names() {
            // Specs name the calls of all architectures, and of kernels to come.
            let Some(number) = architecture.number(name) else {
                continue;
            };
            calls.chain(number).add(Rule {
                conditions: conditions.clone(),
                action,
            });
        }
    }
    Ok(calls)
}

/// What the kernel is to do, in its numbers (linux/seccomp.h).
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, PlanError> {
    const ERRNO: u32 = 0x0005_0000;
    // As container engines have it.
    let errno = errno.unwrap_or(nix::libc::EPERM.cast_unsigned()) & 0xffff;
    Ok(match action {
        LinuxSeccompAction::ScmpActAllow => 0x7fff_0000,
        LinuxSeccompAction::ScmpActLog => 0x7ffc_0000,
        LinuxSeccompAction::ScmpActErrno => ERRNO | errno,
        LinuxSeccompAction::ScmpActTrap => 0x0003_0000,
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => 0,
        LinuxSeccompAction::ScmpActKillProcess => 0x8000_0000,
        LinuxSeccompAction::ScmpActTrace | LinuxSeccompAction::ScmpActNotify => {
            return Err(PlanError::Unsupported("an action of linux.seccomp"));
        }
    })
}

/// Flags of seccomp(2); to synchronise threads is for programs that have some.
fn flags(asked: &LinuxSeccomp) -> u64 {
    let flags = asked.flags().iter().flatten();
    flags.fold(0, |flags, flag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => flags | 1 << 1,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => flags | 1 << 2,
        _ => flags,
    })
}

#[cfg(test)]
mod tests;
