//! An upload's way as data: states and the one decision, no doing.
use std::collections::BTreeMap;

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
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildState {
    /// Signed and staged, not known to have arrived.
    Requested,
    Sent,
    Done(Box<Buildresult>),
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
    /// `None`: still waiting for results.
    ///
    /// All results are waited for, those of optional architectures too; only mandatory ones must be good.
    pub fn outcome(&self) -> Option<Outcome> {
        if self.state != PackagingState::Packaging || self.builds.is_empty() {
            return None;
        }
        let mut missing = Vec::new();
        for (architecture, build) in &self.builds {
            let is_good = build.is_good(self.experimental)?;
            if !is_good && !build.optional {
                missing.push(architecture.as_str());
            }
        }
        Some(match missing.len() {
            0 => Outcome::Install,
            count => Outcome::Fail(format!(
                "{count} mandatory architecture(s) missing: {}",
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
                BuildState::Requested | BuildState::Sent => None,
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
    fn missing_mandatory_architectures_are_named_sorted() {
        let failed = || build(&[("status", "attempted")]);
        let packaging = packaging([("i386", failed()), ("arm64", good()), ("amd64", failed())]);
        let reason = "2 mandatory architecture(s) missing: amd64 i386";
        assert_eq!(packaging.outcome(), Some(Outcome::Fail(reason.into())));
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
