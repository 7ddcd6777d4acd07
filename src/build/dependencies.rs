//! The layer of build dependencies: what apt resolves for the .dsc, installed on the upgraded layer.
//!
//! Its key is made of the resolved packages, so whatever resolves to the same set shares it. What apt said once for the
//! same question is remembered, with the names of all packages that it could have come to: as long as the packager's own
//! repository has the same packages of these names, whatever else it gets, the next build neither asks nor installs.
use std::collections::BTreeSet;
use std::fmt::Write;

use backends::{Claim, LayerKey};
use serde::{Deserialize, Serialize};

use super::nearest::{self, Installed};
use super::own::Own;
use super::package::Kind;
use super::packages;
use super::reached::{self, Asked};
use super::sources::{self, digest};
use super::steps::Build;
use super::stop::{Step, Stop};
use super::upgraded::{Upgraded, failed, has, read_sources};
use crate::chroots::Session;
use crate::chroots::apt::{self, Plan};
use crate::deb::{Dsc, Paragraph};
use crate::model::Buildrequest;

/// Kind of memo: a [`Resolution`], by what was asked.
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

/// What apt said, and what it depends on beside the question.
#[derive(Serialize, Deserialize)]
struct Resolution {
    /// Names of packages that apt could come to.
    reached: BTreeSet<String>,
    /// Digest of the own repository's packages of these names.
    relevant: String,
    layer: Layer,
}

/// Where the build dependencies are.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Layer {
    /// All in the upgraded chroot.
    Upgraded,
    Installed(LayerKey),
}

impl Layer {
    fn on(self, upgraded: &Upgraded) -> Option<LayerKey> {
        match self {
            Layer::Upgraded => upgraded.layer.clone(),
            Layer::Installed(key) => Some(key),
        }
    }
}

/// Gives the layer to build on, which is made where there is none; `None`: the base itself.
pub(super) fn layer(
    build: &mut Build,
    dsc: &Dsc,
    kind: Kind,
    upgraded: &Upgraded,
) -> Result<Option<LayerKey>, Stop> {
    build.section("Install package build dependencies")?;
    let own = Own::fetch(build)?;
    let question = question(dsc, &build.assignment.request);
    let arguments = arguments(kind, &build.assignment.request);
    build
        .log
        .say(&format!("{question}apt-get {}\n", arguments.join(" ")))?;
    let asked = digest(&[
        upgraded.key.0.clone(),
        question.to_string(),
        arguments.join(" "),
        own.policy(),
        build.configuration("apt_preferences")?,
        build.configuration("apt_keys")?,
    ]);
    if let Some(layer) = remembered(build, &asked, &own)? {
        build.log.say("Resolved and installed before.\n")?;
        return Ok(layer.on(upgraded));
    }
    let resolved = resolve(build, &own, &question, &arguments, upgraded)?;
    if let Some(reached) = resolved.reached {
        let resolution = Resolution {
            relevant: own.relevant(&reached),
            reached,
            layer: resolved.layer.clone(),
        };
        let text = serde_json::to_string(&resolution).expect("a resolution has string keys only");
        build.remember(RESOLVED, &asked, &text)?;
    }
    Ok(resolved.layer.on(upgraded))
}

/// The layer that a fresh resolution would lead to, if it is there.
fn remembered(build: &Build, asked: &str, own: &Own) -> Result<Option<Layer>, Stop> {
    let Some(text) = build.memo.get(RESOLVED, asked) else {
        return Ok(None);
    };
    let Ok(resolution) = serde_json::from_str::<Resolution>(&text) else {
        return Ok(None);
    };
    let is_same = own.relevant(&resolution.reached) == resolution.relevant;
    let is_there = match &resolution.layer {
        Layer::Upgraded => true,
        Layer::Installed(key) => is_same && has(build, key)?,
    };
    Ok((is_there && is_same).then_some(resolution.layer))
}

struct Resolved {
    layer: Layer,
    /// `None` where that is not known.
    reached: Option<BTreeSet<String>>,
}

