use std::fs;

use super::*;
use crate::archive::fixture::Fixture;
use crate::archive::sample::Binary;

fn binary<'a>(name: &'a str, source: &'a str) -> Binary<'a> {
    Binary {
        name,
        version: "1",
        architecture: "amd64",
        source,
        section: "misc",
    }
}

/// All files below the pool, sorted, and nothing beside them.
fn pool(fixture: &Fixture) -> Vec<String> {
    let mut files = Vec::new();
    let mut open = vec![fixture.archive.directory().to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(directory) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let path = path.strip_prefix(fixture.archive.directory()).unwrap();
                files.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

#[test]
fn files_go_to_their_places_by_component_and_source() {
    let fixture = Fixture::new();
    let dsc = fixture.samples.source("libhello", "1:1.2", "misc");
    let binaries = [("hello", "1:1.2"), ("hello-data", "7")].map(|(name, version)| {
        let section = if version == "7" {
            "non-free/misc"
        } else {
            "misc"
        };
        fixture.samples.binary(&Binary {
            name,
            version,
            architecture: "all",
            source: "libhello (1:1.2)",
            section,
        })
    });
    for _ in 0..2 {
        fixture
            .prepare(dsc.clone(), binaries.clone().into())
            .unwrap();
        assert_eq!(
            pool(&fixture),
            [
                "pool/main/libh/libhello/hello_1.2_all.deb",
                "pool/main/libh/libhello/libhello_1.2.dsc",
                "pool/main/libh/libhello/libhello_1.2.tar.gz",
                "pool/non-free/libh/libhello/hello-data_7_all.deb"
            ]
        );
    }
    // Prepared, but in no dist.
    assert_eq!(
        fixture.count("SELECT count(*) FROM pool_file WHERE unused_since IS NULL"),
        0
    );
}

#[test]
fn a_file_that_is_only_in_the_pool_is_taken_from_there() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    let (dsc, binary) = fixture.files("hello", "1");
    let name = "hello_1.tar.gz".parse().unwrap();
    fs::remove_file(fixture.samples.directory.join("hello_1.tar.gz")).unwrap();
    fixture.install_files(dsc, vec![binary]).unwrap();
    let source = "hello".parse().unwrap();
    let found = fixture
        .store
        .read(|tx| fixture.archive.pool_file(tx, &source, &name))
        .unwrap()
        .unwrap();
    assert_eq!(
        found.path.to_str(),
        Some("pool/main/h/hello/hello_1.tar.gz")
    );
    let path = fixture.archive.directory().join(found.path);
    assert_eq!(found.checksums.size, fs::metadata(path).unwrap().len());
}

#[test]
fn what_differs_from_the_dsc_is_refused_with_the_field() {
    let fixture = Fixture::new();
    let (dsc, _) = fixture.package("hello", "1");
    let tar = fixture.samples.directory.join("hello_1.tar.gz");
    let original = fs::read(&tar).unwrap();

    fs::write(&tar, [original.as_slice(), &[0]].concat()).unwrap();
    let fault = fixture.prepare(dsc.clone(), vec![]).unwrap_err();
    assert!(
        fault
            .to_string()
            .starts_with("hello_1.tar.gz: size: expected")
    );

    let mut flipped = original.clone();
    flipped[20] ^= 1;
    fs::write(&tar, flipped).unwrap();
    let fault = fixture.prepare(dsc.clone(), vec![]).unwrap_err();
    assert!(
        fault
            .to_string()
            .starts_with("hello_1.tar.gz: Checksums-Sha256: expected"),
        "{fault}"
    );

    fs::remove_file(&tar).unwrap();
    let fault = fixture.prepare(dsc.clone(), vec![]).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "hello_1.tar.gz, which hello_1.dsc lists, is missing"
    );

    std::os::unix::fs::symlink("/etc/passwd", &tar).unwrap();
    let fault = fixture.prepare(dsc, vec![]).unwrap_err();
    assert!(matches!(fault, Error::File { action: "open", .. }));
    assert_eq!(pool(&fixture), Vec::<String>::new());
}

