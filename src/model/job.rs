//! An upload's way as data: states and the one decision, no doing.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, FileName};
use crate::model::build_check::{Modes, passes};
use crate::model::{BuildKey, Buildresult, Diststr, PackageKey};

/// An upload that was accepted at the door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packaging {
    pub key: PackageKey,
    /// As in the upload; meta names stay.
    pub distribution: String,
    /// The upload's Architecture field, part of its directory: `source`, `source amd64`.
    pub architecture: String,
    /// Name of the upload's .changes.
    pub changes: FileName,
    /// After the meta map.
    pub diststr: Option<Diststr>,
    /// The suite is: checks count for nothing.
    pub experimental: bool,
    pub state: PackagingState,
    /// What was asked of whom.
    pub builds: BTreeMap<Architecture, RequestedBuild>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PackagingState {
    /// Files are in the events path; the packager has not looked yet.
    Accepted,
    /// Buildrequests are out.
    Packaging,
    Installed,
    Failed {
        error: String,
    },
    Rejected {
        error: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedBuild {
    /// HTTP URL of the builder.
    pub builder: String,
    pub optional: bool,
    pub modes: Modes,
    pub state: BuildState,
    /// How many of its messages came damaged.
    #[serde(default)]
    pub refusals: u32,
}

/// A builder whose answers come damaged this often is not asked again.
const MOST_REFUSALS: u32 = 5;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildState {
    /// Signed and staged, not known to have arrived.
    Requested,
    Sent,
    Done(Box<Buildresult>),
    /// There will be no result, for this reason.
    Lost(String),
}

/// What is to be done with a packaging whose results are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Install,
    /// With the reason, in stock's words.
    Fail(String),
}

impl RequestedBuild {
    /// `None`: still waiting for the result.
    pub fn is_good(&self, experimental: bool) -> Option<bool> {
        match &self.state {
            BuildState::Requested | BuildState::Sent => None,
            BuildState::Done(result) => Some(is_good(result, self.modes, experimental)),
            BuildState::Lost(_) => Some(false),
        }
    }

    /// Notes that a message of this build was refused; tells whether that changes its state.
    ///
    /// What was damaged on its way, if it `may_be_repeated`, is asked for again: builders repeat what they are asked to.
    /// Copies without their files can come from anybody, so they end nothing while the builder is being asked.
    pub fn refuse(&mut self, reason: &str, may_be_repeated: bool) -> bool {
        let state = match self.state {
            BuildState::Done(_) | BuildState::Lost(_) => return false,
            BuildState::Requested if may_be_repeated => {
                self.refusals = self.refusals.saturating_add(1);
                return false;
            }
            BuildState::Sent if may_be_repeated && self.refusals + 1 < MOST_REFUSALS => {
                BuildState::Requested
            }
            BuildState::Requested | BuildState::Sent => BuildState::Lost(reason.into()),
        };
        self.refusals = self.refusals.saturating_add(1);
        self.state = state;
        true
    }

    /// Why it is not good, and where more stands.
    fn fault(&self) -> Option<String> {
        match &self.state {
            BuildState::Lost(reason) => Some(reason.clone()),
            BuildState::Done(result) => {
                let said = result.internal_error.as_deref().or(result.status());
                let said = match said {
                    Some("successful") => "checks failed",
                    said => said.unwrap_or("no status"),
                };
                Some(format!("{said}, log: {}", result.buildlog_installed))
            }
            BuildState::Requested | BuildState::Sent => None,
        }
    }
}

fn is_good(result: &Buildresult, modes: Modes, experimental: bool) -> bool {
    match result.status() {
        Some("skipped") => true,
        Some("successful") => [
            ("lintian", modes.lintian),
            ("piuparts", modes.piuparts),
            ("autopkgtest", modes.autopkgtest),
        ]
        .into_iter()
        .all(|(check, mode)| {
            let status = result.sbuild.get(check).map(String::as_str);
            passes(mode, experimental, status)
        }),
        Some(_) | None => false,
    }
}

impl Packaging {
    /// Key of the upload itself.
    pub fn upload(&self) -> BuildKey {
        self.key.build(&self.architecture)
    }
    pub fn build_keys(&self) -> impl Iterator<Item = BuildKey> {
        let architectures = self.builds.keys();
        architectures.map(|architecture| self.key.build(architecture.as_str()))
    }

    pub fn build_mut(&mut self, key: &BuildKey) -> Option<&mut RequestedBuild> {
        let builds = self.builds.iter_mut();
        let mut named = builds.filter(|(name, _)| name.as_str() == key.architecture);
        named.next().map(|(_, build)| build)
    }

    /// `None`: still waiting for results.
    ///
    /// All results are waited for, those of optional architectures too; only mandatory ones must be good.
    pub fn outcome(&self) -> Option<Outcome> {
        if self.state != PackagingState::Packaging || self.builds.is_empty() {
            return None;
        }
        let mut missing = Vec::new();
        let mut faults = String::new();
        for (architecture, build) in &self.builds {
            let is_good = build.is_good(self.experimental)?;
            if !is_good && !build.optional {
                missing.push(architecture.as_str());
                if let Some(fault) = build.fault() {
                    let _ = write!(faults, "; {architecture}: {fault}");
                }
            }
        }
        Some(match missing.len() {
            0 => Outcome::Install,
            count => Outcome::Fail(format!(
                "{count} mandatory architecture(s) missing: {}{faults}",
                missing.join(" ")
            )),
        })
    }

    /// Architectures whose results are to be installed.
    pub fn good_results(&self) -> impl Iterator<Item = (&Architecture, &Buildresult)> {
        self.builds
            .iter()
            .filter(|(_, build)| build.is_good(self.experimental) == Some(true))
            .filter_map(|(architecture, build)| match &build.state {
                BuildState::Done(result) => Some((architecture, &**result)),
                BuildState::Requested | BuildState::Sent | BuildState::Lost(_) => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::build_check::Mode;
    use crate::model::buildresult::tests::buildresult;

    fn build(sbuild: &[(&str, &str)]) -> RequestedBuild {
        let mut result = buildresult();
        result.sbuild = sbuild
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        RequestedBuild {
            builder: "http://buildd.test:8066".into(),
            optional: false,
            modes: Modes {
                lintian: Mode::Errfail,
                piuparts: Mode::Disabled,
                autopkgtest: Mode::Errfail,
            },
            state: BuildState::Done(Box::new(result)),
            refusals: 0,
        }
    }

    fn good() -> RequestedBuild {
        build(&[
            ("status", "successful"),
            ("lintian", "warn"),
            ("autopkgtest", "no tests"),
        ])
    }

    fn packaging<const N: usize>(builds: [(&str, RequestedBuild); N]) -> Packaging {
        Packaging {
            key: buildresult().key().package,
            distribution: "trixie-test-unstable".into(),
            architecture: "source".into(),
            changes: "hello_1_source.changes".parse().unwrap(),
            diststr: Some("trixie-test-unstable".parse().unwrap()),
            experimental: false,
            state: PackagingState::Packaging,
            builds: builds
                .map(|(architecture, build)| (architecture.parse().unwrap(), build))
                .into(),
        }
    }

    #[test]
    fn all_results_are_waited_for() {
        let waiting = RequestedBuild {
            optional: true,
            state: BuildState::Sent,
            ..good()
        };
        let mut packaging = packaging([("amd64", good()), ("i386", waiting)]);
        assert_eq!(packaging.outcome(), None);
        packaging.builds.insert("i386".parse().unwrap(), good());
        assert_eq!(packaging.outcome(), Some(Outcome::Install));
        packaging.state = PackagingState::Accepted;
        assert_eq!(packaging.outcome(), None);
    }

    #[test]
    fn missing_mandatory_architectures_are_named_sorted_with_their_logs() {
        let failed = || build(&[("status", "attempted")]);
        let packaging = packaging([("i386", failed()), ("arm64", good()), ("amd64", failed())]);
        let log = buildresult().buildlog_installed;
        let reason = format!(
            "2 mandatory architecture(s) missing: amd64 i386; amd64: attempted, log: {log}; i386: attempted, log: {log}"
        );
        assert_eq!(packaging.outcome(), Some(Outcome::Fail(reason)));
    }

    #[test]
    fn an_optional_architecture_may_fail() {
        let failed = RequestedBuild {
            optional: true,
            ..build(&[("status", "attempted")])
        };
        let packaging = packaging([("amd64", good()), ("i386", failed)]);
        assert_eq!(packaging.outcome(), Some(Outcome::Install));
        let installed: Vec<_> = packaging
            .good_results()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(installed, ["amd64"]);
    }

    #[test]
    fn builder_is_asked_again_until_its_answers_were_damaged_too_often() {
        let mut build = RequestedBuild {
            state: BuildState::Sent,
            ..good()
        };
        for _ in 1..MOST_REFUSALS {
            assert!(build.refuse("damaged", true));
            assert_eq!(build.state, BuildState::Requested);
            build.state = BuildState::Sent;
        }
        assert!(build.refuse("damaged", true));
        assert_eq!(build.is_good(false), Some(false));
        let reason = "1 mandatory architecture(s) missing: amd64; amd64: damaged";
        assert_eq!(
            packaging([("amd64", build)]).outcome(),
            Some(Outcome::Fail(reason.into()))
        );
    }

    #[test]
    fn what_its_builder_signed_wrong_is_not_asked_for_again() {
        let mut build = RequestedBuild {
            state: BuildState::Requested,
            ..good()
        };
        assert!(build.refuse("wrong", false));
        assert_eq!(build.state, BuildState::Lost("wrong".into()));
        assert!(!good().refuse("late", false));
    }

    #[test]
    fn checks_and_status_decide() {
        for (sbuild, is_good, is_good_in_experimental) in [
            (&[("status", "skipped")][..], true, true),
            (
                &[
                    ("status", "successful"),
                    ("lintian", "error"),
                    ("autopkgtest", "pass"),
                ],
                false,
                true,
            ),
            (
                &[("status", "successful"), ("lintian", "pass")],
                false,
                true,
            ),
            (
                &[
                    ("status", "given-back"),
                    ("lintian", "pass"),
                    ("autopkgtest", "pass"),
                ],
                false,
                false,
            ),
            (&[], false, false),
        ] {
            assert_eq!(build(sbuild).is_good(false), Some(is_good), "{sbuild:?}");
            assert_eq!(
                build(sbuild).is_good(true),
                Some(is_good_in_experimental),
                "{sbuild:?}"
            );
        }
    }

    #[test]
    fn a_packaging_survives_the_database() {
        let packaging = packaging([("amd64", good())]);
        let text = serde_json::to_string(&packaging).unwrap();
        assert_eq!(serde_json::from_str::<Packaging>(&text).unwrap(), packaging);
    }
}
