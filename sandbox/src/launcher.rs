use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use oci_spec::runtime::Spec;

use crate::channel::Channel;
use crate::gateway::Forwarding;
use crate::limits::Limits;
use crate::message::{Begin, Begun, Gate, Hold};
use crate::plan::plan;
use crate::{Error, IdMap, Session, capabilities, holder, preflight, seccomp, storage, syscall};

/// First argument of the helper, before its role.
const HELPER: &str = "sandbox-helper";

/// Starts sessions: the helper program and the ids they get.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// Program that calls [`helper_main`] when its first argument is `sandbox-helper`.
    pub helper: PathBuf,
    pub ids: IdMap,
}

impl Launcher {
    /// Starts holder and init, makes namespaces and mounts.
    ///
    /// The session is as the spec says; what the spec's `process` says is used for the capabilities
    /// of the session's root only. Missing mount points are made by the session's root.
    /// An overlay's missing upper and work directories are made by it too; their parent must be
    /// writable for all.
    ///
    /// Limits of the spec's `linux.resources` are in force as far as this host can hold a session to
    /// them; see [`Session::in_force`]. For a cgroup, the calling process may move to another one.
    ///
    /// Closing the last descriptor of the session, as the death of the calling process does,
    /// ends the session.
    pub fn begin(&self, spec: &Spec) -> Result<Session, Error> {
        self.prepare()?.begin(spec)
    }

    /// As [`Launcher::begin`], with a network that processes may share (`Network::Forwarded`).
    ///
    /// Returns when it is connected.
    pub fn begin_forwarded(&self, spec: &Spec, forwarding: &Forwarding) -> Result<Session, Error> {
        self.hold(Some(forwarding.clone()))?.begin(spec)
    }

    /// Starts holder and init of a session to come, which make its namespaces meanwhile.
    pub fn prepare(&self) -> Result<Prepared, Error> {
        self.hold(None)
    }

    fn hold(&self, forwarding: Option<Forwarding>) -> Result<Prepared, Error> {
        let (control, theirs) = Channel::pair().map_err(Error::Channel)?;
        let mut command = helper_command(&self.helper, "hold");
        let holder = command
            .env_clear()
            .current_dir("/")
            .stdin(theirs.into_socket())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| Error::Helper {
                path: self.helper.clone(),
                source,
            })?;
        // The command holds the helper's end of the channel, whose close tells of the helper's end.
        drop(command);
        let session = Session::new(control, holder);
        let hold = Hold {
            ids: self.ids.clone(),
            forwarding,
        };
        session.send(&hold, &[])?;
        Ok(Prepared {
            session,
            helper: self.helper.clone(),
        })
    }

    /// A host program that will run as root of a user namespace, in the host's file system view,
    /// where the ids of the sessions and the caller's own are mapped:
    /// for making, syncing and deleting the trees that sessions live in.
    ///
    /// When the namespace can't be made, it exits with 125 and a message on standard error.
    pub fn storage_command(&self, program: &str) -> Command {
        let mut command = helper_command(&self.helper, "storage");
        command.args(storage::arguments(&self.ids)).arg(program);
        command
    }
}

/// A holder that waits to be told what its session is to be; dropped, it ends.
#[derive(Debug)]
pub struct Prepared {
    session: Session,
    helper: PathBuf,
}

impl Prepared {
    /// As [`Launcher::begin`], with what is left to do.
    pub fn begin(self, spec: &Spec) -> Result<Session, Error> {
        let Prepared {
            mut session,
            helper,
        } = self;
        let mut begin = Begin {
            steps: plan(spec)?,
            capabilities: capabilities::names(spec),
            limits: Limits::of(spec)?,
            filter: seccomp::filter(spec)?,
        };
        loop {
            match session.hear()? {
                Some((Begun::Init { pid }, _)) => {
                    begin.limits = session.hold_to(begin.limits, pid);
                    session.send(&begin, &[])?;
                }
                Some((Begun::Ready, gate)) => {
                    gate.map_or(Ok(()), wait_for_network)?;
                    return Ok(session);
                }
                Some((Begun::Refused(refusal), _)) => return Err(refusal.into()),
                None => return Err(Error::HelperDied { path: helper }),
            }
        }
    }
}

fn wait_for_network(gate: OwnedFd) -> Result<(), Error> {
    match Channel::new(gate).receive().map_err(Error::Channel)? {
        Some((Gate::Connected, _)) => Ok(()),
        Some((Gate::Refused(refusal), _)) => Err(refusal.into()),
        Some((Gate::Namespace, _)) | None => Err(Error::SessionEnded),
    }
}

pub(crate) fn helper_command(helper: &Path, role: &str) -> Command {
    let mut command = Command::new(helper);
    command.args([HELPER, role]);
    command
}

/// Runs the helper's part when `arguments` (without the program name) begin with `sandbox-helper`.
///
/// Must be called first thing in `main`, before any thread exists; returns only when not meant.
pub fn helper_main(arguments: impl Iterator<Item = OsString>) {
    let mut arguments = arguments.peekable();
    if arguments.next_if(|first| first == HELPER).is_none() {
        return;
    }
    let role = arguments.next();
    match role.as_ref().and_then(|role| role.to_str()) {
        Some("hold") => serve(holder::hold),
        Some("probe") => serve(preflight::run_probe),
        Some("storage") => storage::run(arguments),
        _ => std::process::exit(2),
    }
}

/// Serves the library over standard input, with no other descriptor open that matters.
fn serve(role: impl FnOnce(OwnedFd)) -> ! {
    if syscall::close_from(3).is_ok()
        && let Ok(channel) = std::io::stdin().as_fd().try_clone_to_owned()
    {
        role(channel);
    }
    std::process::exit(0)
}
