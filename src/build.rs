//! One build in a session: steps, log, verdict, results.
//!
//! Reading order: [`Assignment`] and [`Verdict`] are what goes in and comes out, both as files in the build's directory;
//! [`supervisor`] is the process that owns a running build; `steps` are what it does; `log` is what people read.
pub mod supervisor;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::deb::FileName;
use crate::model::{Buildrequest, Chroot};

/// What a supervisor is told. The build directory already holds the unpacked buildrequest: `.config/*`, the .dsc and
/// its files; it gets the log, `result/` with the .changes and its files, and the verdict.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    pub request: Buildrequest,
    pub chroot: Chroot,
    /// Home directory of the instance.
    pub home: PathBuf,
    pub directory: PathBuf,
    /// Number for DEB_BUILD_OPTIONS=parallel=.
    pub parallel: u32,
}

/// How a build ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub status: BuildStatus,
    /// The step that failed and why, in one line.
    pub error: Option<String>,
    /// Name of the .changes in `result/`.
    pub changes: Option<FileName>,
    /// As events and buildresults carry them: `build_time`, `package_time`, `space`, …
    pub summary: BTreeMap<String, String>,
    /// Wall and CPU milliseconds of each phase, in order.
    pub phases: Vec<Phase>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    pub wall_ms: u64,
    pub cpu_ms: u64,
}

/// In sbuild's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildStatus {
    Successful,
    /// Nothing to build for this architecture.
    Skipped,
    /// The package's fault.
    Attempted,
    /// Its dependencies can't be installed.
    GivenBack,
    /// The builder's fault.
    Failed,
}
