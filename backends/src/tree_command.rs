//! Commands on trees, carried out by this program itself as root of the user namespace that has the trees' ids.
use std::error::Error as _;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, exit};

use sandbox::Launcher;

use crate::{digest, file};

/// First argument of the program, before its role.
const NAME: &str = "tree-command";
/// The same for who has time; the kernel also reads disks for it later (ionice(1)).
///
/// nice(1) could not run it: where the helper is /proc/self/exe, that would be nice itself.
const IDLE_NAME: &str = "idle-tree-command";

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
}

impl Role {
    const ALL: [Role; 4] = [Role::Pack, Role::Unpack, Role::State, Role::Content];

    fn as_str(self) -> &'static str {
        match self {
            Role::Pack => "pack",
            Role::Unpack => "unpack",
            Role::State => "state",
            Role::Content => "content",
        }
    }
}

/// The command line, but for the trees.
pub(crate) fn command(launcher: &Launcher, role: Role) -> Command {
    named(launcher, NAME, role)
}

/// As [`command`], without being in anybody's way.
pub(crate) fn idle_command(launcher: &Launcher, role: Role) -> Command {
    named(launcher, IDLE_NAME, role)
}

fn named(launcher: &Launcher, name: &str, role: Role) -> Command {
    let mut command = launcher.storage_command(&launcher.helper.to_string_lossy());
    command.args([name, role.as_str()]);
    command
}

/// Carries the command out when `arguments` (without the program name) begin with its name.
pub(crate) fn main(arguments: &[OsString]) {
    let [name, role, arguments @ ..] = arguments else {
        return;
    };
    if name == IDLE_NAME {
        // Without it, it is in somebody's way, no more.
        let _ = rustix::process::nice(19);
    } else if name != NAME {
        return;
    }
    let role = Role::ALL.into_iter().find(|known| role == known.as_str());
    let Some(role) = role else { exit(2) };
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

fn run(role: Role, arguments: &[OsString]) -> Result<(), file::Fault> {
    match (role, arguments) {
        (Role::Pack, [compression, tree]) => file::pack_here(compression, Path::new(tree)),
        (Role::Unpack, [compression, tree]) => file::unpack_here(compression, Path::new(tree)),
        (Role::Pack | Role::Unpack, _) => exit(2),
        (Role::State, trees) => Ok(digest::tell(digest::state, trees)?),
        (Role::Content, trees) => Ok(digest::tell(digest::content, trees)?),
    }
}