#[test]
fn a_dsc_brings_only_source_files_of_its_own_name() {
    let fixture = Fixture::new();
    let (dsc, _) = fixture.package("hello", "1");
    let text = fs::read_to_string(&dsc).unwrap();
    for name in ["other_1.tar.gz", "hello_1_amd64.deb", "hello_2.dsc"] {
        fs::write(&dsc, text.replace("hello_1.tar.gz", name)).unwrap();
        fs::copy(
            fixture.samples.directory.join("hello_1.tar.gz"),
            fixture.samples.directory.join(name),
        )
        .unwrap();
        let fault = fixture
            .prepare(dsc.clone(), vec![])
            .unwrap_err()
            .to_string();
        assert_eq!(
            fault,
            format!("{name}: is no name of a source file in hello_1.dsc")
        );
    }
    fs::write(&dsc, text.replace("Version: 1", "Version: 2")).unwrap();
    let fault = fixture.prepare(dsc, vec![]).unwrap_err().to_string();
    assert_eq!(fault, "hello_1.dsc: its control fields make it hello_2.dsc");
}

#[test]
fn a_deb_that_is_damaged_or_misnamed_or_foreign_is_refused() {
    let fixture = Fixture::new();
    let (dsc, deb) = fixture.package("hello", "1");
    let refuse = |binaries: Vec<PathBuf>| {
        let fault = fixture.prepare(dsc.clone(), binaries).unwrap_err();
        assert_eq!(pool(&fixture), Vec::<String>::new());
        fault.to_string()
    };

    let renamed = fixture.samples.directory.join("hello_2_amd64.deb");
    fs::copy(&deb, &renamed).unwrap();
    assert_eq!(
        refuse(vec![renamed]),
        "hello_2_amd64.deb: its control fields make it hello_1_amd64.deb"
    );
    assert_eq!(
        refuse(vec![dsc.clone()]),
        "hello_1.dsc: is neither a .deb, a .ddeb nor a .udeb"
    );
    assert_eq!(
        refuse(vec![deb.clone(), deb.clone()]),
        "hello 1 amd64: comes twice"
    );

    let foreign = fixture.samples.binary(&binary("foreign", "other"));
    assert_eq!(
        refuse(vec![foreign]),
        "foreign_1_amd64.deb: field Source: was built from other 1, not from hello 1"
    );
    let older = fixture.samples.binary(&binary("older", "hello (0.9)"));
    assert!(refuse(vec![older]).contains("was built from hello 0.9, not from hello 1"));

    let whole = fs::read(&deb).unwrap();
    for length in [0, 7, 100, whole.len() / 2, whole.len() - 10] {
        fs::write(&deb, &whole[..length]).unwrap();
        assert_eq!(
            refuse(vec![deb.clone()]),
            "hello_1_amd64.deb is malformed",
            "{length}"
        );
    }
}

#[test]
fn other_content_under_a_name_in_use_is_refused() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    let (dsc, _) = fixture.files("hello", "1");
    let other = fixture.samples.binary(&Binary {
        section: "admin",
        ..binary("hello", "hello")
    });
    let refused = fixture.install_files(dsc, vec![other]).unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("pool/main/h/hello/hello_1_amd64.deb is in the pool with other content")
    );
}

#[test]
fn other_content_replaces_what_was_prepared_but_never_installed() {
    let fixture = Fixture::new();
    let (dsc, deb) = fixture.package("hello", "1");
    let first = fixture.prepare(dsc.clone(), vec![deb]).unwrap();
    let other = fixture.samples.binary(&Binary {
        section: "admin",
        ..binary("hello", "hello")
    });
    let second = fixture.prepare(dsc, vec![other]).unwrap();
    let refused = fixture.install_prepared(&first);
    assert!(matches!(refused, Err(Error::OtherContent { .. })));
    fixture.install_prepared(&second).unwrap();
}
