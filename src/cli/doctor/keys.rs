//! The keys that sign: which end soon.
use jiff::Timestamp;
use sandbox::{Finding, Problem, Weight};

use crate::cause::with_causes;
use crate::home::Home;
use crate::keys::KeySet;

const NAME: &str = "signing keys";

/// Empty where there is no instance yet, or its keys are another user's.
pub(super) fn findings(home: &Home) -> Vec<Finding> {
    if !home.signing_key().exists() {
        return Vec::new();
    }
    let remedy = |command: &str| format!("{command} --home {}", home.root().display());
    let problems: Vec<Problem> = match KeySet::load(home) {
        Err(error) => vec![Problem {
            weight: Weight::Needed,
            what: with_causes(&error),
            remedy: Some(remedy("mini-buildd key list")),
        }],
        Ok(keys) => keys
            .warnings(Timestamp::now())
            .into_iter()
            .map(|warning| Problem {
                weight: Weight::Recommended,
                what: warning.to_string(),
                remedy: warning.remedy().map(remedy),
            })
            .collect(),
    };
    if problems.is_empty() {
        return vec![Finding {
            name: NAME,
            problem: None,
        }];
    }
    let finding = |problem| Finding {
        name: NAME,
        problem: Some(problem),
    };
    problems.into_iter().map(finding).collect()
}
