use std::path::Path;

use crate::root::helper;

#[test]
fn nothing_is_missing_where_the_tests_run() {
    let directory = tempfile::tempdir().unwrap();
    let findings = sandbox::preflight(&helper(), directory.path());
    let problems: Vec<_> = findings
        .iter()
        .filter(|finding| finding.is_in_the_way())
        .collect();
    assert!(problems.is_empty(), "{problems:?}");
    let names: Vec<_> = findings.iter().map(|finding| finding.name).collect();
    for name in [
        "user namespaces",
        "map of ids",
        "mounts",
        "host name",
        "fresh /proc",
        "devices",
        "overlay",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}

#[test]
fn program_that_is_no_helper_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let findings = sandbox::preflight(Path::new("/bin/true"), directory.path());
    let mut helpers = findings.iter();
    let helper = helpers.find(|finding| finding.name == "sandbox helper");
    assert!(helper.unwrap().is_in_the_way());
}
