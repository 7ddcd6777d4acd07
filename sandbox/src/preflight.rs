//! What this host lets sessions do, found by doing it.
mod probe;

use std::error::Error as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::idmap::{IdMap, Subordinate};
use crate::launcher::helper_command;
use crate::refusal::Refusal;
use crate::{Error, userns};

pub(crate) use probe::run as run_probe;

/// Outcome of one check.
#[derive(Clone, Debug)]
pub struct Finding {
    pub name: &'static str,
    pub problem: Option<Problem>,
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub what: String,
    pub remedy: Option<String>,
}

/// The lower directory of the overlay that is tried.
const LOWER: &str = "lower";

/// Library to helper.
#[derive(Debug, Serialize, Deserialize)]
struct Probe {
    ids: Option<IdMap>,
    /// Writable for all, with [`LOWER`] in it, which is so too.
    directory: PathBuf,
}

/// Helper to library: a check that was tried.
#[derive(Debug, Serialize, Deserialize)]
struct Tried {
    check: Check,
    refusal: Option<Refusal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Check {
    Namespaces,
    Map,
    Proc,
    Devices,
    Overlay,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::Namespaces => "user namespaces",
            Check::Map => "map of ids",
            Check::Proc => "fresh /proc",
            Check::Devices => "devices",
            Check::Overlay => "overlay",
        }
    }
}

/// Tries what sessions need, with `helper` as a [`crate::Launcher`] would, overlays in `directory`.
///
/// What depends on something that failed is not tried and not listed.
pub fn preflight(helper: &Path, directory: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for subordinate in [Subordinate::Uid, Subordinate::Gid] {
        let result = subordinate.of_caller();
        findings.push(finding(subordinate.name(), result.err().as_ref()));
    }
    if !rustix::process::geteuid().is_root() {
        findings.extend(["newuidmap", "newgidmap"].map(|program| Finding {
            name: program,
            problem: program_problem(program),
        }));
    }
    let ids_work = findings.iter().all(|finding| finding.problem.is_none());
    let ids = IdMap::of_caller().ok().filter(|_| ids_work);
    match probe(helper, ids, directory) {
        Ok(tried) => findings.extend(tried),
        Err(error) => findings.push(finding("sandbox helper", Some(&error))),
    }
    findings
}

fn finding(name: &'static str, error: Option<&Error>) -> Finding {
    Finding {
        name,
        problem: error.map(|error| Problem {
            what: with_causes(error),
            remedy: error.remedy(),
        }),
    }
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn program_problem(program: &str) -> Option<Problem> {
    let Some(path) = userns::find(program) else {
        return Some(Problem {
            what: format!("{program} is not installed"),
            remedy: Some("apt install uidmap".to_owned()),
        });
    };
    let privileged = fs::metadata(&path).is_ok_and(|metadata| {
        const SETUID: u32 = 0o4000;
        metadata.uid() == 0 && metadata.mode() & SETUID != 0
    });
    let mut value = [0_u8; 64];
    let mut has_capabilities =
        || rustix::fs::getxattr(&path, "security.capability", &mut value).is_ok();
    if privileged || has_capabilities() {
        return None;
    }
    Some(Problem {
        what: format!("{} is not setuid root", path.display()),
        remedy: Some(format!("chmod u+s {}", path.display())),
    })
}

fn probe(helper: &Path, ids: Option<IdMap>, directory: &Path) -> Result<Vec<Finding>, Error> {
    let scratch = Scratch::make(directory).map_err(|source| Error::Read {
        path: directory.to_path_buf(),
        source,
    })?;
    let (channel, theirs) = Channel::pair().map_err(Error::Channel)?;
    let mut command = helper_command(helper, "probe");
    let mut child = command
        .env_clear()
        .current_dir("/")
        .stdin(theirs.into_socket())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|source| Error::Helper {
            path: helper.to_path_buf(),
            source,
        })?;
    drop(command);
    let message = Probe {
        ids,
        directory: scratch.path.clone(),
    };
    channel.send(&message, &[]).map_err(Error::Channel)?;
    let mut findings = Vec::new();
    while let Some((tried, _)) = channel.receive::<Tried>().map_err(Error::Channel)? {
        let error = tried.refusal.map(Error::from);
        findings.push(finding(tried.check.name(), error.as_ref()));
    }
    child.wait().map_err(Error::Wait)?;
    if findings.is_empty() {
        return Err(Error::HelperDied {
            path: helper.to_path_buf(),
        });
    }
    Ok(findings)
}

/// A directory of one preflight; what the helper made in it, the helper removes.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn make(parent: &Path) -> io::Result<Scratch> {
        let parent = std::path::absolute(parent)?;
        let path = (0..u32::MAX)
            .map(|number| parent.join(format!("preflight-{}-{number}", std::process::id())))
            .find_map(|path| match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                result => Some(result.map(|()| path)),
            })
            .ok_or(io::ErrorKind::AlreadyExists)??;
        let scratch = Scratch { path };
        let lower = scratch.path.join(LOWER);
        fs::create_dir(&lower)?;
        for directory in [&scratch.path, &lower] {
            fs::set_permissions(directory, Permissions::from_mode(0o777))?;
        }
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.path.join(LOWER));
        let _ = fs::remove_dir(&self.path);
    }
}
