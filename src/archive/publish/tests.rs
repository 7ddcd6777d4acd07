use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::archive::client::{Client, names};
use crate::archive::fixture::{self, Fixture, diststr, key, keys, settings};
use crate::archive::sample::{Binary, run};
use crate::pgp::SigningKey;

const UNSTABLE: &str = "sid-test-unstable";
const PACKAGES: &str = "main/binary-amd64/Packages.xz";

fn at(second: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    Timestamp::from_second(start.as_second() + second).unwrap()
}

/// All dists are as InRelease says, under plain names too.
fn check_all(fixture: &Fixture) {
    let root = fixture.archive.directory();
    for settings in settings() {
        let dist = settings.diststr.to_string();
        fixture.client(&dist).check_plain(root, &dist);
    }
    let dists = root.join("dists");
    assert_eq!(
        names(&dists),
        [
            UNSTABLE,
            "sid-test-unstable-rollback0",
            "sid-test-unstable-rollback1"
        ]
    );
    assert_eq!(
        names(&dists.join(UNSTABLE)),
        [
            "Contents-amd64",
            "Contents-amd64.gz",
            "Contents-amd64.xz",
            "Contents-amd64.zst",
            "InRelease",
            "Release",
            "Release.gpg",
            "by-hash",
            "contrib",
            "main",
            "non-free"
        ]
    );
}

#[test]
fn all_dists_are_published_once_and_then_those_that_change() {
    let fixture = Fixture::new();
    assert_eq!(fixture.publish(at(0)).len(), 3);
    check_all(&fixture);
    assert!(fixture.client(UNSTABLE).packages[PACKAGES].is_empty());
    assert_eq!(fixture.publish(at(1)), Vec::<String>::new());

    fixture.install("hello", "1").unwrap();
    assert_eq!(fixture.publish(at(2)), [UNSTABLE]);
    fixture.install("hello", "2").unwrap();
    fixture.install("abc", "1").unwrap();
    assert_eq!(
        fixture.publish(at(3)),
        [UNSTABLE, "sid-test-unstable-rollback0"]
    );
    check_all(&fixture);
    let seen = fixture.client(UNSTABLE);
    assert_eq!(seen.packages[PACKAGES], ["abc 1", "hello 2"]);
    assert_eq!(seen.packages["main/source/Sources"], ["abc 1", "hello 2"]);
    assert_eq!(
        fixture.client("sid-test-unstable-rollback0").packages[PACKAGES],
        ["hello 1"]
    );
    // Nothing is left beside pool and dists.
    assert_eq!(names(fixture.archive.directory()), ["dists", "pool"]);
}

#[test]
fn udebs_contents_and_all_go_to_their_indices() {
    let fixture = Fixture::new();
    let dsc = fixture.samples.source("hello", "1", "misc");
    let binaries = [
        ("hello", "amd64", "misc"),
        ("hello-udeb", "amd64", "debian-installer"),
        ("hello-data", "all", "non-free/doc"),
    ]
    .map(|(name, architecture, section)| {
        fixture.samples.binary(&Binary {
            name,
            version: "1",
            architecture,
            source: "hello",
            section,
        })
    });
    fixture.install_files(dsc, binaries.into()).unwrap();
    fixture.publish(at(0));
    let seen = fixture.client(UNSTABLE).packages;
    assert_eq!(seen[PACKAGES], ["hello 1"]);
    assert_eq!(
        seen["main/debian-installer/binary-amd64/Packages.gz"],
        ["hello-udeb 1"]
    );
    assert_eq!(seen["non-free/binary-amd64/Packages"], ["hello-data 1"]);
    let contents = &seen["non-free/Contents-amd64.gz"];
    let words: Vec<&str> = contents[0].split_whitespace().collect();
    assert_eq!(
        words,
        ["usr/share/sample/hello-data", "non-free/doc/hello-data"]
    );
}

