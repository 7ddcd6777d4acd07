use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::archive::fixture::{self, Fixture, diststr, key, keys};
use crate::pgp::SigningKey;
use crate::store;

mod obstacles;

const PACKAGES: &str = "dists/sid-test-unstable/main/binary-amd64/Packages";
const DEB: &str = "pool/main/h/hello/hello_2_amd64.deb";

/// Three packages, one of them in two versions, and a snapshot; all published.
fn published() -> Fixture {
    let fixture = Fixture::new();
    for (name, version) in [("abc", "1"), ("hello", "1"), ("zebra", "1")] {
        fixture.install(name, version).unwrap();
    }
    fixture.publish(Timestamp::now());
    fixture.install("hello", "2").unwrap();
    let name = "kept".parse().unwrap();
    let (archive, dist) = (&fixture.archive, diststr());
    fixture
        .store
        .write(|tx| archive.create_snapshot(tx, &dist, &name, Timestamp::now()))
        .unwrap();
    fixture.publish(Timestamp::now());
    fixture
}

fn check_at(fixture: &Fixture, now: Timestamp) -> Vec<Problem> {
    let mut told = Vec::new();
    let mut tell = |step: Told<'_>| {
        if let Told::Problem(problem) = step {
            told.push(problem.clone());
        }
    };
    let problems = fixture.archive.check(None, &keys(), now, &mut tell);
    let problems = problems.unwrap();
    assert_eq!(problems, told);
    problems
}

fn check(fixture: &Fixture) -> Vec<Problem> {
    check_at(fixture, Timestamp::now())
}

fn repair(fixture: &Fixture, problems: &[Problem], found: &HashMap<String, Copy>) -> usize {
    let now = Timestamp::now();
    fixture
        .archive
        .repair(problems, found, &keys(), now)
        .unwrap()
}

/// A healthy repository is broken; the check names it so, the repair mends it, and nothing is wrong any more.
fn is_mended(fixture: &Fixture, break_it: impl FnOnce(&Path), expected: &[(&str, &str)]) {
    assert_eq!(check(fixture), []);
    break_it(fixture.archive.directory());
    let problems = check(fixture);
    for (subject, fault) in expected {
        let is_it =
            |problem: &Problem| problem.subject.contains(subject) && problem.fault.contains(fault);
        assert!(
            problems.iter().any(is_it),
            "{subject}: {fault}\n{problems:#?}"
        );
    }
    assert!(repair(fixture, &problems, &HashMap::new()) > 0);
    assert_eq!(check(fixture), []);
    let seen = fixture.client("sid-test-unstable");
    seen.check_plain(fixture.archive.directory(), "sid-test-unstable");
    assert_eq!(
        seen.packages["main/binary-amd64/Packages.xz"],
        ["abc 1", "hello 2", "zebra 1"]
    );
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // In place: other names of the file have it too.
    fs::write(path, bytes).unwrap();
}

/// The newest by-hash file of an index.
fn hashed(root: &Path, path: &str) -> PathBuf {
    let sums = Checksums::of(&mut fs::File::open(root.join(path)).unwrap()).unwrap();
    let directory = root.join(path).parent().unwrap().join("by-hash/SHA256");
    directory.join(sums.sha256)
}

/// Changes rows as no transaction of ours would.
fn sql(fixture: &Fixture, sql: &str) {
    let changed = fixture
        .store
        .write(|tx| tx.sql().execute(sql, []).during("break"));
    let changed: Result<usize, store::Error> = changed;
    assert!(changed.unwrap() > 0, "{sql}");
}

/// As [`sql`], against foreign keys.
fn wild_sql(fixture: &Fixture, sql: &str) {
    let database = rusqlite::Connection::open(fixture.directory.path().join("db")).unwrap();
    database.pragma_update(None, "foreign_keys", false).unwrap();
    assert!(database.execute(sql, []).unwrap() > 0, "{sql}");
}

#[test]
fn a_healthy_repository_has_no_problem() {
    let fixture = published();
    assert_eq!(check(&fixture), []);
    assert_eq!(check_database(&fixture.store).unwrap(), []);
    let mut phases = Vec::new();
    let mut tell = |told: Told<'_>| {
        if let Told::Phase(phase) = told {
            phases.push(phase);
        }
    };
    let only = diststr();
    let problems = fixture
        .archive
        .check(Some(&only), &keys(), Timestamp::now(), &mut tell);
    assert_eq!(problems.unwrap(), []);
    assert_eq!(phases, ["Pool", "Packages", "Distributions"]);
}

