//! What this host lacks for an instance, and what is wrong with the instance's keys and chroots, each with the command
//! that mends it.
mod architectures;
mod chroots;
mod host;
mod keys;

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use sandbox::{Finding, Problem, Weight};
use serde_json::{Value, json};

use crate::api::json::plain;
use crate::deb::Architecture;
use crate::home::Home;

use super::{Failure, output};

/// Examines this host, and keys and chroots of the instance if there is one: what is missing or broken, and the command
/// that mends it.
///
/// Ends with 1 if anything needed is missing; advice is what builds would gain from.
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

/// Beginning of the remedies that install Debian packages.
const INSTALL: &str = "apt install ";

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let home = options.home.home()?;
    let mut findings = examine(&home, &options.architectures)?;
    findings.extend(keys::findings(&home));
    if is_well(&findings) {
        findings.extend(chroots::findings(&home)?);
    }
    let text = if options.json {
        plain(&as_json(&findings)) + "\n"
    } else {
        as_text(&findings)
    };
    output::write(&text)?;
    Ok(ExitCode::from(u8::from(!is_well(&findings))))
}

/// Tries and looks for all that an instance in this home needs, with chroots of other architectures too.
pub fn examine(home: &Home, architectures: &[Architecture]) -> std::io::Result<Vec<Finding>> {
    let place = host::existing(home.root());
    let mut findings = host::findings(home, place);
    findings.extend(architectures::finding(architectures));
    findings.extend(sandbox::preflight(&std::env::current_exe()?, place));
    Ok(findings)
}

pub fn is_well(findings: &[Finding]) -> bool {
    !findings.iter().any(Finding::is_in_the_way)
}

/// Debian packages whose installation would mend something, each once.
pub fn missing_packages<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<String> {
    let problems = findings
        .into_iter()
        .filter_map(|finding| finding.problem.as_ref());
    let mut packages: Vec<String> = problems
        .filter_map(|problem| problem.remedy.as_deref()?.strip_prefix(INSTALL))
        .flat_map(|packages| packages.split_whitespace().map(str::to_owned))
        .collect();
    packages.sort();
    packages.dedup();
    packages
}

fn as_text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let line = match &finding.problem {
            None => writeln!(text, "ok       {}", finding.name),
            Some(Problem {
                weight,
                what,
                remedy,
            }) => {
                let word = match weight {
                    Weight::Needed => "MISSING",
                    Weight::Recommended => "ADVICE ",
                };
                let remedy = remedy.as_deref().unwrap_or("none is known");
                writeln!(
                    text,
                    "{word}  {}: {what}\n         remedy: {remedy}",
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
    if findings.iter().any(|finding| finding.problem.is_some()) {
        text.push_str("\nCommands are for root.\n");
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
                "needed": finding.is_in_the_way(),
                "problem": problem.map(|problem| &problem.what),
                "remedy": problem.and_then(|problem| problem.remedy.as_ref()),
            })
        })
        .collect();
    json!({"ok": is_well(findings), "findings": described})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &'static str, weight: Weight, package: &str) -> Finding {
        Finding {
            name,
            problem: Some(Problem {
                weight,
                what: format!("{name} is not installed"),
                remedy: Some(format!("{INSTALL}{package}")),
            }),
        }
    }

    fn findings() -> Vec<Finding> {
        vec![
            Finding {
                name: "overlay",
                problem: None,
            },
            finding("newuidmap", Weight::Needed, "uidmap"),
            finding("newgidmap", Weight::Needed, "uidmap"),
            finding("debootstrap", Weight::Needed, "debootstrap"),
            finding("pasta", Weight::Recommended, "passt"),
        ]
    }

    #[test]
    fn missing_packages_are_named_once() {
        assert_eq!(
            missing_packages(&findings()),
            ["debootstrap", "passt", "uidmap"]
        );
    }

    #[test]
    fn every_miss_is_told_with_its_remedy() {
        let text = as_text(&findings());
        assert!(text.starts_with("ok       overlay\n"), "{text}");
        assert!(
            text.contains(
                "MISSING  newuidmap: newuidmap is not installed\n         remedy: apt install uidmap\n"
            ),
            "{text}"
        );
        assert!(text.contains("ADVICE   pasta: pasta is"), "{text}");
        assert!(
            text.ends_with("apt install debootstrap passt uidmap\n\nCommands are for root.\n"),
            "{text}"
        );
    }

    #[test]
    fn advice_alone_is_well() {
        assert!(is_well(&[finding("pasta", Weight::Recommended, "passt")]));
        assert!(!is_well(&findings()));
    }
}
