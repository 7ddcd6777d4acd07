//! What `mini-buildd archive include` refuses: with the reason, and without a trace.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mini_buildd::archive::{ArchiveDir, Retention};
use mini_buildd::home::Home;
use mini_buildd::store::Store;
use tempfile::TempDir;

use crate::daemon;
use crate::package::{Files, Upload, deb};
use crate::program::program;

const DIST: &str = "trixie-test-unstable";
const VERSION: &str = "1.0~test13+1";

/// An empty instance, and a directory with files to include.
struct Hand {
    home: TempDir,
    files: TempDir,
}

impl Hand {
    fn new() -> Hand {
        Hand {
            home: daemon::new_home(),
            files: tempfile::tempdir().unwrap(),
        }
    }

    fn archive(&self, words: &[&str]) -> Output {
        Command::new(program())
            .args(["archive", "--home"])
            .arg(self.home.path())
            .args(words)
            .output()
            .unwrap()
    }

    fn write(&self, files: &[(String, Vec<u8>)]) -> String {
        for (name, content) in files {
            fs::write(self.files.path().join(name), content).unwrap();
        }
        let (changes, _) = files.last().unwrap();
        let path = self.files.path().join(changes);
        path.into_os_string().into_string().unwrap()
    }

    fn include(&self, files: &[(String, Vec<u8>)]) -> Output {
        self.archive(&["include", DIST, &self.write(files)])
    }

    /// Includes what must be refused; returns the reason.
    fn refusal(&self, files: &[(String, Vec<u8>)]) -> String {
        let before = self.state();
        let output = self.include(files);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{said}");
        self.clean();
        assert_eq!(self.state(), before, "{said}");
        said
    }

    /// Deletes at once what nothing names.
    fn clean(&self) {
        let home = Home::new(self.home.path());
        let store = Arc::new(Store::open(&home.database()).unwrap());
        let repository: mini_buildd::model::repository::Identity = "test".parse().unwrap();
        let archive = ArchiveDir::new(home.repository(&repository), repository, store);
        let at_once = Retention {
            history: Duration::ZERO,
            grace: Duration::ZERO,
        };
        let later = Timestamp::now() + Duration::from_secs(1);
        archive.expire(at_once, later).unwrap();
    }

    /// What is listed, and all files of the pool.
    fn state(&self) -> (String, Vec<PathBuf>) {
        let listed = self.archive(&["ls", "--rollbacks"]);
        let pool = self.home.path().join("repositories/test/pool");
        let mut files = Vec::new();
        find(&pool, &mut files);
        files.sort();
        (String::from_utf8(listed.stdout).unwrap(), files)
    }

