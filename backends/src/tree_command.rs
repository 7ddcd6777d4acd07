//! Commands on trees, carried out by this program itself as root of the user namespace that has the trees' ids.
use std::error::Error as _;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, exit};

use rustix::process::{Signal, getpid, getppid, nice, set_parent_process_death_signal};
use sandbox::Launcher;

use crate::{digest, file, pace};

/// First argument of the program, before its role.
const NAME: &str = "tree-command";
/// Stands before the role of what is nobody's wish just now.
const IDLE: &str = "idle";

/// Something to do with trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Packs the tree that is named to standard output.
    Pack,
    /// Unpacks standard input as the tree that is named.
    Unpack,
    /// Tells what the kernel knows of the files of each tree.
    State,
    /// Tells what the files of each tree hold.
    Content,
    /// Deletes the trees, whatever they are.
    Delete,
}

impl Role {
    const ALL: [Role; 5] = [
        Role::Pack,
        Role::Unpack,
        Role::State,
        Role::Content,
        Role::Delete,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Role::Pack => "pack",
            Role::Unpack => "unpack",
            Role::State => "state",
            Role::Content => "content",
            Role::Delete => "delete",
        }
    }
}

/// The command line, but for the trees.
pub(crate) fn command(launcher: &Launcher, role: Role) -> Command {
    let mut command = launcher.storage_command(&launcher.helper.to_string_lossy());
    command.args([NAME, role.as_str()]);
    command
}

/// As [`command`], without being in anybody's way.
///
/// It steps back itself: the helper may be /proc/self/exe, which to nice(1) is another program.
pub(crate) fn idle_command(launcher: &Launcher, role: Role) -> Command {
    let mut command = launcher.storage_command(&launcher.helper.to_string_lossy());
    command.args([NAME, IDLE, role.as_str()]);
    command
}

/// Carries the command out when `arguments` (without the program name) begin with its name.
pub(crate) fn main(arguments: &[OsString]) {
    let [name, arguments @ ..] = arguments else {
        return;
    };
    if name != NAME {
        return;
    }
    let (is_idle, arguments) = match arguments {
        [word, arguments @ ..] if word == IDLE => (true, arguments),
        arguments => (false, arguments),
    };
    let [role, arguments @ ..] = arguments else {
        exit(2)
    };
    let role = Role::ALL.into_iter().find(|known| role == known.as_str());
    let Some(role) = role else { exit(2) };
    if is_idle {
        step_back();
    }
    match run(role, arguments) {
        Ok(()) => exit(0),
        Err(error) => {
            let mut line = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                line = format!("{line}: {error}");
                cause = error.source();
            }
            // Nobody is left to be told that standard error can't be written.
            let _ = writeln!(io::stderr(), "{line}");
            exit(1)
        }
    }
}

/// Behind builds, yet not starved by them, or what waits for deletion would fill the disk. What can't be had is done
/// without.
fn step_back() {
    let _ = nice(10);
    let own = getpid().as_raw_nonzero().to_string();
    let lowest = ["-c", "best-effort", "-n", "7", "-p", &own];
    let _ = Command::new("ionice").args(lowest).status();
}

/// With the caller, the kernel frees its locks on the trees: nothing goes on there.
fn end_with_caller() -> io::Result<()> {
    let caller = getppid();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != caller {
        return Err(io::Error::other("the caller is dead"));
    }
    Ok(())
}

fn run(role: Role, arguments: &[OsString]) -> Result<(), file::Fault> {
    // What is thrown away belongs to nobody, and is deleted when its build is long over.
    if role != Role::Delete {
        end_with_caller()?;
    }
    match (role, arguments) {
        (Role::Delete, options_and_trees) => Ok(pace::delete(options_and_trees)?),
        (Role::Pack, [compression, tree]) => file::pack_here(compression, Path::new(tree)),
        (Role::Unpack, [compression, tree]) => file::unpack_here(compression, Path::new(tree)),
        (Role::Pack | Role::Unpack, _) => exit(2),
        (Role::State, trees) => Ok(digest::tell(digest::state, trees)?),
        (Role::Content, trees) => Ok(digest::tell(digest::content, trees)?),
    }
}