#[test]
fn publications_meanwhile_are_no_problem() {
    let fixture = published();
    let name = |number| format!("package{number}");
    for number in 0..6 {
        fixture.package(&name(number), "1");
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..6 {
                fixture.install(&name(number), "1").unwrap();
                fixture.publish(Timestamp::now());
                fixture.archive.clean(Timestamp::now()).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        let mut checks = 0;
        while !is_over.load(Ordering::Relaxed) || checks == 0 {
            let problems = check(&fixture);
            // A reader that fails must not leave the writer alone with its panic.
            assert_eq!(problems, []);
            checks += 1;
        }
        writer.join().unwrap();
    });
    assert_eq!(check(&fixture), []);
}

#[test]
fn a_changed_deb_is_taken_from_elsewhere_or_named_as_lost() {
    let fixture = published();
    let root = fixture.archive.directory();
    // Not a link to what is in the pool.
    let (_, binary) = fixture.files("hello", "2");
    let copy = fixture.directory.path().join("copy.deb");
    fs::copy(binary, &copy).unwrap();
    for break_it in [flip as fn(&Path), |path| fs::remove_file(path).unwrap()] {
        break_it(&root.join(DEB));
        let problems = check(&fixture);
        let [problem] = &problems[..] else {
            panic!("{problems:#?}");
        };
        assert_eq!(problem.subject, DEB);
        assert!(
            problem
                .remedy
                .contains("hello 2 amd64 in sid-test-unstable;"),
            "{problem:?}"
        );
        assert!(problem.remedy.contains("--from"), "{problem:?}");

        assert_eq!(repair(&fixture, &problems, &HashMap::new()), 0);
        assert_eq!(check(&fixture), problems);

        let wanted = problem.wanted().unwrap();
        let place = |path: &Path, offset| {
            let path = path.to_owned();
            HashMap::from([(wanted.sha256.clone(), Copy { path, offset })])
        };
        assert_eq!(repair(&fixture, &problems, &place(&copy, 1)), 0);
        assert_eq!(repair(&fixture, &problems, &place(&copy, 0)), 1);
        assert_eq!(check(&fixture), []);
    }
}

#[test]
fn sums_of_the_pool_that_the_stanza_does_not_have_become_those_of_the_file() {
    let fixture = published();
    for column in ["sha256", "sha1", "md5"] {
        let change = format!("UPDATE pool_file SET {column} = 'x' WHERE path = '{DEB}'");
        is_mended(&fixture, |_| sql(&fixture, &change), &[(DEB, "noted x")]);
    }
    let change = format!("DELETE FROM pool_file WHERE path = '{DEB}'");
    let expected = [(DEB, "is not known to the pool")];
    is_mended(&fixture, |_| wild_sql(&fixture, &change), &expected);
}

#[test]
fn a_stanza_or_list_of_files_is_read_anew() {
    let changes = [
        ("stanza = replace(stanza, 'Test', 'Fest')", "stanza"),
        ("stanza = replace(stanza, '/hello_2', '/jello_2')", "stanza"),
        ("file_list = 'usr/bin/other'", "list of files"),
        ("section = 'net'", "section"),
    ];
    let fixture = published();
    for (change, what) in changes {
        let change = format!("UPDATE package SET {change} WHERE name = 'hello' AND kind = 'deb'");
        let expected = [("hello 2 amd64", what)];
        is_mended(&fixture, |_| sql(&fixture, &change), &expected);
    }
    let change = "UPDATE package SET stanza = replace(stanza, 'hello_2.dsc', 'jello_2.dsc') WHERE kind = 'dsc'";
    is_mended(
        &fixture,
        |_| sql(&fixture, change),
        &[("hello 2 source", "stanza")],
    );
}

#[test]
fn references_are_true_in_both_directions() {
    let fixture = published();
    let change = format!("DELETE FROM package_file WHERE path = '{DEB}'");
    let expected = [
        ("hello 2 amd64", "files in the pool"),
        (DEB, "no package has it"),
    ];
    is_mended(&fixture, |_| sql(&fixture, &change), &expected);
    let change = format!("UPDATE pool_file SET unused_since = 1 WHERE path = '{DEB}'");
    is_mended(
        &fixture,
        |_| sql(&fixture, &change),
        &[(DEB, "noted as unused")],
    );
    let change = format!("INSERT INTO package_file VALUES (999, 'test', '{DEB}')");
    is_mended(
        &fixture,
        |_| wild_sql(&fixture, &change),
        &[(DEB, "package 999")],
    );

    wild_sql(&fixture, "UPDATE slot SET package = 999 WHERE name = 'abc'");
    let problems = check_database(&fixture.store).unwrap();
    assert!(problems[0].fault.starts_with("slot: "), "{problems:?}");
}

