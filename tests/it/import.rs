//! A repository that reprepro wrote, as stock has it configured, becomes ours.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mini_buildd::deb::{Checksums, Paragraph};
use tempfile::TempDir;

use crate::daemon;
use crate::program::program;

use crate::sample::{Binary, Samples, run};

const DIST: &str = "trixie-test-unstable";
const SNAPSHOTS: [&str; 2] = ["WEEKLY_2026-11-15T05:40", "before-2.0"];

/// Another's repository, and an empty instance of ours.
struct Import {
    directory: TempDir,
    home: TempDir,
    samples: Samples,
}

impl Import {
    fn new() -> Import {
        let directory = tempfile::tempdir().unwrap();
        let import = Import {
            samples: Samples::new(directory.path().join("samples")),
            home: daemon::new_home(),
            directory,
        };
        let conf = import.theirs().join("conf");
        fs::create_dir_all(&conf).unwrap();
        fs::write(conf.join("distributions"), distributions("test")).unwrap();
        import.reprepro(&["export"]);
        import
    }

    fn theirs(&self) -> PathBuf {
        self.directory.path().join("theirs")
    }

    fn ours(&self) -> PathBuf {
        self.home.path().join("repositories/test")
    }

    fn reprepro(&self, words: &[&str]) {
        run(Command::new("reprepro")
            .args([
                "--silent",
                "--ignore=unusedarch",
                "--ignore=unusedoption",
                "--basedir",
            ])
            .arg(self.theirs())
            .args(["--section=misc", "--priority=optional"])
            .args(words));
    }

    fn include(&self, file: &Path, more: &[&str]) {
        let verb = match file.extension().unwrap().to_str().unwrap() {
            "dsc" => "includedsc",
            "deb" => "includedeb",
            _ => "includeudeb",
        };
        let words = [more, &[verb, DIST, file.to_str().unwrap()]].concat();
        self.reprepro(&words);
    }

    fn binary(&self, name: &str, version: &str, architecture: &str, source: &str) -> PathBuf {
        self.samples.binary(&Binary {
            name,
            version,
            architecture,
            source,
            section: "misc",
        })
    }

    /// A source, a package for amd64 and one for all.
    fn hello(&self, version: &str) {
        self.include(&self.samples.source("hello", version, "misc"), &[]);
        self.include(&self.binary("hello", version, "amd64", "hello"), &[]);
        self.include(&self.binary("hello-data", version, "all", "hello"), &[]);
    }

    /// Some of all that stock's repositories hold.
    fn fill(&self) {
        self.hello("1.0");
        self.reprepro(&["gensnapshot", DIST, SNAPSHOTS[0]]);
        self.include(
            &self.samples.source("tool", "1:0.5", "contrib/misc"),
            &["-Ccontrib"],
        );
        let rebuilt = self.binary("tool", "1:0.5+b1", "amd64", "tool (1:0.5)");
        self.include(&rebuilt, &["-Ccontrib"]);
        self.include(&self.binary("left-over", "3.0", "amd64", "gone"), &[]);
        self.include(
            &self.samples.binary(&Binary {
                name: "hello-udeb",
                version: "1.0",
                architecture: "amd64",
                source: "hello",
                section: "debian-installer",
            }),
            &[],
        );
        self.reprepro(&["gensnapshot", DIST, SNAPSHOTS[1]]);
        self.reprepro(&["copysrc", &format!("{DIST}-rollback0"), DIST, "hello"]);
        self.hello("2.0");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(["archive", "--home"])
            .arg(self.home.path())
            .args(words);
        command
    }

