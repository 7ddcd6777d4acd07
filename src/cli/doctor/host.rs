//! Programs, files and space.
use std::fs;
use std::path::{Path, PathBuf};

use sandbox::{Finding, Problem, Weight};

use super::INSTALL;
use crate::cause::with_causes;
use crate::deb::Architecture;
use crate::home::Home;
use crate::setup::{host, machine};

/// Programs that are run on the host, and their Debian packages.
const PROGRAMS: [(&str, &str); 3] = [
    ("debootstrap", "debootstrap"),
    ("apt-get", "apt"),
    ("dpkg-source", "dpkg-dev"),
];

/// Files that are read on the host, and their Debian packages.
const FILES: [(&str, &str, &str); 2] = [
    (
        "archive keys",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
    (
        "data of releases",
        "/usr/share/distro-info/debian.csv",
        "distro-info-data",
    ),
];

const GIB: u64 = 1 << 30;
/// A base chroot with its layers, and room for a build.
const SPACE: u64 = 3 * GIB;
/// The manual's rule of thumb: for each chroot, and for each build that runs at the same time.
const SPACE_OF_CHROOT: u64 = 3 * GIB / 10;
const SPACE_OF_BUILD: u64 = 4 * GIB;

/// `place` is the home, or what there is above it.
pub(super) fn findings(home: &Home, place: &Path) -> Vec<Finding> {
    let mut findings = vec![space(home, place)];
    findings.extend(PROGRAMS.map(|(program, package)| {
        Finding {
            name: program,
            problem: find(program)
                .is_none()
                .then(|| not_installed(program, package)),
        }
    }));
    findings.extend(FILES.map(|(name, file, package)| Finding {
        name,
        problem: (!Path::new(file).exists()).then(|| not_installed(file, package)),
    }));
    findings
}

/// The first architecture that can't be built for here, if any.
pub(super) fn architectures(architectures: &[Architecture]) -> Finding {
    let (what, remedy) = match host::architecture() {
        Ok(machine) => {
            let mut checks = architectures
                .iter()
                .map(|architecture| machine::check(&machine, architecture));
            let fault = checks.find_map(Result::err);
            (
                fault.as_ref().map(ToString::to_string),
                fault.and_then(|fault| fault.remedy()),
            )
        }
        Err(error) => (Some(with_causes(&error)), Some(format!("{INSTALL}dpkg"))),
    };
    Finding {
        name: "architectures",
        problem: what.map(|what| Problem {
            weight: Weight::Needed,
            what,
            remedy,
        }),
    }
}

fn not_installed(what: &str, package: &str) -> Problem {
    Problem {
        weight: Weight::Needed,
        what: format!("{what} is not installed"),
        remedy: Some(format!("{INSTALL}{package}")),
    }
}

/// The directory itself, or the nearest one above it that is there.
pub(super) fn existing(directory: &Path) -> &Path {
    let there = directory.ancestors().find(|directory| directory.is_dir());
    there.unwrap_or(Path::new("/"))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Ordinary users have no /usr/sbin in PATH; we look there all the same.
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

fn space(home: &Home, place: &Path) -> Finding {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let problem = match rustix::fs::statvfs(place) {
        Ok(status) => {
            let free = status.f_bavail.saturating_mul(status.f_frsize);
            too_small(free, chroots(home).max(1), processors as u64).map(|(weight, what)| Problem {
                weight,
                what: format!("{} has {} MiB left; {what}", place.display(), free >> 20),
                remedy: Some("choose a directory on a larger file system with --home".into()),
            })
        }
        Err(error) => Some(Problem {
            weight: Weight::Needed,
            what: format!("can't tell the free space of {}: {error}", place.display()),
            remedy: None,
        }),
    };
    Finding {
        name: "free space",
        problem,
    }
}

fn too_small(free: u64, chroots: u64, processors: u64) -> Option<(Weight, String)> {
    if free < SPACE {
        let what = format!("chroots and builds need {} MiB", SPACE >> 20);
        return Some((Weight::Needed, what));
    }
    let thumb = chroots * SPACE_OF_CHROOT + processors * SPACE_OF_BUILD;
    (free < thumb).then(|| {
        let what = format!(
            "as a rule of thumb {} MiB are good to have: 0.3 GiB for each chroot ({chroots}), \
             4 GiB for each processor ({processors})",
            thumb >> 20
        );
        (Weight::Recommended, what)
    })
}

/// Directories of the instance's chroots.
fn chroots(home: &Home) -> u64 {
    let count =
        |directory: &Path| fs::read_dir(directory).map_or(0, |entries| entries.count() as u64);
    let codenames = fs::read_dir(home.chroots()).into_iter().flatten().flatten();
    codenames.map(|codename| count(&codename.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_that_is_not_there_yet_is_judged_by_what_is_above_it() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(existing(&place.path().join("a/b")), place.path());
    }

    #[test]
    fn space_follows_the_manuals_rule_of_thumb() {
        let weight = |free, chroots, processors| {
            too_small(free, chroots, processors).map(|(weight, _)| weight)
        };
        assert_eq!(weight(2 * GIB, 1, 2), Some(Weight::Needed));
        assert_eq!(weight(8 * GIB, 1, 2), Some(Weight::Recommended));
        assert_eq!(weight(9 * GIB, 1, 2), None);
        assert_eq!(weight(17 * GIB, 4, 4), Some(Weight::Recommended));
        assert_eq!(weight(18 * GIB, 4, 4), None);
    }
}
