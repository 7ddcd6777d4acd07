//! What was tried when the kernel, or newuidmap, said no.
use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One attempt of the helper; reads "can't …".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Attempt {
    Fork,
    MakeNamespaces,
    /// `program` is newuidmap or newgidmap, or the file of /proc that root writes.
    MapIds {
        program: String,
    },
    BecomeRoot,
    OpenHostPath(PathBuf),
    MakePrivate,
    MakeDirectory(PathBuf),
    FindMountPoint(PathBuf),
    Mount {
        kind: String,
        target: PathBuf,
    },
    Bind {
        source: PathBuf,
        target: PathBuf,
    },
    Mask(PathBuf),
    MakeReadOnly(PathBuf),
    MakeLink(PathBuf),
    SetHostname(String),
    SetPersonality,
    EnterRoot,
    WatchProcesses,
    MakeNetwork,
    /// Have pasta(1) connect the session's own network.
    ConnectNetwork,
    /// Close a network namespace for what goes to a loopback address outside.
    KeepLoopbackIn,
    JoinNetwork,
    SetLimit(String),
    PassDescriptors,
    FilterSystemCalls,
    DropCapabilities,
    BecomeUser {
        uid: u32,
        gid: u32,
    },
    SetNoNewPrivileges,
    ChangeDirectory(PathBuf),
    Execute(String),
    OpenFile(PathBuf),
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attempt::Fork => write!(f, "fork"),
            Attempt::MakeNamespaces => write!(f, "make namespaces"),
            Attempt::MapIds { program } => write!(f, "map ids with {program}"),
            Attempt::BecomeRoot => write!(f, "become root of the user namespace"),
            Attempt::OpenHostPath(path) => write!(f, "open {}", path.display()),
            Attempt::MakePrivate => write!(f, "make the host's mounts private"),
            Attempt::MakeDirectory(path) => write!(f, "make directory {}", path.display()),
            Attempt::FindMountPoint(path) => {
                write!(f, "find or make mount point {}", path.display())
            }
            Attempt::Mount { kind, target } => write!(f, "mount {kind} on {}", target.display()),
            Attempt::Bind { source, target } => {
                write!(f, "bind {} to {}", source.display(), target.display())
            }
            Attempt::Mask(path) => write!(f, "mask {}", path.display()),
            Attempt::MakeReadOnly(path) => write!(f, "make {} read-only", path.display()),
            Attempt::MakeLink(path) => write!(f, "make link {}", path.display()),
            Attempt::SetHostname(name) => write!(f, "set hostname {name}"),
            Attempt::SetPersonality => write!(f, "set the personality"),
            Attempt::EnterRoot => write!(f, "enter the root file system"),
            Attempt::WatchProcesses => write!(f, "watch processes"),
            Attempt::MakeNetwork => write!(f, "make a network namespace"),
            Attempt::ConnectNetwork => write!(f, "connect the network by pasta"),
            Attempt::KeepLoopbackIn => write!(f, "keep loopback addresses in a network namespace"),
            Attempt::JoinNetwork => write!(f, "join the session's network namespace"),
            Attempt::SetLimit(kind) => write!(f, "set {kind}"),
            Attempt::PassDescriptors => write!(f, "pass descriptors 0 to 2"),
            Attempt::FilterSystemCalls => write!(f, "filter system calls"),
            Attempt::DropCapabilities => write!(f, "drop capabilities"),
            Attempt::BecomeUser { uid, gid } => write!(f, "become user {uid}, group {gid}"),
            Attempt::SetNoNewPrivileges => write!(f, "set no_new_privs"),
            Attempt::ChangeDirectory(path) => write!(f, "change directory to {}", path.display()),
            Attempt::Execute(program) => write!(f, "execute {program}"),
            Attempt::OpenFile(path) => write!(f, "open {} in the session", path.display()),
        }
    }
}

impl Attempt {
    pub(crate) fn refused(self, source: impl Into<io::Error>) -> Refusal {
        let source = source.into();
        let cause = match source.raw_os_error() {
            Some(errno) => Cause::Errno(errno),
            None => Cause::Said(source.to_string()),
        };
        Refusal {
            attempt: self,
            cause,
        }
    }

    pub(crate) fn said(self, text: String) -> Refusal {
        Refusal {
            attempt: self,
            cause: Cause::Said(text),
        }
    }
}

/// A failed attempt, as it travels from helper to library.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) attempt: Attempt,
    pub(crate) cause: Cause,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Cause {
    Errno(i32),
    Said(String),
}

impl Refusal {
    pub(crate) fn into_source(self) -> (Attempt, io::Error) {
        let source = match self.cause {
            Cause::Errno(errno) => io::Error::from_raw_os_error(errno),
            Cause::Said(text) => io::Error::other(text),
        };
        (self.attempt, source)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attempt, source) = self.clone().into_source();
        write!(f, "can't {attempt}: {source}")
    }
}
