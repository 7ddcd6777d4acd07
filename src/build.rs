//! One build in a session: steps, log, verdict, results.
//!
//! Reading order: [`Assignment`] and [`Verdict`] are what goes in and comes out, both as files in the build's directory;
//! [`supervisor`] is the process that owns a running build; `steps` are what it does: `upgraded` and `dependencies` find
//! or make the layers (with `online`, `sources`, `own`, `reached`, `packages`, `nearest` and `memo`), `package` builds, `results`
//! collects; `stop` is why a build ends early, and `watch` ends it when it uses more than it may; `log`, `section`,
//! `summary` and `usage` are what people read.
mod dependencies;
mod log;
mod memo;
mod nearest;
mod online;
mod own;
mod package;
mod packages;
mod reached;
mod results;
mod section;
mod sources;
mod steps;
mod stop;
mod summary;
pub mod supervisor;
mod upgraded;
mod usage;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, FileName};
use crate::model::{Buildrequest, Chroot, Failure, Limits};

/// What a supervisor is told. The build directory already holds the unpacked buildrequest in `request/`: `.config/*`,
/// the .dsc and its files; it gets the log, `result/` with the .changes and its files, and the verdict.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    pub request: Buildrequest,
    pub chroot: Chroot,
    /// Architecture of the machine's own packages.
    pub machine: Architecture,
    /// Home directory of the instance.
    pub home: PathBuf,
    pub directory: PathBuf,
    /// Number for DEB_BUILD_OPTIONS=parallel=.
    pub parallel: u32,
    #[serde(default)]
    pub limits: Limits,
}

impl Assignment {
    /// Where the buildrequest is unpacked: no name in it meets one of ours.
    pub fn request_directory(&self) -> PathBuf {
        self.directory.join("request")
    }
}

/// How a build ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub status: BuildStatus,
    /// The step that failed and why, in one line.
    pub error: Option<String>,
    /// Class of a failure that a limit, the kernel or an exit code made.
    #[serde(default)]
    pub failure: Option<Failure>,
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

impl BuildStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            BuildStatus::Successful => "successful",
            BuildStatus::Skipped => "skipped",
            BuildStatus::Attempted => "attempted",
            BuildStatus::GivenBack => "given-back",
            BuildStatus::Failed => "failed",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::build_check::Mode;
    use crate::model::message::Subject;

    /// For hello 2.10-3 on amd64.
    pub(crate) fn request() -> Buildrequest {
        Buildrequest {
            subject: Subject {
                distribution: "trixie-test-unstable".to_owned(),
                source: "hello".parse().unwrap(),
                version: "2.10-3".parse().unwrap(),
                architecture: "amd64".parse().unwrap(),
                timecode: "20261122:054621:058520".parse().unwrap(),
            },
            upload_to: "ftp://buildd.example.org:8067".to_owned(),
            packager: "http://buildd.example.org:8066".to_owned(),
            arch_all: true,
            build_dep_resolver: "apt".to_owned(),
            sbuild_config_blocks: String::new(),
            sbuild_setup_blocks: String::new(),
            deb_build_options: String::new(),
            deb_build_profiles: String::new(),
            add_depends: String::new(),
            lintian_mode: Mode::Disabled,
            lintian_extra_options: String::new(),
            autopkgtest_mode: Mode::Disabled,
            piuparts_mode: Mode::Disabled,
            builder: "http://buildd.example.org:8066".to_owned(),
        }
    }

    #[test]
    fn status_is_written_as_it_is_said() {
        let json = serde_json::to_string(&BuildStatus::GivenBack).unwrap();
        assert_eq!(json, format!("\"{}\"", BuildStatus::GivenBack.as_str()));
    }
}