#[test]
fn a_package_at_the_place_of_another_is_named() {
    let fixture = published();
    let place = "name = 'abc' AND index_name = 'source'";
    sql(
        &fixture,
        &format!("UPDATE slot SET name = 'abd' WHERE {place}"),
    );
    let problems = check(&fixture);
    let is_it = |problem: &Problem| problem.subject == "abd in sid-test-unstable";
    assert!(problems.iter().any(is_it), "{problems:#?}");
}

#[test]
fn published_files_are_made_anew() {
    let fixture = published();
    for form in ["", ".gz", ".xz", ".zst"] {
        let path = format!("{PACKAGES}{form}");
        let expected = [("binary-amd64/by-hash/SHA256/", "SHA-256")];
        is_mended(&fixture, |root| flip(&hashed(root, &path)), &expected);
        let remove = |root: &Path| fs::remove_file(hashed(root, &path)).unwrap();
        is_mended(&fixture, remove, &[("/by-hash/SHA256/", "is missing")]);
        let remove = |root: &Path| fs::remove_file(root.join(&path)).unwrap();
        is_mended(&fixture, remove, &[(&path, "is missing")]);
        let replace = |root: &Path| {
            fs::remove_file(root.join(&path)).unwrap();
            fs::write(root.join(&path), "other").unwrap();
        };
        is_mended(&fixture, replace, &[(&path, "size")]);
    }
    let path = "dists/sid-test-unstable/main/binary-amd64/Release";
    is_mended(
        &fixture,
        |root| flip(&root.join(path)),
        &[(path, "SHA-256")],
    );
}

#[test]
fn names_by_other_sums_are_made_anew() {
    let fixture = published();
    let mut settings = fixture::settings();
    for dist in &mut settings {
        dist.sha512 = true;
    }
    let archive = &fixture.archive;
    fixture
        .store
        .write(|tx| archive.configure(tx, &settings))
        .unwrap();
    fixture.publish(Timestamp::now());
    let directory = "dists/sid-test-unstable/main/source/by-hash/SHA512";
    let remove = |root: &Path| fs::remove_dir_all(root.join(directory)).unwrap();
    is_mended(&fixture, remove, &[(directory, "is missing")]);
}

#[test]
fn files_of_an_older_release_are_forgotten_when_they_are_gone() {
    let fixture = published();
    let sha256 = "SELECT sha256 FROM index_file WHERE retired IS NOT NULL AND path = 'main/binary-amd64/Packages.xz'";
    let mut old = String::new();
    let read: Result<(), store::Error> = fixture.store.read(|tx| {
        old = tx.sql().query_row(sha256, [], |row| row.get(0)).unwrap();
        Ok(())
    });
    read.unwrap();
    let directory = "dists/sid-test-unstable/main/binary-amd64/by-hash/SHA256";
    let remove = |root: &Path| fs::remove_file(root.join(directory).join(&old)).unwrap();
    is_mended(&fixture, remove, &[(&old, "of an older Release")]);
}

#[test]
fn forged_and_missing_signatures_are_made_anew() {
    let fixture = published();
    let directory = "dists/sid-test-unstable";
    let other = SigningKey::generate("Other", "other@example.org").unwrap();
    let release =
        fs::read_to_string(fixture.archive.directory().join(directory).join("Release")).unwrap();
    let forged = other.clearsign(&release).unwrap();
    let older = release.replace("Suite: sid-test-unstable", "Suite: sid");
    let file = |name: &str| format!("{directory}/{name}");
    let write = |name: &str, content: &str| {
        let path = file(name);
        let content = content.to_owned();
        move |root: &Path| fs::write(root.join(path), content).unwrap()
    };
    let in_release = file("InRelease");
    let is = |name: &str, content: &str, subject: &str, fault: &str| {
        is_mended(&fixture, write(name, content), &[(&file(subject), fault)]);
    };
    is("InRelease", &forged, "InRelease", "unknown key");
    is("InRelease", &release, "InRelease", "not signed");
    is(
        "InRelease",
        &key().clearsign(&older).unwrap(),
        "InRelease",
        "another text",
    );
    is("Release", &older, "Release.gpg", "bad signature");
    is("Release.gpg", "", "Release.gpg", "");
    let remove = |root: &Path| fs::remove_file(root.join(&in_release)).unwrap();
    is_mended(&fixture, remove, &[(&in_release, "is missing")]);
    let resign = |root: &Path| {
        let signature = key().detach_sign(older.as_bytes()).unwrap();
        write("Release", &older)(root);
        write("Release.gpg", &signature)(root);
        write("InRelease", &key().clearsign(&older).unwrap())(root);
    };
    is_mended(&fixture, resign, &[(&file("Release"), "field Suite")]);
}

