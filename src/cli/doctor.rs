//! What this host lacks for an instance, each miss with the command that mends it.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use sandbox::{Finding, Problem};
use serde_json::{Value, json};

use crate::api::json::plain;
use crate::cause::with_causes;
use crate::deb::Architecture;
use crate::home::Home;
use crate::setup::{host, machine};

use super::{Failure, output};

/// Examines this host: what is missing for an instance, and the command that mends it.
///
/// Ends with 1 if anything is missing.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    home: super::home::Options,
    /// Also tell whether this machine runs programs of this Debian architecture; may be repeated.
    #[arg(long = "architecture", value_name = "ARCH")]
    architectures: Vec<Architecture>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

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

/// Beginning of the remedies that install Debian packages.
const INSTALL: &str = "apt install ";

/// A base chroot with its layers, and room for a build.
const SPACE: u64 = 3 << 30;

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let findings = examine(&options.home.home()?, &options.architectures)?;
    let text = if options.json {
        plain(&as_json(&findings)) + "\n"
    } else {
        as_text(&findings)
    };
    output::write(&text)?;
    let is_well = findings.iter().all(|finding| finding.problem.is_none());
    Ok(ExitCode::from(u8::from(!is_well)))
}

/// Tries and looks for all that an instance in this home needs, with chroots of other architectures too.
pub fn examine(home: &Home, architectures: &[Architecture]) -> std::io::Result<Vec<Finding>> {
    let place = existing(home.root());
    let mut findings = vec![space(place)];
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
    if !architectures.is_empty() {
        findings.push(Finding {
            name: "architectures",
            problem: architectures_problem(architectures),
        });
    }
    findings.extend(sandbox::preflight(&std::env::current_exe()?, place));
    Ok(findings)
}

/// The first architecture that can't be built for here.
fn architectures_problem(architectures: &[Architecture]) -> Option<Problem> {
    let machine = match host::architecture() {
        Ok(machine) => machine,
        Err(error) => {
            return Some(Problem {
                what: with_causes(&error),
                remedy: Some(format!("{INSTALL}dpkg")),
            });
        }
    };
    let mut checks = architectures
        .iter()
        .map(|architecture| machine::check(&machine, architecture));
    let fault = checks.find_map(Result::err)?;
    Some(Problem {
        what: fault.to_string(),
        remedy: fault.remedy(),
    })
}

/// Debian packages whose installation would mend something, each once.
pub fn missing_packages(findings: &[Finding]) -> Vec<String> {
    let problems = findings
        .iter()
        .filter_map(|finding| finding.problem.as_ref());
    let mut packages: Vec<String> = problems
        .filter_map(|problem| problem.remedy.as_deref()?.strip_prefix(INSTALL))
        .flat_map(|packages| packages.split_whitespace().map(str::to_owned))
        .collect();
    packages.sort();
    packages.dedup();
    packages
}

fn not_installed(what: &str, package: &str) -> Problem {
    Problem {
        what: format!("{what} is not installed"),
        remedy: Some(format!("{INSTALL}{package}")),
    }
}

/// The directory itself, or the nearest one above it that is there.
fn existing(directory: &Path) -> &Path {
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

fn space(place: &Path) -> Finding {
    let problem = match rustix::fs::statvfs(place) {
        Ok(status) => {
            let free = status.f_bavail.saturating_mul(status.f_frsize);
            (free < SPACE).then(|| Problem {
                what: format!(
                    "{} has {} MiB left; chroots and builds need {} MiB",
                    place.display(),
                    free >> 20,
                    SPACE >> 20
                ),
                remedy: Some("choose a directory on a larger file system with --home".into()),
            })
        }
        Err(error) => Some(Problem {
            what: format!("can't tell the free space of {}: {error}", place.display()),
            remedy: None,
        }),
    };
    Finding {
        name: "free space",
        problem,
    }
}

fn as_text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let line = match &finding.problem {
            None => writeln!(text, "ok       {}", finding.name),
            Some(Problem { what, remedy }) => {
                let remedy = remedy.as_deref().unwrap_or("none is known");
                writeln!(
                    text,
                    "MISSING  {}: {what}\n         remedy: {remedy}",
                    finding.name
                )
            }
        };
        line.expect("a String takes every write");
    }
    let packages = missing_packages(findings);
    if !packages.is_empty() {
        let packages = packages.join(" ");
        writeln!(text, "\nAll missing packages: {INSTALL}{packages}")
            .expect("a String takes every write");
    }
    text
}

fn as_json(findings: &[Finding]) -> Value {
    let described: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let problem = finding.problem.as_ref();
            json!({
                "name": finding.name,
                "ok": problem.is_none(),
                "problem": problem.map(|problem| &problem.what),
                "remedy": problem.and_then(|problem| problem.remedy.as_ref()),
            })
        })
        .collect();
    let is_well = findings.iter().all(|finding| finding.problem.is_none());
    json!({"ok": is_well, "findings": described})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        let missing = |name, package| Finding {
            name,
            problem: Some(not_installed(name, package)),
        };
        vec![
            Finding {
                name: "overlay",
                problem: None,
            },
            missing("newuidmap", "uidmap"),
            missing("newgidmap", "uidmap"),
            missing("debootstrap", "debootstrap"),
        ]
    }

    #[test]
    fn missing_packages_are_named_once() {
        assert_eq!(missing_packages(&findings()), ["debootstrap", "uidmap"]);
    }

    #[test]
    fn every_miss_is_told_with_its_remedy() {
        let text = as_text(&findings());
        assert!(text.starts_with("ok       overlay\n"), "{text}");
        assert!(
            text.contains("newuidmap is not installed\n         remedy: apt install uidmap\n"),
            "{text}"
        );
        assert!(text.ends_with("apt install debootstrap uidmap\n"), "{text}");
    }

    #[test]
    fn home_that_is_not_there_yet_is_judged_by_what_is_above_it() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(existing(&place.path().join("a/b")), place.path());
    }
}