    fn deb(&self, name: &str, version: &str, architecture: &str, source: &str) -> Vec<u8> {
        deb(self.files.path(), name, version, architecture, source)
    }
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn named(name: &str, content: Vec<u8>) -> (String, Vec<u8>) {
    (format!("{name}.deb"), content)
}

/// A .deb whose control file is this text, whatever dpkg-deb thinks of it.
fn deb_with_control(control: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(control.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "./control", control.as_bytes())
        .unwrap();
    let control = tar.into_inner().unwrap();
    let data = tar::Builder::new(Vec::new()).into_inner().unwrap();
    let mut deb = b"!<arch>\n".to_vec();
    for (name, content) in [
        ("debian-binary", &b"2.0\n"[..]),
        ("control.tar", &control),
        ("data.tar", &data),
    ] {
        deb.extend(format!("{name:<16}{:<32}{:<10}`\n", 0, content.len()).bytes());
        deb.extend(content);
        deb.resize(deb.len().next_multiple_of(2), b'\n');
    }
    deb
}

fn control(fields: &str) -> String {
    format!(
        "Package: hello\nVersion: {VERSION}\nArchitecture: amd64\nMaintainer: Upl <upl@buildd.test>\n{fields}\
         Description: test\n"
    )
}

/// An upload of hello with packages beside its source.
fn upload_of_hello(packages: Files) -> Files {
    let source = Upload::new("hello", VERSION, DIST);
    let files = [source.files, packages].concat();
    Upload::of("hello", VERSION, DIST, files).unsigned()
}

#[test]
fn faulty_packages_are_refused_with_the_reason() {
    let hand = Hand::new();
    let good = || hand.deb("hello", VERSION, "amd64", "hello");
    let hello = format!("hello_{VERSION}_amd64");
    for (package, said) in [
        (
            named("hello_2.0_amd64", good()),
            format!("hello_2.0_amd64.deb: its control fields make it {hello}.deb"),
        ),
        (
            named(&format!("hello_{VERSION}_i386"), good()),
            format!("its control fields make it {hello}.deb"),
        ),
        (
            named(&hello, hand.deb("hello", VERSION, "amd64", "other")),
            format!("field Source: was built from other {VERSION}, not from hello {VERSION}"),
        ),
        (
            named(&hello, hand.deb("hello", VERSION, "amd64", "hello (0.9)")),
            format!("field Source: was built from hello 0.9, not from hello {VERSION}"),
        ),
        (
            named(&hello, b"PK\x03\x04 is no ar archive".to_vec()),
            format!("{hello}.deb is malformed: not a .deb: no ar archive"),
        ),
        (
            named(&hello, good()[..200].to_vec()),
            format!("{hello}.deb is malformed: not a .deb: "),
        ),
        (
            named(&hello, deb_with_control(&control("no field\n"))),
            format!("{hello}.deb is malformed: not a control file: line 5: no colon"),
        ),
        (
            named(
                &hello,
                deb_with_control(&control("Depends: a\n\nPackage: evil\n")),
            ),
            "expected exactly one paragraph, found 2".to_owned(),
        ),
        // apt would read no index any more that has it.
        (
            named(&hello, deb_with_control(&control("Depends: a (1)\n"))),
            "field Depends: \"a (1)\" is not NAME or NAME (OPERATOR VERSION)".to_owned(),
        ),
        (
            named(&hello, deb_with_control(&control("Version: 2.0\n"))),
            "line 5: the field is there twice".to_owned(),
        ),
        (
            named(&hello, deb_with_control(&control("Section: misc\r\n"))),
            "line 5: holds a carriage return or NUL".to_owned(),
        ),
        (
            named(
                &hello,
                deb_with_control(&control("Section: universe/misc\n")),
            ),
            format!("{DIST} has no component universe, which hello {VERSION} amd64 needs"),
        ),
        (
            named(
                &hello,
                deb_with_control(&control("Section: ../../etc/misc\n")),
            ),
            "field Section: component \"..\"".to_owned(),
        ),
        (
            named(
                &format!("hello_{VERSION}_s390x"),
                hand.deb("hello", VERSION, "s390x", "hello"),
            ),
            format!("{DIST} has no architecture s390x, which hello {VERSION} s390x needs"),
        ),
    ] {
        let refused = hand.refusal(&upload_of_hello(vec![package]));
        assert!(refused.contains(&said), "{said}: {refused}");
    }
    assert!(
        hand.include(&upload_of_hello(vec![named(&hello, good())]))
            .status
            .success()
    );
}

#[test]
fn files_that_differ_from_their_changes_are_refused() {
    let hand = Hand::new();
    let mut files = upload_of_hello(Vec::new());
    let (name, content) = &mut files[1];
    assert!(name.ends_with(".tar.xz"));
    content[0] ^= 1;
    let refused = hand.refusal(&files);
    assert!(
        refused.contains(".tar.xz: Checksums-Sha256: expected "),
        "{refused}"
    );

    let notes = (
        format!("hello_{VERSION}_amd64.buildinfo"),
        b"notes".to_vec(),
    );
    let mut files = upload_of_hello(vec![notes]);
    files[2].1 = b"other".to_vec();
    let refused = hand.refusal(&files);
    assert!(
        refused.contains(".buildinfo: is not as in its .changes: Checksums-Sha256: expected "),
        "{refused}"
    );
}

#[test]
fn other_content_under_a_name_that_is_there_is_refused() {
    let hand = Hand::new();
    let hello = format!("hello_{VERSION}_amd64");
    let first = hand.deb("hello", VERSION, "amd64", "hello");
    let files = upload_of_hello(vec![named(&hello, first)]);
    assert!(hand.include(&files).status.success());
    let other = named(&hello, deb_with_control(&control("")));
    let refused = hand.refusal(&upload_of_hello(vec![other]));
    assert!(
        refused.contains(&format!("/{hello}.deb is in the pool with other content")),
        "{refused}"
    );
    let more = named(
        &format!("hello-data_{VERSION}_all"),
        hand.deb("hello-data", VERSION, "all", "hello"),
    );
    let refused = hand.refusal(&upload_of_hello(vec![more]));
    assert!(
        refused.contains(&format!("hello {VERSION} is in {DIST} with other binaries")),
        "{refused}"
    );
}

#[test]
fn version_that_the_suite_forbids_is_refused_with_one_that_it_takes() {
    let hand = Hand::new();
    let refused = hand.refusal(&Upload::new("hello", "1.0", DIST).unsigned());
    assert!(
        refused.contains(&format!("hello 1.0 may not go into {DIST}: "))
            && refused.contains(VERSION),
        "{refused}"
    );
    // One of many: all of its part is left out.
    let good = hand.write(&Upload::new("good", VERSION, DIST).unsigned());
    let bad = hand.write(&Upload::new("bad", "1.0", DIST).unsigned());
    let before = hand.state();
    assert!(
        !hand
            .archive(&["include", DIST, &good, &bad])
            .status
            .success()
    );
    hand.clean();
    assert_eq!(hand.state(), before);
}

#[test]
fn a_lower_version_and_what_is_no_file_are_refused() {
    let hand = Hand::new();
    let newer = VERSION.replace("1.0", "1.1");
    assert_ne!(newer, VERSION);
    let upload = |version: &str| Upload::new("hello", version, DIST).unsigned();
    assert!(hand.include(&upload(&newer)).status.success());
    let refused = hand.refusal(&upload(VERSION));
    let said = format!("{DIST} has {newer} already, which is higher than hello {VERSION}");
    assert!(refused.contains(&said), "{refused}");

    let fifo = hand.files.path().join("fifo.changes");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let refused = hand.archive(&["include", DIST, fifo.to_str().unwrap()]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("not a regular file"), "{said}");
}

#[test]
fn sources_are_listed_by_name_and_no_dsc_is_taken_twice_in_one_call() {
    let hand = Hand::new();
    let upload = |name: &str| hand.write(&Upload::new(name, VERSION, DIST).unsigned());
    let all = ["good", "hello", "other"].map(upload);
    let words: Vec<&str> = ["include", DIST]
        .into_iter()
        .chain(all.iter().map(String::as_str))
        .collect();
    assert!(hand.archive(&words).status.success());
    let listed = hand.archive(&["ls", "other", "good", "no-such"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(!listed.contains("hello"), "{listed}");

    let dsc = hand.files.path().join(format!("hello_{VERSION}.dsc"));
    let dsc = dsc.to_str().unwrap();
    let refused = hand.archive(&["include", DIST, dsc, dsc]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains(".dsc: is given twice"), "{said}");
}
