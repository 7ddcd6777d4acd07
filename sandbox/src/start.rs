//! From a forked child of init to the program.
use std::convert::Infallible;
use std::ffi::{CString, NulError};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{Gid, Uid, chdir, execve, setgroups, setresgid, setresuid, setsid};

use crate::capabilities::Capabilities;
use crate::channel::Channel;
use crate::limits::rlimit;
use crate::message::Started;
use crate::network::OwnNetwork;
use crate::process::{Network, Process};
use crate::refusal::{Attempt, Refusal};
use crate::seccomp::Filter;
use crate::{network, syscall};

/// Namespaces that were made for it.
pub(crate) struct Networks<'a> {
    pub(crate) own: Option<OwnNetwork>,
    pub(crate) forwarded: Option<&'a OwnedFd>,
}

/// Becomes the process; returns only when a step is refused.
pub(crate) fn start(
    process: &Process,
    stdio: [OwnedFd; 3],
    capabilities: &Capabilities,
    filter: Option<&Filter>,
    networks: Networks<'_>,
    library: &Channel,
) -> Refusal {
    match try_start(process, stdio, capabilities, filter, networks, library) {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    }
}

fn try_start(
    process: &Process,
    stdio: [OwnedFd; 3],
    capabilities: &Capabilities,
    filter: Option<&Filter>,
    networks: Networks<'_>,
    library: &Channel,
) -> Result<Infallible, Refusal> {
    setsid().map_err(|errno| Attempt::Fork.refused(errno))?;
    match process.network {
        Network::None => {
            let counts = network::enter_own(networks.own)?;
            let counts: Vec<BorrowedFd<'_>> = counts.iter().map(AsFd::as_fd).collect();
            // The library counts nothing then.
            let _ = library.send(&Started::OwnNetwork, &counts);
        }
        Network::Forwarded => network::join(networks.forwarded)?,
        Network::Host => {}
    }
    for limit in &process.rlimits {
        rlimit::apply(limit)?;
    }
    pass(stdio).map_err(|error| Attempt::PassDescriptors.refused(error))?;
    // Takes CAP_SYS_ADMIN, which goes with the user, or no_new_privs.
    if let Some(filter) = filter {
        filter.attach()?;
    }
    become_user(process, capabilities)?;
    chdir(&process.cwd)
        .map_err(|errno| Attempt::ChangeDirectory(process.cwd.clone()).refused(errno))?;
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true)
            .map_err(|errno| Attempt::SetNoNewPrivileges.refused(errno))?;
    }
    syscall::default_signals();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .map_err(|errno| Attempt::Fork.refused(errno))?;
    execute(process)
}

/// Makes them 0 to 2; all others end with exec.
fn pass(given: [OwnedFd; 3]) -> std::io::Result<()> {
    // Above 2 first, so that none is overwritten before its turn.
    let [stdin, stdout, stderr] = given.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3));
    nix::unistd::dup2_stdin(stdin?)?;
    nix::unistd::dup2_stdout(stdout?)?;
    nix::unistd::dup2_stderr(stderr?)?;
    syscall::close_from_on_exec(3)
}

fn become_user(process: &Process, capabilities: &Capabilities) -> Result<(), Refusal> {
    // Needs CAP_SETPCAP, which goes with the user.
    match process.network {
        Network::Forwarded => capabilities.without_network().bound()?,
        Network::None | Network::Host => capabilities.bound()?,
    }
    let user = &process.user;
    let refused = |errno: Errno| {
        Attempt::BecomeUser {
            uid: user.uid,
            gid: user.gid,
        }
        .refused(errno)
    };
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups: Vec<Gid> = user
        .additional_gids
        .iter()
        .copied()
        .map(Gid::from_raw)
        .collect();
    setgroups(&groups).map_err(refused)?;
    setresgid(gid, gid, gid).map_err(refused)?;
    setresuid(uid, uid, uid).map_err(refused)
}

fn execute(process: &Process) -> Result<Infallible, Refusal> {
    let program = process.args.first().map_or("", String::as_str);
    let refused = |errno: Errno| Attempt::Execute(program.to_owned()).refused(errno);
    let no_nul = |_: NulError| Attempt::Execute(program.to_owned()).refused(Errno::EINVAL);
    let args: Vec<CString> = process
        .args
        .iter()
        .map(|arg| CString::new(arg.as_str()))
        .collect::<Result<_, _>>()
        .map_err(no_nul)?;
    let env: Vec<CString> = process
        .env
        .iter()
        .map(|(name, value)| CString::new(format!("{name}={value}")))
        .collect::<Result<_, _>>()
        .map_err(no_nul)?;
    let mut error = Errno::ENOENT;
    for candidate in candidates(program, &process.env) {
        let candidate = CString::new(candidate).map_err(no_nul)?;
        match execve(&candidate, &args, &env) {
            Ok(never) => match never {},
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => error = Errno::EACCES,
            Err(errno) => return Err(refused(errno)),
        }
    }
    Err(refused(error))
}

/// Where execvp(3) would look, with the PATH of the process.
fn candidates(program: &str, env: &[(String, String)]) -> Vec<String> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let path = env.iter().find(|(name, _)| name == "PATH");
    path.map_or("/bin:/usr/bin", |(_, value)| value.as_str())
        .split(':')
        .filter_map(|directory| {
            Path::new(directory)
                .join(program)
                .to_str()
                .map(str::to_owned)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_looked_for_in_the_path_of_the_process() {
        let env = [("PATH".to_owned(), "/sbin:/bin".to_owned())];
        assert_eq!(candidates("true", &env), ["/sbin/true", "/bin/true"]);
    }

    #[test]
    fn program_with_a_slash_is_not_looked_for() {
        assert_eq!(candidates("./configure", &[]), ["./configure"]);
    }
}
