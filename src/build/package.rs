//! From the .dsc to the .debs: unpacked and built by the build user, without network.
use std::path::Path;

use sandbox::{Exit, Network};

use super::steps::{Build, listed};
use super::stop::{Step, Stop};
use crate::chroots::tree::{Owner, Tree};
use crate::chroots::{Session, process};
use crate::deb::{Architecture, Changes, Dsc, FileName};
use crate::model::Buildrequest;

/// Where packages are built: always the same, so that what is built can be reproduced. Debian's builders use it too.
pub(super) const BUILD_PATH: &str = "/build/reproducible-path";
/// Names that a build without network can look up.
const HOSTS: &str =
    "127.0.0.1 localhost\n127.0.1.1 mini-buildd\n::1 localhost ip6-localhost ip6-loopback\n";

/// A server that no route leads to (RFC 5737): asking for a name fails at once, and the kernel counts it.
const RESOLVER: &str = "nameserver 192.0.2.1\n";

/// What of a source package is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Packages for the architecture, and those for all.
    Full,
    /// Packages for the architecture only.
    Any,
    /// Architecture-independent packages only.
    All,
}

impl Kind {
    /// What there is to build for `architecture`; `all`: architecture-independent packages are built here too.
    pub(super) fn of(dsc: &Dsc, architecture: &Architecture, all: bool) -> Option<Kind> {
        let any = dsc.builds_for(architecture, false);
        let all = all && dsc.architectures.iter().any(|word| word == "all");
        match (any, all) {
            (true, true) => Some(Kind::Full),
            (true, false) => Some(Kind::Any),
            (false, true) => Some(Kind::All),
            (false, false) => None,
        }
    }

    /// Option of dpkg-buildpackage.
    fn option(self) -> &'static str {
        match self {
            Kind::Full => "-b",
            Kind::Any => "-B",
            Kind::All => "-A",
        }
    }

    /// In sbuild's words.
    pub(super) fn build_type(self) -> &'static str {
        match self {
            Kind::Full => "binary",
            Kind::Any => "any",
            Kind::All => "all",
        }
    }
}

/// Brings the source package into the session and tells what it is built with.
pub(super) fn prepare(build: &Build, session: &Session, dsc: &Dsc) -> Result<(), Stop> {
    let mut tree = Tree::default();
    tree.text("/etc/hosts", HOSTS)
        .text("/etc/resolv.conf", RESOLVER)
        .directory(BUILD_PATH, Owner::BuildUser);
    for name in dsc
        .files
        .iter()
        .map(|file| &file.name)
        .chain([&dsc_name(&build.assignment.request)])
    {
        tree.file(
            &format!("{BUILD_PATH}/{name}"),
            Owner::BuildUser,
            &build.path(name),
        );
    }
    session.unpack(&tree)?;
    build.subsection("Build environment")?;
    let shell = "echo \"Kernel: $(uname -srvm)\"; dpkg-query --show --showformat '${Package}_${Version} '; echo";
    let line = ["/bin/sh", "-c", shell];
    build.run_logged(session, &process::of_root(&line, Network::None))?;
    Ok(())
}

pub(super) fn unpack(build: &Build, session: &Session, dsc: &Dsc) -> Result<(), Stop> {
    build.section("Build")?;
    build.subsection("Unpack source")?;
    let name = dsc_name(&build.assignment.request);
    let tree = tree_name(dsc);
    // The files were verified outside, against the sums that this .dsc lists.
    let line = ["dpkg-source", "--no-check", "-x", name.as_str(), &tree];
    let process = process::of_build_user(&line, Path::new(BUILD_PATH), &[]);
    build.run_step(session, Step::Unpack, &process)
}

pub(super) fn build(
    build: &mut Build,
    session: &Session,
    dsc: &Dsc,
    kind: Kind,
) -> Result<(), Stop> {
    build.subsection("dpkg-buildpackage")?;
    let request = &build.assignment.request;
    let options = build_options(&request.deb_build_options, build.assignment.parallel);
    let environment = [
        ("DEB_BUILD_OPTIONS", options.as_str()),
        ("DEB_BUILD_PROFILES", request.deb_build_profiles.as_str()),
    ];
    let distribution = format!(
        "--changes-option=-DDistribution={}",
        request.subject.distribution
    );
    let line = [
        "dpkg-buildpackage",
        "-us",
        "-uc",
        kind.option(),
        &distribution,
    ];
    let cwd = Path::new(BUILD_PATH).join(tree_name(dsc));
    build.log.say(&format!(
        "Command: {}\nDEB_BUILD_OPTIONS={options}\nDEB_BUILD_PROFILES={}\n\n",
        line.join(" "),
        request.deb_build_profiles
    ))?;
    let process = process::of_build_user(&line, &cwd, &environment);
    let outcome = build
        .run_counted(session, &process)
        .and_then(|(exit, attempts)| judge(exit, attempts));
    let line = ["du", "--summarize", "--block-size=1024", BUILD_PATH];
    let (_, usage) = session.output(&process::of_root(&line, Network::None), None, 1024)?;
    build.space = usage
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok());
    outcome
}

