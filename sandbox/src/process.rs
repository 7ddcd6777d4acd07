use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One process to run in a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    pub args: Vec<String>,
    pub user: User,
    pub cwd: PathBuf,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    pub network: Network,
    pub no_new_privileges: bool,
    pub rlimits: Vec<Rlimit>,
}

/// Ids inside the session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// A network namespace of its own, with nothing but loopback.
    None,
    /// The session's own, connected as its [`crate::Forwarding`] says; without the capabilities that
    /// could make other packets than the kernel does.
    Forwarded,
    Host,
}

/// A limit of getrlimit(2); `kind` as in the OCI runtime spec, `RLIMIT_NOFILE`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rlimit {
    pub kind: String,
    pub soft: u64,
    pub hard: u64,
}

/// Descriptors 0 to 2 of a process; `None` is /dev/null.
#[derive(Debug, Default)]
pub struct Stdio {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    pub fn success(self) -> bool {
        self == Exit::Code(0)
    }
}
