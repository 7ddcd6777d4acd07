//! Architectures that chroots are wanted of.
use sandbox::{Finding, Problem, Weight};

use super::INSTALL;
use crate::cause::with_causes;
use crate::deb::Architecture;
use crate::setup::{host, machine};

/// `None`: only the machine's own is wanted.
pub(super) fn finding(architectures: &[Architecture]) -> Option<Finding> {
    if architectures.is_empty() {
        return None;
    }
    Some(Finding {
        name: "architectures",
        problem: problem(architectures),
    })
}

/// The first architecture that can't be built for here.
fn problem(architectures: &[Architecture]) -> Option<Problem> {
    let machine = match host::architecture() {
        Ok(machine) => machine,
        Err(error) => {
            return Some(Problem {
                weight: Weight::Needed,
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
        weight: Weight::Needed,
        what: fault.to_string(),
        remedy: fault.remedy(),
    })
}