#[test]
fn gpgv_accepts_both_signatures() {
    let fixture = Fixture::new();
    fixture.publish(at(0));
    let keyring = fixture.directory.path().join("keyring.gpg");
    let armored = fixture.directory.path().join("key.asc");
    fs::write(&armored, key().public_armored()).unwrap();
    run(Command::new("gpg")
        .args(["--batch", "--yes", "--dearmor", "--output"])
        .arg(&keyring)
        .arg(&armored));
    let dist = fixture.archive.directory().join("dists").join(UNSTABLE);
    for files in [&["InRelease"][..], &["Release.gpg", "Release"]] {
        run(Command::new("gpgv")
            .arg("--keyring")
            .arg(&keyring)
            .args(files.iter().map(|file| dist.join(file))));
    }
    let signed = fs::read_to_string(dist.join("InRelease")).unwrap();
    assert!(signed.contains(&fs::read_to_string(dist.join("Release")).unwrap()));
}

#[test]
fn what_did_not_change_is_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let fixture = Fixture::new();
    fixture.publish(at(0));
    let dist = fixture.archive.directory().join("dists").join(UNSTABLE);
    let identity = |path: &str| {
        let meta = fs::metadata(dist.join(path)).unwrap();
        (meta.ino(), meta.mtime(), meta.mtime_nsec())
    };
    let unchanged = [
        "contrib/binary-amd64/Packages.xz",
        "contrib/binary-amd64/Release",
        "main/debian-installer/binary-amd64/Packages.gz",
    ];
    let before = unchanged.map(identity);
    let changed = identity(PACKAGES);
    fixture.install("hello", "1").unwrap();
    fixture.publish(at(1));
    assert_eq!(unchanged.map(identity), before);
    assert_ne!(identity(PACKAGES), changed);
    // The same description, the same paths.
    let unchanged = ["main/i18n/Translation-en.xz", "Contents-amd64.gz"];
    let before = unchanged.map(identity);
    let changed = identity(PACKAGES);
    fixture.install("hello", "2").unwrap();
    fixture.publish(at(2));
    assert_eq!(unchanged.map(identity), before);
    assert_ne!(identity(PACKAGES), changed);
    check_all(&fixture);
}

#[test]
fn files_that_someone_removed_or_replaced_are_mended_by_the_next_publication() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    fixture.publish(at(0));
    let dist = fixture.archive.directory().join("dists").join(UNSTABLE);
    fs::remove_file(dist.join("main/source/Sources.gz")).unwrap();
    fs::write(dist.join("main/source/Release"), "forged").unwrap();
    fs::remove_dir_all(dist.join("contrib")).unwrap();
    fs::remove_file(dist.join(PACKAGES)).unwrap();
    fs::write(dist.join(PACKAGES), "forged").unwrap();
    fixture.install("other", "1").unwrap();
    fixture.publish(at(1));
    check_all(&fixture);
}

#[test]
fn in_release_is_newer_by_seconds_each_time() {
    let fixture = Fixture::new();
    let in_release = fixture
        .archive
        .directory()
        .join("dists")
        .join(UNSTABLE)
        .join("InRelease");
    let mut seconds = Vec::new();
    for version in ["1", "2", "3"] {
        fixture.install("hello", version).unwrap();
        fixture.publish(at(0));
        let modified = fs::metadata(&in_release).unwrap().modified().unwrap();
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        seconds.push(since.as_secs().cast_signed() - at(0).as_second());
    }
    assert_eq!(seconds, [0, 1, 2]);
}

#[test]
fn dists_and_architectures_that_are_not_wanted_vanish_and_may_come_back() {
    let fixture = Fixture::new();
    fixture.install("hello", "1").unwrap();
    fixture.publish(at(0));
    let root = fixture.archive.directory();
    let configure = |wanted: &[crate::archive::DistSettings]| {
        fixture
            .store
            .write(|tx| fixture.archive.configure(tx, wanted))
            .unwrap();
    };
    let mut wanted = settings();
    wanted[0].architectures.push("i386".parse().unwrap());
    wanted.truncate(1);
    configure(&wanted);
    assert_eq!(fixture.publish(at(1)), [UNSTABLE]);
    assert_eq!(names(&root.join("dists")), [UNSTABLE]);
    assert!(
        root.join("dists")
            .join(UNSTABLE)
            .join("main/binary-i386/Packages")
            .exists()
    );

    configure(&settings());
    assert_eq!(fixture.publish(at(2)).len(), 3);
    check_all(&fixture);
    assert_eq!(fixture.client(UNSTABLE).packages[PACKAGES], ["hello 1"]);
    let installer = "main/binary-i386";
    assert_eq!(
        names(&root.join("dists").join(UNSTABLE).join(installer)),
        ["by-hash"]
    );
    configure(&settings());
    assert_eq!(fixture.dirty(), Vec::<String>::new());
}

