use super::*;
use crate::archive::fixture::Fixture;
use crate::archive::sample::Binary;

/// `VERSION VERSION …` of hello in unstable, rollback0, rollback1; `-` where there is none.
fn versions(fixture: &Fixture) -> String {
    let listed = fixture.list("hello");
    [None, Some(0), Some(1)]
        .map(|rollback| {
            listed
                .iter()
                .find(|listed| listed.diststr.rollback == rollback)
                .map_or("-", |listed| listed.version.as_str())
        })
        .join(" ")
}

#[test]
fn what_was_there_moves_through_the_rollbacks() {
    let fixture = Fixture::new();
    for (version, expected) in [
        ("1", "1 - -"),
        ("2", "2 1 -"),
        ("3", "3 2 1"),
        ("4", "4 3 2"),
    ] {
        fixture.install("hello", version).unwrap();
        assert_eq!(versions(&fixture), expected);
    }
    let listed = fixture.list("hello");
    assert_eq!(listed[0].architectures, ["source", "amd64"]);
    assert_eq!(
        listed[2].dsc.to_str(),
        Some("pool/main/h/hello/hello_2.dsc")
    );
    // All of history is in ended rows.
    assert_eq!(
        fixture.count("SELECT count(*) FROM slot WHERE removed IS NULL"),
        6
    );
    assert_eq!(fixture.count("SELECT count(DISTINCT package) FROM slot"), 8);
}

#[test]
fn a_version_that_is_in_a_rollback_already_is_not_shifted_again() {
    let fixture = Fixture::new();
    for version in ["1", "2", "1", "2"] {
        fixture.install("hello", version).unwrap();
    }
    // 1 was in rollback0 when 2 replaced it for the second time; 2 was not when 1 replaced it.
    assert_eq!(versions(&fixture), "2 2 1");
}

#[test]
fn only_dists_that_change_become_dirty() {
    let fixture = Fixture::new();
    fixture.settle();
    fixture.install("hello", "1").unwrap();
    assert_eq!(fixture.dirty(), ["sid-test-unstable"]);
    fixture.install("hello", "2").unwrap();
    assert_eq!(
        fixture.dirty(),
        ["sid-test-unstable", "sid-test-unstable-rollback0"]
    );
}

#[test]
fn the_same_installation_again_changes_nothing() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    fixture.settle();
    let slots = fixture.count("SELECT count(*) FROM slot");
    fixture.install("hello", "1").unwrap();
    assert_eq!(fixture.dirty(), Vec::<String>::new());
    assert_eq!(fixture.count("SELECT count(*) FROM slot"), slots);
    assert_eq!(versions(&fixture), "1 - -");
}

#[test]
fn the_same_version_with_other_binaries_is_refused() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    let more = fixture.samples.binary(&Binary {
        name: "hello-more",
        version: "1",
        architecture: "all",
        source: "hello",
        section: "misc",
    });
    let (dsc, binary) = fixture.files("hello", "1");
    let refused = fixture.install_files(dsc, vec![binary, more]);
    assert!(
        matches!(refused, Err(Error::OtherBinaries { .. })),
        "{refused:?}"
    );
    assert_eq!(fixture.list("hello")[0].architectures, ["source", "amd64"]);
}

#[test]
fn a_binary_that_another_source_builds_now_is_taken_over() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    let dsc = fixture.samples.source("greeter", "2", "misc");
    let binary = fixture.samples.binary(&Binary {
        name: "hello",
        version: "2",
        architecture: "all",
        source: "greeter",
        section: "misc",
    });
    fixture.install_files(dsc, vec![binary]).unwrap();
    assert_eq!(fixture.list("hello")[0].architectures, ["source"]);
    assert_eq!(fixture.list("greeter")[0].architectures, ["source", "all"]);
}

#[test]
fn a_binary_of_another_source_is_not_taken_over_by_a_lower_version() {
    let fixture = Fixture::new();
    fixture.install("hello", "2").unwrap();
    let dsc = fixture.samples.source("greeter", "3", "misc");
    for version in ["1", "2"] {
        let binary = fixture.samples.binary(&Binary {
            name: "hello",
            version,
            architecture: "all",
            source: "greeter (3)",
            section: "misc",
        });
        let refused = fixture.install_files(dsc.clone(), vec![binary]);
        assert!(
            matches!(refused, Err(Error::Takeover { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(fixture.list("hello")[0].architectures, ["source", "amd64"]);
    assert_eq!(fixture.list("greeter"), []);
}

#[test]
fn what_a_dist_does_not_publish_is_refused() {
    let fixture = Fixture::new();
    let dsc = fixture.samples.source("hello", "1", "misc");
    for (architecture, section) in [("mips", "misc"), ("amd64", "universe/misc")] {
        let binary = fixture.samples.binary(&Binary {
            name: "hello",
            version: "1",
            architecture,
            source: "hello",
            section,
        });
        let refused = fixture.install_files(dsc.clone(), vec![binary]);
        assert!(matches!(refused, Err(Error::NotInDist { .. })));
    }
    let elsewhere = "sid-test-nowhere".parse().unwrap();
    let (dsc, binary) = fixture.package("hello", "2");
    let prepared = fixture.prepare(dsc, vec![binary]).unwrap();
    let refused = fixture
        .store
        .write(|tx| fixture.archive.install(tx, &prepared, &elsewhere, 0));
    assert!(matches!(refused, Err(Error::UnknownDist { .. })));
    assert_eq!(fixture.count("SELECT count(*) FROM package"), 0);
}

#[test]
fn components_keep_versions_of_their_own() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    let dsc = fixture.samples.source("hello", "2", "contrib/misc");
    fixture.install_files(dsc, Vec::new()).unwrap();
    let listed: Vec<String> = fixture
        .list("hello")
        .iter()
        .map(|listed| format!("{} {}", listed.component, listed.version))
        .collect();
    assert_eq!(listed, ["contrib 2", "main 1"]);
}

#[test]
fn the_content_digest_tells_whether_apt_sees_the_same() {
    let fixture = Fixture::new();
    let digest = || {
        let dists = ["sid-test-unstable".parse().unwrap()];
        fixture
            .store
            .read(|tx| fixture.archive.content_digest(tx, &dists))
            .unwrap()
    };
    let empty = digest();
    fixture.install("hello", "1").unwrap();
    let first = digest();
    fixture.install("hello", "1").unwrap();
    assert_eq!(digest(), first);
    assert_ne!(first, empty);
    fixture.install("hello", "2").unwrap();
    assert_ne!(digest(), first);
}
