//! The layer of build dependencies: what apt resolves for the .dsc, installed on the upgraded layer.
//!
//! Its key is made of the resolved packages, so whatever resolves to the same set shares it. What apt said once for the
//! same question, on the same archives, is remembered: the next build of a package neither asks nor installs.
use std::fmt::Write;

use backends::{Claim, LayerKey};
use sandbox::Network;

use super::package::Kind;
use super::packages;
use super::sources::{self, Sources, digest};
use super::steps::Build;
use super::stop::{Step, Stop};
use super::upgraded::{Upgraded, failed, fetch_all, has, read_sources};
use crate::chroots::apt::{self, Plan};
use crate::deb::{Dsc, Paragraph};
use crate::model::Buildrequest;

/// Kind of memo: the layer, by everything that the resolution depends on.
const RESOLVED: &str = "dependencies";
/// Where apt reads the question.
const QUESTION: &str = "/tmp/build-dependencies.dsc";
/// The packager's own repository alone.
const OWN_LIST: &str = "/etc/apt/mini-buildd-own.list";

/// Fields that build dependencies are resolved from (Policy 7.7).
const FIELDS: [&str; 6] = [
    "Build-Depends",
    "Build-Depends-Arch",
    "Build-Depends-Indep",
    "Build-Conflicts",
    "Build-Conflicts-Arch",
    "Build-Conflicts-Indep",
];

/// Gives the layer to build on, which is made where there is none; `None`: the base itself.
pub(super) fn layer(
    build: &mut Build,
    dsc: &Dsc,
    kind: Kind,
    upgraded: &Upgraded,
) -> Result<Option<LayerKey>, Stop> {
    build.section("Install package build dependencies")?;
    let (sources, releases) = sources_with_packages(build)?;
    let question = question(dsc, &build.assignment.request);
    let arguments = arguments(kind, &build.assignment.request);
    build
        .log
        .say(&format!("{question}apt-get {}\n", arguments.join(" ")))?;
    let asked = asked(build, &sources, &releases, &question, &arguments, upgraded)?;
    if let Some(answer) = build.memo.get(RESOLVED, &asked) {
        let layer = Some(LayerKey(answer)).filter(|key| !key.0.is_empty());
        if layer.as_ref().is_none_or(|key| has(build, key)) {
            build.log.say("Resolved and installed before.\n")?;
            return Ok(layer);
        }
    }
    let layer = resolve(build, &sources, question, &arguments, upgraded)?;
    let answer = layer.as_ref().map_or("", |key| key.0.as_str());
    build.remember(RESOLVED, &asked, answer)?;
    Ok(layer)
}

/// The request's sources, and the Release files of the packager's own; those of them that hold no package are left out.
fn sources_with_packages(build: &Build) -> Result<(Sources, Vec<String>), Stop> {
    let Sources { foreign, own } = read_sources(build)?;
    let urls: Vec<String> = own.iter().map(sources::release_url).collect();
    let architecture = &build.assignment.request.architecture;
    let (own, releases) = own
        .into_iter()
        .zip(fetch_all(&urls)?)
        .filter(|(source, release)| !sources::is_empty(source, release, architecture))
        .unzip();
    Ok((Sources { foreign, own }, releases))
}

/// Digest of everything that apt's answer depends on.
fn asked(
    build: &Build,
    sources: &Sources,
    releases: &[String],
    question: &str,
    arguments: &[String],
    upgraded: &Upgraded,
) -> Result<String, Stop> {
    let architecture = &build.assignment.request.architecture;
    let own = sources.own.iter().zip(releases);
    let mut parts = vec![
        upgraded.key.0.clone(),
        question.to_owned(),
        arguments.join(" "),
        sources::list(&sources.own),
        build.configuration("apt_preferences")?,
    ];
    parts.extend(own.map(|(source, text)| sources::index_digest(source, text, architecture)));
    Ok(digest(&parts))
}

fn resolve(
    build: &mut Build,
    sources: &Sources,
    question: String,
    arguments: &[String],
    upgraded: &Upgraded,
) -> Result<Option<LayerKey>, Stop> {
    let session = build.begin(upgraded.layer.as_ref(), Network::Host)?;
    let all = [sources.foreign.as_slice(), &sources.own].concat();
    let mut tree = packages::setup(build)?;
    tree.text("/etc/apt/sources.list", sources::list(&all))
        .text(OWN_LIST, sources::list(&sources.own))
        .text(QUESTION, question);
    session.unpack(&tree)?;
    if !sources.own.is_empty() {
        let list = format!("Dir::Etc::SourceList={OWN_LIST}");
        let alone = [
            "-o",
            &list,
            "-o",
            "Dir::Etc::SourceParts=/dev/null",
            "-o",
            "APT::Get::List-Cleanup=false",
        ];
        packages::update(build, &session, &alone)?;
    }
    build.subsection("apt-get build-dep")?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let plan = packages::plan(build, &session, Step::Resolve, &arguments)?;
    if plan.is_empty() {
        build.log.say("Nothing to install.\n")?;
        session.close()?;
        return Ok(upgraded.layer.clone());
    }
    let key = key(&upgraded.key, &plan);
    match build.backend.claim(&key).map_err(failed("claim"))? {
        Claim::Whole => {
            build.log.say("These are installed in a layer already.\n")?;
            session.close()?;
        }
        Claim::Make(_making) => {
            packages::download(build, &session, Step::Download, &plan, &arguments)?;
            build.run_step(&session, Step::Install, &apt::get(&arguments))?;
            packages::drop_requested(&session)?;
            session.freeze(&key)?;
        }
    }
    Ok(Some(key))
}