#[test]
fn by_hash_files_stay_for_three_generations_and_an_hour() {
    let fixture = Fixture::new();
    let mut clients = Vec::new();
    let kept = |clients: &[Client]| -> Vec<bool> {
        let dist = fixture.archive.directory().join("dists").join(UNSTABLE);
        clients
            .iter()
            .map(|client| by_hash(&dist, PACKAGES, &client.listed[PACKAGES]).exists())
            .collect()
    };
    let hour = 3600;
    for (generation, version) in ["1", "2", "3", "4"].iter().enumerate() {
        fixture.install("hello", version).unwrap();
        fixture.publish(at(i64::try_from(generation).unwrap()));
        clients.push(fixture.client(UNSTABLE));
    }
    fixture.archive.clean(at(hour)).unwrap();
    assert_eq!(kept(&clients), [true, true, true, true]);
    // The first was replaced in second 1.
    fixture.archive.clean(at(1 + hour)).unwrap();
    assert_eq!(kept(&clients), [false, true, true, true]);
    // Hours alone don't suffice.
    fixture.archive.clean(at(100 * hour)).unwrap();
    assert_eq!(kept(&clients), [false, true, true, true]);
    check_all(&fixture);
    fixture.install("hello", "5").unwrap();
    fixture.publish(at(100 * hour));
    fixture.archive.clean(at(101 * hour)).unwrap();
    assert_eq!(kept(&clients), [false, false, true, true]);
    check_all(&fixture);
}

#[test]
fn what_crashes_left_is_cleaned_after_its_time() {
    let fixture = Fixture::new();
    fixture.publish(at(0));
    let root = fixture.archive.directory();
    let orphan = by_hash(
        &root.join("dists").join(UNSTABLE),
        PACKAGES,
        &"0".repeat(64),
    );
    fs::write(&orphan, "").unwrap();
    let scratch = root.join(".prepare-1-1");
    fs::create_dir(&scratch).unwrap();
    let now = Timestamp::now().as_second() - at(0).as_second();
    fixture.archive.clean(at(now)).unwrap();
    assert!(orphan.exists() && scratch.exists());
    fixture.archive.clean(at(now + 25 * 3600)).unwrap();
    assert!(!orphan.exists() && !scratch.exists());
    check_all(&fixture);
}

#[test]
fn child() {
    let Some(directory) = std::env::var_os("ARCHIVE_DIRECTORY") else {
        return;
    };
    let directory = PathBuf::from(directory);
    let kill_at: u32 = std::env::var("ARCHIVE_KILL_AT").unwrap().parse().unwrap();
    let (_, archive) = fixture::open(&directory);
    let key = SigningKey::load(&directory.join("key.asc")).unwrap();
    let mut steps = 0;
    let kill = |step: Step| {
        if steps == kill_at {
            fs::write(directory.join("killed-at"), format!("{step:?}")).unwrap();
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::KILL).unwrap();
        }
        steps += 1;
    };
    let mut kill = kill;
    publish(&archive, &key.into(), at(1), &mut kill).unwrap();
}