    fn archive(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn import_command(&self) -> Command {
        self.command(&["import", self.theirs().to_str().unwrap()])
    }

    /// Imports; what it says on standard output.
    fn import(&self) -> String {
        run(&mut self.import_command())
    }

    /// Imports with a fault; what it says on standard error.
    fn faulty(&self) -> String {
        let output = self.import_command().output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Both repositories show the same to a client, dists and snapshots.
    fn compare(&self, dists: &[String]) {
        for dist in dists {
            let theirs = seen(&self.theirs(), dist);
            assert_eq!(seen(&self.ours(), dist), theirs, "{dist}");
            assert!(!theirs.is_empty(), "{dist}");
        }
    }
}

fn distributions(repository: &str) -> String {
    ["", "-rollback0", "-rollback1"]
        .map(|rollback| {
            let name = format!("trixie-{repository}-unstable{rollback}");
            format!(
                "Codename: {name}\nSuite: {name}\nLabel: {name}\nAlsoAcceptFor: \n\
                 Origin: Mini-Buildd archive ident on buildd.test\n\
                 Components: main contrib non-free non-free-firmware\n\
                 UDebComponents: main contrib non-free non-free-firmware\n\
                 Architectures: source amd64\nDescription: {name}\nNotAutomatic: yes\n\
                 ButAutomaticUpgrades: no\nDebIndices: Packages Release . .gz .xz\n\
                 DscIndices: Sources Release . .gz .xz\nContents: .gz\n\n"
            )
        })
        .concat()
}

fn all() -> Vec<String> {
    let snapshots = SNAPSHOTS.map(|name| format!("{DIST}/snapshots/{name}"));
    let dists = [DIST.to_owned(), format!("{DIST}-rollback0")];
    [&dists[..], &snapshots[..]].concat()
}

/// `NAME VERSION ARCHITECTURE SOURCE` and the digests of the files, which are in the pool, by index.
fn seen(root: &Path, dist: &str) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeMap::new();
    for component in ["main", "contrib", "non-free", "non-free-firmware"] {
        for index in [
            "source/Sources",
            "binary-amd64/Packages",
            "debian-installer/binary-amd64/Packages",
        ] {
            let path = format!("{component}/{index}");
            let text = fs::read_to_string(root.join("dists").join(dist).join(&path)).unwrap();
            let stanzas = Paragraph::parse_all(&text).unwrap();
            let mut packages: Vec<String> =
                stanzas.iter().map(|stanza| package(root, stanza)).collect();
            packages.sort();
            if !packages.is_empty() {
                seen.insert(path, packages);
            }
        }
    }
    seen
}

fn package(root: &Path, stanza: &Paragraph) -> String {
    let field = |name| stanza.get(name).unwrap_or("-");
    let mut files: Vec<(String, String)> = match stanza.get("Directory") {
        Some(directory) => field("Checksums-Sha256")
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect())
            .map(|words: Vec<&str>| (format!("{directory}/{}", words[2]), words[0].into()))
            .collect(),
        None => vec![(field("Filename").into(), field("SHA256").into())],
    };
    files.sort();
    for (path, sha256) in &files {
        let mut file = fs::File::open(root.join(path)).unwrap();
        assert_eq!(Checksums::of(&mut file).unwrap().sha256, *sha256, "{path}");
    }
    let words = ["Package", "Version", "Architecture", "Source"].map(field);
    format!("{} {files:?}", words.join(" "))
}

#[test]
fn dists_rollbacks_and_snapshots_are_those_of_reprepro() {
    let import = Import::new();
    import.fill();
    let planned = run(import.import_command().arg("--dry-run"));
    assert_eq!(
        planned,
        format!("{DIST}: 7 packages, 2 snapshots\n{DIST}-rollback0: 4 packages, 0 snapshots\n")
    );
    assert!(!import.ours().join("pool").exists());

    assert_eq!(import.import(), planned);
    import.compare(&all());
    let snapshots = import.archive(&["snapshot", "ls", DIST]);
    let snapshots = String::from_utf8(snapshots.stdout).unwrap();
    assert!(
        SNAPSHOTS.iter().all(|name| snapshots.contains(name)),
        "{snapshots}"
    );

    let released = fs::read(import.ours().join("dists").join(DIST).join("InRelease")).unwrap();
    assert_eq!(
        import.import(),
        format!("{DIST}: 0 packages, 0 snapshots\n{DIST}-rollback0: 0 packages, 0 snapshots\n")
    );
    let again = fs::read(import.ours().join("dists").join(DIST).join("InRelease")).unwrap();
    assert!(again == released);
}

