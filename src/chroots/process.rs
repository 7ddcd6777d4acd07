//! Who runs in a session: root for what apt does, the build user for what packages do.
use std::path::{Path, PathBuf};

use sandbox::{Network, Process, User};

/// The user that packages are built as; made in the upgraded layer.
pub const BUILD_USER: &str = "buildd";
/// User and group id of [`BUILD_USER`].
pub const BUILD_ID: u32 = 1000;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A process of the session's root.
pub fn of_root(args: &[&str], network: Network) -> Process {
    Process {
        args: owned(args),
        user: User::default(),
        cwd: PathBuf::from("/"),
        env: environment(&[("DEBIAN_FRONTEND", "noninteractive"), ("HOME", "/root")]),
        network,
        no_new_privileges: false,
        rlimits: Vec::new(),
    }
}

/// A process of the build user: no network, no way to more privileges, no home.
pub fn of_build_user(args: &[&str], cwd: &Path, more: &[(&str, &str)]) -> Process {
    let user = [
        ("HOME", "/nonexistent"),
        ("LOGNAME", BUILD_USER),
        ("USER", BUILD_USER),
        ("SHELL", "/bin/sh"),
    ];
    Process {
        args: owned(args),
        user: User {
            uid: BUILD_ID,
            gid: BUILD_ID,
            additional_gids: Vec::new(),
        },
        cwd: cwd.to_owned(),
        env: environment(&[&user, more].concat()),
        network: Network::None,
        no_new_privileges: true,
        rlimits: Vec::new(),
    }
}

fn environment(more: &[(&str, &str)]) -> Vec<(String, String)> {
    [("PATH", PATH), ("LC_ALL", "C.UTF-8")]
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(|argument| (*argument).to_owned()).collect()
}
