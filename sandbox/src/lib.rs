//! Processes in Linux namespaces of their own, without root.
//!
//! Reading order: [`Launcher`] begins a [`Session`]; a session runs [`Process`]es.
//! `plan` turns an OCI runtime spec into steps; the helper, a process with one thread, becomes
//! `holder` and `init` of the session; `init` has `step` carry the steps out and `start` start
//! processes; `gateway` has pasta(1) connect a network. [`subvolume`] is beside all that: calls of btrfs that no other crate offers safely.
//!
//! What is promised: a session's processes have user, mount, pid, ipc, uts and cgroup namespaces of
//! their own, and a network namespace where asked for, from which at most the listed ports of the
//! host's loopback are reached; root inside is a subordinate id outside, and
//! neither host id 0 nor the caller's own id is mapped; nothing is inherited but descriptors 0 to 2
//! and the environment that is listed; links in the root file system lead no mount and no opened
//! file elsewhere; system calls are filtered for all architectures of the machine; limits are in
//! force by the means that [`Session::in_force`] tells; when the caller, the holder or init dies,
//! everything in the session dies.
//!
//! What is not promised: protection against faults of the kernel; limits on time and disk, which
//! are for whoever looks after a session. Needs Linux 5.12 or newer.
mod capabilities;
mod channel;
mod engine;
mod gateway;
mod holder;
mod idmap;
mod init;
mod launcher;
mod limits;
mod message;
mod mount_options;
mod mount_point;
mod network;
mod plan;
mod preflight;
mod process;
mod refusal;
mod remedy;
mod seccomp;
mod session;
mod session_spec;
mod start;
mod step;
mod storage;
pub mod subvolume;
mod syscall;
mod userns;

use std::io;
use std::path::PathBuf;

pub use gateway::Forwarding;
pub use idmap::{IdMap, IdRange, NoIds};
pub use launcher::{Launcher, Prepared, helper_main};
pub use limits::{InForce, Limits, Means, Usage};
pub use mount_options::OptionError;
pub use network::NetworkCounts;
pub use plan::PlanError;
pub use preflight::{Finding, Problem, Weight, preflight};
pub use process::{Exit, Network, Process, Rlimit, Stdio, User};
pub use refusal::Attempt;
pub use session::{Ending, Running, Session, Watch};
pub use session_spec::session_spec;

/// What went wrong, on what, and where known the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("can't make a session of this spec")]
    Spec(#[from] PlanError),
    #[error("no ids for sessions of {user} in {file}", file = file.display())]
    SubordinateIds {
        file: PathBuf,
        user: String,
        source: NoIds,
    },
    #[error("can't look up user {uid}")]
    User { uid: u32, source: io::Error },
    #[error("can't read {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("can't start {path} as the sandbox's helper", path = path.display())]
    Helper { path: PathBuf, source: io::Error },
    #[error("{path} ended instead of beginning a session", path = path.display())]
    HelperDied { path: PathBuf },
    /// The kernel, or newuidmap, said no.
    #[error("can't {attempt}")]
    Refused { attempt: Attempt, source: io::Error },
    #[error("the session has ended")]
    SessionEnded,
    #[error("can't talk to the session")]
    Channel(#[source] io::Error),
    #[error("can't wait for the session's holder")]
    Wait(#[source] io::Error),
    #[error("{path} in the session is not a regular file", path = path.display())]
    NotRegular { path: PathBuf },
}

impl From<refusal::Refusal> for Error {
    fn from(refusal: refusal::Refusal) -> Error {
        let (attempt, source) = refusal.into_source();
        Error::Refused { attempt, source }
    }
}