fn key(upgraded: &LayerKey, plan: &Plan) -> LayerKey {
    let installed = plan
        .downloads
        .iter()
        .map(|deb| format!("{} {}", deb.name, deb.sha256));
    let removed = plan.removals.iter().map(|name| format!("- {name}"));
    let parts: Vec<String> = [upgraded.0.clone()]
        .into_iter()
        .chain(installed)
        .chain(removed)
        .collect();
    LayerKey(digest(&parts))
}

/// A .dsc that has the build dependencies alone, the request's additional ones included.
///
/// It is all of a package that root's apt gets to read.
fn question(dsc: &Dsc, request: &Buildrequest) -> String {
    let mut question = Paragraph::default();
    question.set("Format", "1.0");
    question.set("Source", dsc.source.as_str());
    question.set("Version", dsc.version.as_str());
    question.set("Architecture", dsc.architectures.join(" "));
    for field in FIELDS {
        if let Some(value) = dsc.paragraph.get(field) {
            question.set(field, one_line(value));
        }
    }
    let added = one_line(&request.add_depends);
    if !added.is_empty() {
        let depends = question
            .get("Build-Depends")
            .map_or(added.clone(), |depends| {
                format!("{}, {added}", depends.trim_end_matches([',', ' ']))
            });
        question.set("Build-Depends", depends);
    }
    question.to_string()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Arguments of apt-get (apt-get(8), build-dep).
fn arguments(kind: Kind, request: &Buildrequest) -> Vec<String> {
    let mut arguments = vec!["build-dep".to_owned()];
    arguments.extend(match kind {
        Kind::Full => None,
        Kind::Any => Some("--arch-only".to_owned()),
        Kind::All => Some("--indep-only".to_owned()),
    });
    let mut profiles = String::new();
    for profile in request.deb_build_profiles.split_whitespace() {
        let _ = write!(
            profiles,
            "{}{profile}",
            if profiles.is_empty() { "" } else { "," }
        );
    }
    if !profiles.is_empty() {
        arguments.push(format!("--build-profiles={profiles}"));
    }
    arguments.push(QUESTION.to_owned());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::tests::request;
    use crate::chroots::apt::Download;

    fn dsc() -> Dsc {
        format!("Format: 3.0 (native)\nSource: aa\nBinary: aa\nArchitecture: any\nVersion: 1\n\
         Build-Depends: debhelper-compat (= 13),\n libfoo-dev <!nocheck>,\nBuild-Conflicts: bar\nFiles:\n {} 5 aa_1.tar.gz\n", "0".repeat(32))
            .parse()
            .unwrap()
    }

    #[test]
    fn question_has_the_dependencies_and_the_added_ones() {
        let mut request = request();
        request.add_depends = "baz (>= 2)".to_owned();
        assert_eq!(
            question(&dsc(), &request),
            "Format: 1.0\nSource: aa\nVersion: 1\nArchitecture: any\n\
             Build-Depends: debhelper-compat (= 13), libfoo-dev <!nocheck>, baz (>= 2)\nBuild-Conflicts: bar\n"
        );
    }

    #[test]
    fn profiles_and_kind_are_told_to_apt() {
        let mut request = request();
        request.deb_build_profiles = "nocheck nodoc".to_owned();
        assert_eq!(
            arguments(Kind::Any, &request).join(" "),
            format!("build-dep --arch-only --build-profiles=nocheck,nodoc {QUESTION}")
        );
        assert_eq!(
            arguments(Kind::Full, &self::request()).join(" "),
            format!("build-dep {QUESTION}")
        );
    }

    #[test]
    fn key_depends_on_content_and_removals() {
        let below = LayerKey("00".to_owned());
        let deb = |sha256: &str| Download {
            name: "a_1_all.deb".to_owned(),
            size: 1,
            sha256: sha256.to_owned(),
        };
        let plan = |sha256: &str, removals: &[&str]| Plan {
            downloads: vec![deb(sha256)],
            removals: removals.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_ne!(key(&below, &plan("11", &[])), key(&below, &plan("22", &[])));
        assert_ne!(
            key(&below, &plan("11", &[])),
            key(&below, &plan("11", &["b"]))
        );
    }
}
