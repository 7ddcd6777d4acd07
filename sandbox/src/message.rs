//! What library and helper say to each other.
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::gateway::Forwarding;
use crate::idmap::IdMap;
use crate::limits::Limits;
use crate::plan::Step;
use crate::process::Process;
use crate::refusal::Refusal;
use crate::seccomp::Filter;

/// Library to holder, the first of all.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) ids: IdMap,
    pub(crate) forwarding: Option<Forwarding>,
}

/// Library to init, which waits for it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Begin {
    pub(crate) steps: Vec<Step>,
    /// Names of the capabilities that root of the session keeps.
    pub(crate) capabilities: Vec<String>,
    /// Those that no cgroup holds the session to.
    pub(crate) limits: Limits,
    /// Of every process of the session.
    pub(crate) filter: Option<Filter>,
}

/// Holder and init to library, while a session begins.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Begun {
    /// Of the holder; comes with a descriptor of init's process (pidfd_open(2)).
    Init {
        pid: u32,
    },
    /// Of init, when all that [`Begin`] says is done; comes with a socket for [`Gate`], when the network
    /// is forwarded.
    Ready,
    Refused(Refusal),
}

/// From beside the session: to init until it has the namespace, then to library.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Gate {
    /// Comes with the network namespace.
    Namespace,
    Connected,
    Refused(Refusal),
}

/// Library to init, any number of times.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Comes with the descriptors `[failure, exit, stdin, stdout, stderr]`.
    ///
    /// `failure` is a socket for [`Started`], closed by exec: its end without a refusal tells that the
    /// program runs;
    /// `exit` gets an [`crate::Exit`].
    Start { key: u64, process: Box<Process> },
    /// Passes a signal to the process started with the same key.
    Signal { key: u64, signal: i32 },
    /// Comes with a socket for [`Opened`].
    Open { path: PathBuf },
}

/// A starting process to library.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Started {
    /// Comes with the files of [`crate::network::enter_own`].
    OwnNetwork,
    Refused(Refusal),
}

/// Init to library; comes with the descriptor when opened.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Opened {
    Opened,
    Refused(Refusal),
}