#[test]
fn rows_of_published_files_are_made_anew() {
    let packages = "path = 'main/binary-amd64/Packages";
    let fixture = published();
    for (change, subject, fault) in [
        (
            format!("UPDATE index_file SET sha256 = 'x' WHERE {packages}.xz' AND retired IS NULL"),
            "by-hash/SHA256/x",
            "is missing",
        ),
        (
            format!("UPDATE index_file SET size = 1 WHERE {packages}.gz' AND retired IS NULL"),
            "by-hash",
            "size",
        ),
        (
            format!("UPDATE index_file SET md5 = 'x' WHERE {packages}' AND retired IS NULL"),
            "by-hash",
            "MD5",
        ),
        (
            format!("DELETE FROM index_file WHERE {packages}' AND retired IS NULL"),
            "Packages",
            "the packages in the database",
        ),
        (
            format!("UPDATE piece SET gz = gz + 1 WHERE {packages}'"),
            "Packages",
            "its pieces make",
        ),
        (
            format!("UPDATE piece SET digest = zeroblob(32) WHERE {packages}'"),
            "Packages",
            "piece 0",
        ),
        (
            format!("UPDATE piece SET first = 'b' WHERE {packages}'"),
            "Packages",
            "piece 0",
        ),
        (
            format!("DELETE FROM piece WHERE {packages}'"),
            "Packages",
            "its pieces make",
        ),
    ] {
        let change =
            format!("{change} AND dist = (SELECT id FROM dist WHERE name = 'sid-test-unstable')");
        is_mended(&fixture, |_| sql(&fixture, &change), &[(subject, fault)]);
    }
}

#[test]
fn a_package_that_a_dist_lost_unseen_is_told_by_its_indices() {
    let fixture = published();
    let change = "UPDATE slot SET removed = added WHERE name = 'abc'";
    sql(&fixture, change);
    let problems = check(&fixture);
    let is_it = |problem: &Problem| problem.subject == PACKAGES;
    assert!(problems.iter().any(is_it), "{problems:#?}");
    repair(&fixture, &problems, &HashMap::new());
    assert_eq!(check(&fixture), []);
}

#[test]
fn a_snapshot_is_made_anew() {
    let fixture = published();
    let name = "dists/sid-test-unstable/snapshots/kept";
    let remove = |root: &Path| fs::remove_dir_all(root.join(name)).unwrap();
    is_mended(&fixture, remove, &[(name, "is missing")]);
    let path = format!("{name}/main/source/Sources.xz");
    is_mended(
        &fixture,
        |root| flip(&root.join(&path)),
        &[(&path, "SHA-256")],
    );
    let path = format!("{name}/InRelease");
    let remove = |root: &Path| fs::remove_file(root.join(&path)).unwrap();
    is_mended(&fixture, remove, &[(&path, "is missing")]);
}

#[test]
fn what_is_left_over_is_deleted_after_a_day() {
    let fixture = published();
    let root = fixture.archive.directory();
    let left = [
        "pool/main/h/hello/hello_3_amd64.deb",
        "dists/sid-other-unstable",
        "dists/sid-test-unstable/snapshots/other",
    ];
    fs::write(root.join(left[0]), "orphan").unwrap();
    fs::create_dir(root.join(left[1])).unwrap();
    fs::create_dir(root.join(left[2])).unwrap();
    fs::create_dir(root.join(".prepare-1-1")).unwrap();
    let problems = check(&fixture);
    let subjects: Vec<&str> = problems.iter().map(|problem| &*problem.subject).collect();
    assert_eq!(subjects, left);
    assert_eq!(repair(&fixture, &problems, &HashMap::new()), 0);
    assert_eq!(check(&fixture), problems);

    let later = Timestamp::now() + jiff::SignedDuration::from_hours(25);
    let problems = check_at(&fixture, later);
    assert_eq!(problems.len(), 4);
    let mended = fixture
        .archive
        .repair(&problems, &HashMap::new(), &keys(), later);
    assert_eq!(mended.unwrap(), 4);
    assert_eq!(check_at(&fixture, later), []);
    assert!(root.join(DEB).exists());
}

#[test]
fn a_missing_file_that_no_package_needs_is_forgotten() {
    let fixture = published();
    let (dsc, binary) = fixture.package("never", "1");
    fixture.prepare(dsc, vec![binary]).unwrap();
    let deb = "pool/main/n/never/never_1_amd64.deb";
    let remove = |root: &Path| fs::remove_file(root.join(deb)).unwrap();
    is_mended(&fixture, remove, &[(deb, "is missing")]);
    let dsc = "pool/main/n/never/never_1.dsc";
    is_mended(
        &fixture,
        |root| flip(&root.join(dsc)),
        &[(dsc, "is damaged")],
    );
}
