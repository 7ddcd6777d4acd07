//! Enters a new user namespace, with the ids that newuidmap, newgidmap or root let into it.
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Pid, Uid, getpid, setgroups, setresgid, setresuid};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, waitpid};

use crate::idmap::{IdMap, IdRange};
use crate::refusal::{Attempt, Refusal};
use crate::syscall;

/// Longest message of newuidmap that is passed on.
const LONGEST_MESSAGE: u64 = 1000;

/// Makes the user namespace and `others`, and waits until its ids are mapped.
///
/// The process keeps its host id, which is not mapped; see [`become_root`].
pub(crate) fn enter(ids: &IdMap, others: CloneFlags) -> Result<(), Refusal> {
    make(ids, others)?.map()
}

/// Makes the user namespace and `others`.
pub(crate) fn make(ids: &IdMap, others: CloneFlags) -> Result<Unmapped, Refusal> {
    // The writers of the maps must be outside (user_namespaces(7)), so they are forked before;
    // side by side they cost the time of one.
    let mappers = if Uid::effective().is_root() {
        vec![Mapper::start(Program::Writer, ids)?]
    } else {
        vec![
            Mapper::start(Program::Newuidmap, ids)?,
            Mapper::start(Program::Newgidmap, ids)?,
        ]
    };
    unshare(CloneFlags::CLONE_NEWUSER | others)
        .map_err(|errno| Attempt::MakeNamespaces.refused(errno))?;
    Ok(Unmapped { mappers })
}

/// Makes the user namespace and `others`, with the caller's own id as root and no other id, which
/// takes no privileges (user_namespaces(7)): enough for finding out what else works.
pub(crate) fn enter_alone(others: CloneFlags) -> Result<(), Refusal> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    unshare(CloneFlags::CLONE_NEWUSER | others)
        .map_err(|errno| Attempt::MakeNamespaces.refused(errno))?;
    let files = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1\n")),
        ("gid_map", format!("0 {gid} 1\n")),
    ];
    files.into_iter().try_for_each(|(name, text)| {
        let attempt = Attempt::MapIds {
            program: name.to_owned(),
        };
        fs::write(format!("/proc/self/{name}"), text).map_err(|error| attempt.refused(error))
    })
}

/// A user namespace without ids; those who map them are waiting.
pub(crate) struct Unmapped {
    mappers: Vec<Mapper>,
}

impl Unmapped {
    pub(crate) fn map(self) -> Result<(), Refusal> {
        let running: Vec<Running> = self.mappers.into_iter().map(Mapper::go).collect();
        running.into_iter().try_for_each(Running::finish)
    }
}

/// Becomes uid and gid 0 of the user namespace, with all its capabilities.
pub(crate) fn become_root() -> Result<(), Refusal> {
    let refused = |errno: nix::Error| Attempt::BecomeRoot.refused(errno);
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid).map_err(refused)?;
    setgroups(&[]).map_err(refused)?;
    setresuid(uid, uid, uid).map_err(refused)
}

#[derive(Clone, Copy)]
enum Program {
    Newuidmap,
    Newgidmap,
    /// This program itself, which as root writes both maps.
    Writer,
}

impl Program {
    fn attempt(self) -> Attempt {
        let program = match self {
            Program::Newuidmap => "newuidmap",
            Program::Newgidmap => "newgidmap",
            Program::Writer => "uid_map and gid_map",
        };
        Attempt::MapIds {
            program: program.to_owned(),
        }
    }
}

/// Where the distribution's setuid programs are; the environment is not asked.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin"]
        .iter()
        .map(|directory| PathBuf::from(directory).join(program))
        .find(|path| path.is_file())
}

/// A process that waits for the namespace, then maps.
struct Mapper {
    program: Program,
    pid: Pid,
    go: OwnedFd,
    said: OwnedFd,
}

struct Running {
    program: Program,
    pid: Pid,
    said: OwnedFd,
}

