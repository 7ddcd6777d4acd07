//! The list: what is tried and what becomes of it, one paragraph a case.
//!
//! Each names its `Case` (a number may have several), `Title` and `Expected`, and one kind of input:
//!
//! * `Session`: a shell script in a session; `Python`: the same in python, whose output is `Says`; `Calls`: system calls
//!   with their answers. Each is tried as root of the session and as another user, or as `Users` says. `Other` runs in
//!   another session meanwhile. They say `REACHED` when something worked that must not. Of things outside they know
//!   $SECRET and $VICTIM (files of the caller), $HOST_PID (a process of the caller) and $HOST_PORT (on the host's
//!   loopback). Expected: `untouched`; with `Ends: killed` a script doesn't come to its end.
//! * `Root`: a script that sets a trap in a root file system; $OUTSIDE is a directory of the caller. Expected: what the
//!   session that is to begin there is refused, which masks `Masked`, holds `Read-Only` and mounts a file on `Mount`.
//! * `Build`, `After`: lines of a package's debian/rules, before and after the packages are made, under `Limits`.
//!   `Then`: of the next build. Expected: `built`, `refused`, or the failure's class. Where `Storage: matters`, a short
//!   run tries it on each kind of storage too.
//! * `Test`: a file and the test in it that holds the case.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use mini_buildd::deb::Paragraph;

static LIST: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let paragraphs = Paragraph::parse_all(include_str!("list")).unwrap();
    paragraphs.into_iter().map(Case).collect()
});

/// Numbers that the list must have; the others were given up.
const NUMBERS: [u32; 29] = [
    1, 2, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18, 20, 22, 23, 24, 26, 27, 28, 29, 30, 31, 33,
    35, 37, 39, 40,
];

const INPUTS: [&str; 7] = [
    "Session", "Python", "Calls", "Root", "Build", "After", "Test",
];
const OTHERS: [&str; 13] = [
    "Case",
    "Title",
    "Expected",
    "Ends",
    "Limits",
    "Masked",
    "Mount",
    "Other",
    "Read-Only",
    "Says",
    "Storage",
    "Then",
    "Users",
];

pub(super) struct Case(Paragraph);

impl Case {
    pub(super) fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field)
    }

    pub(super) fn required(&self, field: &str) -> &str {
        self.get(field)
            .unwrap_or_else(|| panic!("no {field} in {}", self.name()))
    }

    /// A field without its empty first line.
    pub(super) fn lines(&self, field: &str) -> Option<&str> {
        self.get(field).map(|value| value.trim_start_matches('\n'))
    }

    pub(super) fn name(&self) -> String {
        let field = |field| self.get(field).unwrap_or_default();
        format!("{} ({})", field("Case"), field("Title"))
    }
}

/// Cases that have one of these inputs.
pub(super) fn with(inputs: &[&str]) -> Vec<&'static Case> {
    let cases = LIST
        .iter()
        .filter(|case| inputs.iter().any(|input| case.get(input).is_some()));
    cases.collect()
}

#[test]
fn no_case_of_the_list_is_missing() {
    let numbers: BTreeSet<String> = LIST
        .iter()
        .map(|case| case.required("Case").to_owned())
        .collect();
    let expected = NUMBERS.map(|number| format!("S{number}"));
    assert_eq!(numbers, expected.into_iter().collect());
}

#[test]
fn each_case_has_a_title_and_an_outcome_of_its_own_and_one_input() {
    let titles: BTreeSet<String> = LIST.iter().map(Case::name).collect();
    assert_eq!(titles.len(), LIST.len());
    for case in LIST.iter() {
        case.required("Title");
        case.required("Expected");
        for (field, _) in case.0.fields() {
            let is_known = INPUTS.contains(&field) || OTHERS.contains(&field);
            assert!(is_known, "{field} in {}", case.name());
        }
        let inputs = INPUTS.iter().filter(|input| case.get(input).is_some());
        assert_eq!(inputs.count(), 1, "{}", case.name());
    }
}

/// A program of tests that was copied to another user is run without its source.
#[test]
fn tests_that_the_list_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for case in with(&["Test"]) {
        let (file, test) = case.required("Test").split_once(' ').unwrap();
        match fs::read_to_string(root.join(file)) {
            Ok(source) => assert!(source.contains(&format!("fn {test}(")), "{}", case.name()),
            Err(error) => assert!(!root.exists(), "{}: {error}", case.name()),
        }
    }
}