#[test]
fn packages_without_their_source_go_with_the_next_version() {
    let import = Import::new();
    import.fill();
    import.import();
    let dsc = import.samples.source("gone", "4.0~test13+1", "misc");
    let deb = import.binary("left-over", "4.0~test13+1", "amd64", "gone");
    let files = [&dsc, &deb].map(|file| file.to_str().unwrap());
    run(&mut import.command(&["include", DIST, files[0], files[1]]));
    let versions = |dist: &str| {
        let seen = seen(&import.ours(), dist);
        let packages = &seen["main/binary-amd64/Packages"];
        let of = packages
            .iter()
            .filter(|package| package.starts_with("left-over "));
        of.map(|package| package.split(' ').nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(versions(DIST), ["4.0~test13+1"]);
    assert_eq!(versions(&format!("{DIST}-rollback0")), ["3.0"]);
}

#[test]
fn what_is_there_otherwise_stays() {
    let import = Import::new();
    import.hello("1.0");
    let newer = import.samples.source("hello", "3.0~test13+1", "misc");
    run(&mut import.command(&["include", DIST, newer.to_str().unwrap()]));
    assert_eq!(
        import.import(),
        format!("{DIST}: 0 packages, 0 snapshots\n{DIST}: has another hello, which stays\n")
    );
    let sources = &seen(&import.ours(), DIST)["main/source/Sources"];
    assert!(
        sources.len() == 1 && sources[0].starts_with("hello 3.0~test13+1 "),
        "{sources:?}"
    );
}

#[test]
fn faulty_file_is_named_and_the_rest_goes_on() {
    let import = Import::new();
    import.fill();
    let file = import
        .theirs()
        .join("pool/main/h/hello/hello-data_2.0_all.deb");
    let content = fs::read(&file).unwrap();
    let mut damaged = content.clone();
    *damaged.last_mut().unwrap() ^= 1;
    // Another file, as this one may be linked.
    let replace = |content: &[u8]| {
        fs::remove_file(&file).unwrap();
        fs::write(&file, content).unwrap();
    };
    replace(&damaged);
    let said = import.faulty();
    assert!(said.contains("hello-data_2.0_all.deb"), "{said}");
    assert!(said.contains("1 left out; to go on"), "{said}");
    // Nothing of hello 2.0, all of the rest.
    let ours = seen(&import.ours(), DIST);
    assert_eq!(ours.get("main/source/Sources"), None);
    assert_eq!(ours["contrib/source/Sources"].len(), 1);
    import.compare(&all()[1..]);

    replace(&content);
    assert!(
        import
            .import()
            .contains(&format!("{DIST}: 4 packages, 0 snapshots\n"))
    );
    import.compare(&all());
}

#[test]
fn index_that_differs_from_release_and_control_that_differs_from_the_index_are_refused() {
    let import = Import::new();
    import.fill();
    // A package of another name under this one's.
    let file = import
        .theirs()
        .join("pool/main/g/gone/left-over_3.0_amd64.deb");
    let other = import.binary("other", "3.0", "amd64", "gone");
    let index = import
        .theirs()
        .join("dists")
        .join(DIST)
        .join("main/binary-amd64/Packages");
    let sums = |path: &Path| Checksums::of(&mut fs::File::open(path).unwrap()).unwrap();
    let (was, is) = (sums(&file), sums(&other));
    fs::remove_file(&file).unwrap();
    fs::copy(&other, &file).unwrap();
    let rewrite = |path: &Path, pairs: &[(String, String)]| {
        let mut text = fs::read_to_string(path).unwrap();
        for (from, to) in pairs {
            text = text.replace(from, to);
        }
        fs::write(path, text).unwrap();
    };
    let listed = sums(&index);
    rewrite(
        &index,
        &[
            (was.md5, is.md5),
            (was.sha1, is.sha1),
            (was.sha256, is.sha256),
            (
                format!("Size: {}\n", was.size),
                format!("Size: {}\n", is.size),
            ),
        ],
    );
    let said = import.faulty();
    assert!(
        said.contains("Packages: has other content than Release says"),
        "{said}"
    );

    let release = import.theirs().join("dists").join(DIST).join("Release");
    let now = sums(&index);
    let line = |sums: &Checksums, digest: &str| {
        format!("{digest} {} main/binary-amd64/Packages\n", sums.size)
    };
    rewrite(
        &release,
        &[(line(&listed, &listed.sha256), line(&now, &now.sha256))],
    );
    let said = import.faulty();
    assert!(
        said.contains("left-over_3.0_amd64.deb") && said.contains("other_3.0_amd64.deb"),
        "{said}"
    );
}

#[test]
fn dist_that_there_is_not_is_named_with_the_way_to_it() {
    let import = Import::new();
    fs::write(
        import.theirs().join("conf/distributions"),
        distributions("old"),
    )
    .unwrap();
    let dsc = import.samples.source("hello", "1.0", "misc");
    import.reprepro(&["--delete", "clearvanished"]);
    import.reprepro(&["includedsc", "trixie-old-unstable", dsc.to_str().unwrap()]);
    let said = import.faulty();
    assert!(
        said.contains("there is no distribution trixie-old-unstable; make it with: mini-buildd repository add old"),
        "{said}"
    );
    let said = run(import.import_command().args(["--repository", "test"]));
    assert_eq!(said, format!("{DIST}: 1 packages, 0 snapshots\n"));
    let own = import.archive(&["import", import.ours().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&own.stderr).into_owned();
    assert!(
        said.contains("is the repository that it would be imported into"),
        "{said}"
    );
}

#[test]
fn import_that_was_killed_goes_on() {
    let import = Import::new();
    import.fill();
    let ours = import.ours();
    let is_begun = |name: &str| {
        let entries = fs::read_dir(&ours).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name())
            .any(|entry| entry.to_string_lossy().starts_with(name))
    };
    for name in [".prepare-", "pool", ".publish", ".state-"] {
        let mut child = import
            .import_command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while !is_begun(name) && child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "{name}");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    import.import();
    import.compare(&all());
}