impl Mapper {
    fn start(program: Program, ids: &IdMap) -> Result<Mapper, Refusal> {
        let refused = |errno: rustix::io::Errno| program.attempt().refused(errno);
        let holder = getpid();
        let (wait, go) = pipe_with(PipeFlags::CLOEXEC).map_err(refused)?;
        let (said, say) = pipe_with(PipeFlags::CLOEXEC).map_err(refused)?;
        let child = syscall::fork().map_err(|errno| Attempt::Fork.refused(errno))?;
        let Some(pid) = child else {
            drop(go);
            let error = map(program, holder, ids, wait, &say);
            // Nobody is left to tell when even this fails; the exit status still does.
            let _ = File::from(say).write_all(error.to_string().as_bytes());
            std::process::exit(1);
        };
        Ok(Mapper {
            program,
            pid,
            go,
            said,
        })
    }

    fn go(self) -> Running {
        // A mapper that died already shows in its exit status.
        let _ = File::from(self.go).write_all(b"1");
        Running {
            program: self.program,
            pid: self.pid,
            said: self.said,
        }
    }
}

impl Running {
    fn finish(self) -> Result<(), Refusal> {
        let attempt = self.program.attempt();
        let mut said = String::new();
        let reading = File::from(self.said)
            .take(LONGEST_MESSAGE)
            .read_to_string(&mut said);
        let pid = rustix::process::Pid::from_raw(self.pid.as_raw());
        let status = rustix::io::retry_on_intr(|| waitpid(pid, WaitOptions::empty()))
            .map_err(|errno| attempt.clone().refused(errno))?;
        if status.is_some_and(|(_, status)| status.exit_status() == Some(0)) {
            return Ok(());
        }
        if let Err(error) = reading {
            return Err(attempt.refused(error));
        }
        Err(attempt.said(said.trim().replace('\n', "; ")))
    }
}

/// Runs in the mapper; returns only when it failed.
fn map(program: Program, holder: Pid, ids: &IdMap, wait: OwnedFd, say: &OwnedFd) -> io::Error {
    match File::from(wait).read(&mut [0]) {
        Ok(1) => {}
        Ok(_) => std::process::exit(1),
        Err(error) => return error,
    }
    let (name, ranges) = match program {
        Program::Newuidmap => ("newuidmap", &ids.uids),
        Program::Newgidmap => ("newgidmap", &ids.gids),
        Program::Writer => {
            return match write_maps(holder, ids) {
                Ok(()) => std::process::exit(0),
                Err(error) => error,
            };
        }
    };
    let Some(path) = find(name) else {
        return io::Error::other(format!("{name} is not installed"));
    };
    let stderr = match say.try_clone() {
        Ok(say) => say,
        Err(error) => return error,
    };
    Command::new(path)
        .args(map_arguments(holder, ranges))
        .env_clear()
        .stderr(stderr)
        .exec()
}

fn map_arguments(holder: Pid, ranges: &[IdRange]) -> Vec<String> {
    let mut arguments = vec![holder.to_string()];
    for range in ranges {
        arguments.extend([range.inside, range.outside, range.count].map(|n| n.to_string()));
    }
    arguments
}

fn write_maps(holder: Pid, ids: &IdMap) -> io::Result<()> {
    fs::write(format!("/proc/{holder}/uid_map"), lines(&ids.uids))?;
    fs::write(format!("/proc/{holder}/gid_map"), lines(&ids.gids))
}

fn lines(ranges: &[IdRange]) -> String {
    let line = |range: &IdRange| {
        let IdRange {
            inside,
            outside,
            count,
        } = range;
        format!("{inside} {outside} {count}\n")
    };
    ranges.iter().map(line).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: [IdRange; 2] = [
        IdRange {
            inside: 0,
            outside: 100_000,
            count: 2000,
        },
        IdRange {
            inside: 65534,
            outside: 102_000,
            count: 1,
        },
    ];

    #[test]
    fn ranges_become_arguments_of_newuidmap() {
        let arguments = map_arguments(Pid::from_raw(7), &RANGES).join(" ");
        assert_eq!(arguments, "7 0 100000 2000 65534 102000 1");
    }

    #[test]
    fn ranges_become_lines_of_uid_map() {
        assert_eq!(lines(&RANGES), "0 100000 2000\n65534 102000 1\n");
    }
}