fn resolve(
    build: &mut Build,
    own: &Own,
    question: &Paragraph,
    arguments: &[String],
    upgraded: &Upgraded,
) -> Result<Resolved, Stop> {
    let session = begin(build, own, question, upgraded.layer.as_ref())?;
    build.subsection("apt-get build-dep")?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let plan = packages::plan(build, &session, Step::Resolve, &arguments)?;
    // It thinks while packages are got: the first build of a package waits for less.
    let asked = ask(build, own, &session, question)?;
    let reached = |session: &Session| asked.map(|asked| asked.names(session)).transpose();
    if plan.is_empty() {
        build.log.say("Nothing to install.\n")?;
        let reached = reached(&session)?.flatten();
        session.close()?;
        return Ok(Resolved {
            layer: Layer::Upgraded,
            reached,
        });
    }
    let key = key(&upgraded.key, &plan);
    let Claim::Make(_making) = build.backend.claim(&key).map_err(failed("claim"))? else {
        build.log.say("These are installed in a layer already.\n")?;
        let reached = reached(&session)?.flatten();
        session.close()?;
        return Ok(Resolved {
            layer: Layer::Installed(key),
            reached,
        });
    };
    let wanted = Installed::new(upgraded, &plan);
    let nearer = on_nearest(build, own, question, &arguments, upgraded, &wanted)?;
    let (session, reached) = if let Some((nearer, plan)) = nearer {
        let reached = reached(&session)?.flatten();
        session.close()?;
        packages::download(build, &nearer, Step::Download, &plan, &arguments)?;
        (nearer, reached)
    } else {
        packages::download(build, &session, Step::Download, &plan, &arguments)?;
        let reached = reached(&session)?.flatten();
        (session, reached)
    };
    build.run_step(
        &session,
        Step::Install,
        &apt::get(session.outside(), &arguments),
    )?;
    packages::drop_requested(&session)?;
    session.freeze(&key)?;
    nearest::remember(build, &key, &wanted)?;
    Ok(Resolved {
        layer: Layer::Installed(key),
        reached,
    })
}

/// A session on the nearest layer, and what is to be installed there; `None`: there is none, or apt, asked on it, would
/// install something else in the end.
fn on_nearest(
    build: &mut Build,
    own: &Own,
    question: &Paragraph,
    arguments: &[&str],
    upgraded: &Upgraded,
    wanted: &Installed,
) -> Result<Option<(Session, Plan)>, Stop> {
    let Some((layer, installed)) = nearest::find(build, wanted)? else {
        return Ok(None);
    };
    let session = begin(build, own, question, Some(&layer))?;
    let plan = packages::plan(build, &session, Step::Resolve, arguments)?;
    if !wanted.is_completed_by(&installed, &Installed::new(upgraded, &plan)) {
        session.close()?;
        return Ok(None);
    }
    build.log.say(&format!("Going on from layer {layer}.\n"))?;
    Ok(Some((session, plan)))
}

/// Begins a session whose apt has the question and all sources.
fn begin(
    build: &mut Build,
    own: &Own,
    question: &Paragraph,
    layer: Option<&LayerKey>,
) -> Result<Session, Stop> {
    let session = build.begin_online(layer)?;
    build.chroots.prepare();
    let foreign = read_sources(build)?.foreign;
    let all = [foreign.as_slice(), &own.sources].concat();
    let mut tree = packages::setup(build)?;
    tree.text("/etc/apt/sources.list", sources::list(&all))
        .text(OWN_LIST, sources::list(&own.sources))
        .text(QUESTION, question.to_string());
    session.unpack(&tree)?;
    if !own.sources.is_empty() {
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
    Ok(session)
}

/// Asks what the answer to the question could come to, unless what apt knows and what we know of the own repository differ.
fn ask(
    build: &Build,
    own: &Own,
    session: &Session,
    question: &Paragraph,
) -> Result<Option<Asked>, Stop> {
    if !own.is_what_apt_read(build, session) {
        return Ok(None);
    }
    reached::ask(build, session, question).map(Some)
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
/// It is all of a package that root's apt gets to read. The version is left out, which has no part in the answer: the
/// next one of the package asks the same.
fn question(dsc: &Dsc, request: &Buildrequest) -> Paragraph {
    let mut question = Paragraph::default();
    question.set("Format", "1.0");
    question.set("Source", dsc.source.as_str());
    question.set("Version", "0");
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
    question
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
            question(&dsc(), &request).to_string(),
            "Format: 1.0\nSource: aa\nVersion: 0\nArchitecture: any\n\
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