#[test]
fn a_killed_publication_leaves_old_or_new_and_the_next_one_finishes_it() {
    let fixture = Fixture::new();
    key()
        .save(&fixture.directory.path().join("key.asc"))
        .unwrap();
    fixture.install("hello", "0").unwrap();
    fixture.publish(at(0));
    let mut steps = Vec::new();
    loop {
        let kill_at = steps.len().to_string();
        let (old, new) = (steps.len(), steps.len() + 1);
        let (dsc, binary) = fixture.package("hello", &new.to_string());
        let prepared = fixture.prepare(dsc, vec![binary]).unwrap();
        let installed = fixture
            .store
            .write(|tx| fixture.archive.install(tx, &prepared, &diststr(), 0));
        installed.unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "archive::publish::tests::child", "--quiet"])
            .env("ARCHIVE_DIRECTORY", fixture.directory.path())
            .env("ARCHIVE_KILL_AT", kill_at)
            .status()
            .unwrap();
        let expected_old = [format!("hello {old}")];
        let expected_new = [format!("hello {new}")];
        let seen = &fixture.client(UNSTABLE).packages[PACKAGES];
        if status.success() {
            assert_eq!(*seen, expected_new);
            break;
        }
        assert_eq!(status.signal(), Some(9));
        let step = fs::read_to_string(fixture.directory.path().join("killed-at")).unwrap();
        match step.as_str() {
            "Written" | "Hashed" | "Signed" => assert_eq!(*seen, expected_old, "{step}"),
            "Synced" => assert_eq!(*seen, expected_new, "{step}"),
            _ => assert!(*seen == expected_old || *seen == expected_new, "{step}"),
        }
        steps.push(step);
        assert!(!fixture.dirty().is_empty());
        fixture.publish(at(1));
        check_all(&fixture);
        assert_eq!(fixture.client(UNSTABLE).packages[PACKAGES], expected_new);
    }
    for step in [
        "Written",
        "Hashed",
        "Signed",
        "Plain",
        "Release",
        "Signature",
        "InRelease",
        "Synced",
    ] {
        assert!(
            steps.iter().any(|reached| reached == step),
            "{step} was not reached"
        );
    }
}

#[test]
fn an_installation_during_a_publication_leaves_the_dist_dirty() {
    let fixture = Fixture::new();
    fixture.publish(at(0));
    fixture.install("hello", "1").unwrap();
    let mut install = |step: Step| {
        if step == Step::Signed {
            fixture.install("hello", "2").unwrap();
        }
    };
    publish(&fixture.archive, &keys(), at(1), &mut install).unwrap();
    assert_eq!(fixture.client(UNSTABLE).packages[PACKAGES], ["hello 1"]);
    assert_eq!(fixture.publish(at(2)).len(), 2);
    assert_eq!(fixture.client(UNSTABLE).packages[PACKAGES], ["hello 2"]);
}

#[test]
fn readers_find_no_fault_while_writers_publish() {
    let fixture = Fixture::new();
    let prepared = ["1", "2"].map(|version| {
        let (dsc, binary) = fixture.package("hello", version);
        fixture.prepare(dsc, vec![binary]).unwrap()
    });
    fixture.publish(at(0));
    let done = AtomicBool::new(false);
    let root = fixture.archive.directory();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                Client::read(root, UNSTABLE).unwrap();
                reads += 1;
            }
            reads
        });
        let writers = [0, 1].map(|writer| {
            let (fixture, prepared) = (&fixture, &prepared);
            scope.spawn(move || {
                let (_, archive) = fixture::open(fixture.directory.path());
                let start = Instant::now();
                let mut writes = 0;
                while start.elapsed() < Duration::from_secs(3) || writes < 3 {
                    fixture
                        .store
                        .write(|tx| archive.install(tx, &prepared[writer], &diststr(), 0))
                        .unwrap();
                    archive.publish(&keys(), Timestamp::now()).unwrap();
                    writes += 1;
                }
                writes
            })
        });
        let published: i32 = writers.map(|writer| writer.join().unwrap()).iter().sum();
        done.store(true, Ordering::Relaxed);
        let reads: i32 = reader.join().unwrap();
        assert!(
            published > 3 && reads > 3,
            "{published} publications, {reads} reads"
        );
    });
    fixture.publish(Timestamp::now());
    check_all(&fixture);
}

mod incremental;