/// A build that failed and had wanted to leave its network most likely failed for that.
fn judge(exit: Exit, attempts: u64) -> Result<(), Stop> {
    let step = Step::Build;
    match (exit.success(), attempts) {
        (true, _) => Ok(()),
        (false, 0) => Err(Stop::Step { step, exit }),
        (false, attempts) => Err(Stop::Network {
            step,
            exit,
            attempts,
        }),
    }
}

/// Lists what is in the packages; dpkg-deb opens them inside only.
pub(super) fn list_contents(
    build: &Build,
    session: &Session,
    changes: &Changes,
) -> Result<(), Stop> {
    build.section("Package contents")?;
    let debs = listed(changes).map(FileName::as_str).filter(|name| {
        name.rsplit('.')
            .next()
            .is_some_and(|end| ["deb", "udeb"].contains(&end))
    });
    let shell = "for deb; do printf '\\n%s\\n' \"$deb\"; printf '%s\\n' \"$deb\" | tr -c '\\n' -; echo; \
                 dpkg-deb --info \"$deb\" && dpkg-deb --contents \"$deb\" || exit 1; done";
    let line: Vec<&str> = ["/bin/sh", "-c", shell, "sh"]
        .into_iter()
        .chain(debs)
        .collect();
    let process = process::of_build_user(&line, Path::new(BUILD_PATH), &[]);
    build.run_step(session, Step::Contents, &process)
}

/// Name of the .dsc in the build directory.
pub(super) fn dsc_name(request: &Buildrequest) -> FileName {
    format!("{}.dsc", request.key().package.file_base())
        .parse()
        .expect("source and version were validated as parts of file names")
}

/// Directory that dpkg-source would choose: source and upstream version.
fn tree_name(dsc: &Dsc) -> String {
    let version = dsc.version.without_epoch();
    let upstream = version
        .rsplit_once('-')
        .map_or(version, |(upstream, _)| upstream);
    format!("{}-{upstream}", dsc.source)
}

/// DEB_BUILD_OPTIONS: the request's, with parallel unless it says so itself.
fn build_options(asked: &str, parallel: u32) -> String {
    let mut options: Vec<String> = asked.split_whitespace().map(str::to_owned).collect();
    if !options.iter().any(|option| option.starts_with("parallel")) {
        options.push(format!("parallel={parallel}"));
    }
    options.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dsc(architecture: &str) -> Dsc {
        format!("Format: 1.0\nSource: aa\nBinary: aa\nArchitecture: {architecture}\nVersion: 2:1.0-rc-3\nFiles:\n {} 5 aa_1.0-rc.tar.gz\n", "0".repeat(32))
            .parse()
            .unwrap()
    }

    fn kind(architecture: &str, all: bool) -> Option<Kind> {
        Kind::of(&dsc(architecture), &"amd64".parse().unwrap(), all)
    }

    #[test]
    fn architecture_independent_packages_are_built_where_asked() {
        assert_eq!(kind("any all", true), Some(Kind::Full));
        assert_eq!(kind("any all", false), Some(Kind::Any));
        assert_eq!(kind("all", true), Some(Kind::All));
        assert_eq!(kind("all", false), None);
        assert_eq!(kind("any", true), Some(Kind::Any));
        assert_eq!(kind("arm64", true), None);
    }

    #[test]
    fn parallel_is_added_unless_given() {
        assert_eq!(
            build_options("nocheck noddebs", 4),
            "nocheck noddebs parallel=4"
        );
        assert_eq!(build_options("parallel=1", 4), "parallel=1");
        assert_eq!(build_options("", 2), "parallel=2");
    }

    #[test]
    fn source_tree_is_named_without_epoch_and_revision() {
        assert_eq!(tree_name(&dsc("any")), "aa-1.0-rc");
    }
}
