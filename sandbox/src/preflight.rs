//! What this host lets sessions do, found by doing it.
//!
//! Reading order: [`preflight`] asks about ids and about what newuidmap needs (`mapper`), has the
//! helper try the rest in new namespaces (`probe`), and ends with what sessions can do without
//! (`cgroup`, `pasta`).
mod cgroup;
mod mapper;
mod pasta;
mod probe;

use std::error::Error as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::channel::Channel;
use crate::idmap::{IdMap, Subordinate};
use crate::launcher::helper_command;
use crate::refusal::Refusal;
use crate::remedy;

pub(crate) use pasta::remedy as remedy_of_network;
pub(crate) use probe::run as run_probe;

/// Outcome of one check.
#[derive(Clone, Debug)]
pub struct Finding {
    pub name: &'static str,
    pub problem: Option<Problem>,
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub weight: Weight,
    pub what: String,
    pub remedy: Option<String>,
}

/// How much a problem matters, as with dependencies of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Nothing works until it is mended.
    Needed,
    /// All works, some of it less well.
    Recommended,
}

impl Finding {
    pub fn is_in_the_way(&self) -> bool {
        let weight = self.problem.as_ref().map(|problem| problem.weight);
        weight == Some(Weight::Needed)
    }
}

/// The lower directory of the overlay that is tried.
const LOWER: &str = "lower";

/// Library to helper.
#[derive(Debug, Serialize, Deserialize)]
struct Probe {
    /// `None`: the caller's own alone.
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
    Mounts,
    Hostname,
    Proc,
    Devices,
    Overlay,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::Namespaces => "user namespaces",
            Check::Map => "map of ids",
            Check::Mounts => "mounts",
            Check::Hostname => "host name",
            Check::Proc => "fresh /proc",
            Check::Devices => "devices",
            Check::Overlay => "overlay",
        }
    }

    /// Sessions without a name of their own have the container's.
    fn weight(self) -> Weight {
        match self {
            Check::Hostname => Weight::Recommended,
            Check::Namespaces
            | Check::Map
            | Check::Mounts
            | Check::Proc
            | Check::Devices
            | Check::Overlay => Weight::Needed,
        }
    }
}

/// Tries what sessions need, with `helper` as a [`crate::Launcher`] would, overlays in `directory`.
///
/// What depends on something that failed is not tried and not listed.
pub fn preflight(helper: &Path, directory: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for kind in [Subordinate::Uid, Subordinate::Gid] {
        findings.push(ids(kind));
    }
    if !rustix::process::geteuid().is_root() {
        findings.extend(mapper::findings());
    }
    let ids_work = !findings.iter().any(Finding::is_in_the_way);
    let ids = IdMap::of_caller().ok().filter(|_| ids_work);
    match probe_all(helper, ids, directory) {
        Ok(tried) => findings.extend(tried),
        Err(error) => findings.push(finding("sandbox helper", Some(&error))),
    }
    findings.push(cgroup::finding());
    findings.extend(pasta::findings());
    findings
}

fn ids(kind: Subordinate) -> Finding {
    let overlap = match kind.shared_with() {
        Ok(overlap) => overlap,
        Err(error) => return finding(kind.name(), Some(&error)),
    };
    let problem = overlap.map(|overlap| Problem {
        weight: Weight::Recommended,
        what: format!(
            "{} gives ids of {} to {} too, who may then change all chroots",
            kind.file().display(),
            overlap.user,
            overlap.other
        ),
        remedy: remedy::for_overlap(kind, &overlap),
    });
    Finding {
        name: kind.name(),
        problem,
    }
}

fn finding(name: &'static str, error: Option<&Error>) -> Finding {
    Finding {
        name,
        problem: error.map(|error| Problem {
            weight: Weight::Needed,
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

/// Without ids, or where they can't be mapped, the rest is tried with the caller's own.
fn probe_all(helper: &Path, ids: Option<IdMap>, directory: &Path) -> Result<Vec<Finding>, Error> {
    let mut findings = probe(helper, ids, directory)?;
    let is_last = |finding: &Finding| finding.name == Check::Map.name();
    if findings.last().is_some_and(is_last) {
        let alone = probe(helper, None, directory)?;
        findings.extend(alone.into_iter().skip(1));
    }
    Ok(findings)
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
        let mut finding = finding(tried.check.name(), error.as_ref());
        if let Some(problem) = &mut finding.problem {
            problem.weight = tried.check.weight();
        }
        findings.push(finding);
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
