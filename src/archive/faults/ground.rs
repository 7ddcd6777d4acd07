//! What is done at each point, and what must hold after it.
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use tempfile::TempDir;

use crate::archive::client::{Client, names};
use crate::archive::fixture::{self, Fixture, ROLLBACKS, diststr, key, settings};
use crate::archive::sample::run;
use crate::archive::{ArchiveDir, Error, Installation, Prepared};
use crate::fault;
use crate::pgp::{SigningKey, SigningKeys};
use crate::store::Store;

/// What the dist and its rollbacks have.
pub(super) const OLD: [&str; 3] = ["hello 3", "hello 2", "hello 1"];
pub(super) const NEW: [&str; 3] = ["hello 4", "hello 3", "hello 2"];

/// A repository, not open, in which the old state is published; the next version waits beside it.
pub(super) struct Ground(TempDir);

impl Ground {
    pub(super) fn new() -> Ground {
        let fixture = Fixture::new();
        for hour in 1..=3 {
            fixture.install("hello", &hour.to_string()).unwrap();
            fixture.publish(Timestamp::now() - (10 - hour).hours());
        }
        fixture.package("hello", "4");
        key()
            .save(&fixture.directory.path().join("key.asc"))
            .unwrap();
        let armored = fixture.directory.path().join("public.asc");
        fs::write(&armored, key().public_armored()).unwrap();
        run(Command::new("gpg")
            .args(["--batch", "--dearmor", "--output"])
            .arg(fixture.directory.path().join("keyring.gpg"))
            .arg(armored));
        let Fixture { directory, .. } = fixture;
        Ground(directory)
    }

    /// Makes a copy in a directory that is not there yet.
    pub(super) fn copy_to(&self, directory: &Path) {
        run(Command::new("cp")
            .arg("-a")
            .arg(self.0.path())
            .arg(directory));
    }

    pub(super) fn copy(&self) -> TempDir {
        // In memory: what is on a disk is another test's matter.
        let copy = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::remove_dir(copy.path()).unwrap();
        self.copy_to(copy.path());
        copy
    }

    /// The points of the whole job, and the clients' view after it.
    pub(super) fn survey(&self) -> (Vec<(&'static str, PathBuf)>, Outcome) {
        let copy = self.copy();
        let points = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&points);
        let note = move |action, path: &Path| {
            noted.borrow_mut().push((action, path.to_owned()));
            Ok(())
        };
        let mut job = Job::open(copy.path());
        fault::during(note, || job.run()).unwrap();
        assert_eq!(seen(copy.path()), NEW);
        (points.take(), job.outcome())
    }
}

/// The new version takes the place of the old one, which moves into the rollbacks; published; what is old is cleaned.
pub(super) struct Job {
    directory: PathBuf,
    store: Arc<Store>,
    archive: ArchiveDir,
    keys: SigningKeys,
    prepared: Option<Prepared>,
}

pub(super) type Call = fn(&mut Job) -> Result<(), Error>;

/// All that is to be the same whatever happened on the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    clients: Vec<Client>,
    files: Vec<PathBuf>,
}

impl Job {
    pub(super) const CALLS: [Call; 4] = [Job::prepare, Job::install, Job::publish, Job::clean];

    pub(super) fn open(directory: &Path) -> Job {
        let (store, archive) = fixture::open(directory);
        Job {
            keys: SigningKey::load(&directory.join("key.asc")).unwrap().into(),
            directory: directory.to_owned(),
            store,
            archive,
            prepared: None,
        }
    }

    pub(super) fn run(&mut self) -> Result<(), Error> {
        Job::CALLS.iter().try_for_each(|call| call(self))
    }

    fn prepare(&mut self) -> Result<(), Error> {
        let samples = self.directory.join("samples");
        self.prepared = Some(self.archive.prepare(&Installation {
            dsc: samples.join("hello_4.dsc"),
            binaries: vec![samples.join("hello_4_amd64.deb")],
            listed: Vec::new(),
            directories: vec![samples],
        })?);
        Ok(())
    }

    fn install(&mut self) -> Result<(), Error> {
        let prepared = self.prepared.as_ref().expect("it was prepared");
        self.store
            .write(|tx| self.archive.install(tx, prepared, &diststr(), ROLLBACKS))
            .map(drop)
    }

    fn publish(&mut self) -> Result<(), Error> {
        self.archive.publish(&self.keys, Timestamp::now())?;
        Ok(())
    }

    fn clean(&mut self) -> Result<(), Error> {
        self.archive.clean(Timestamp::now())
    }

    /// Cleans up as after days.
    fn outcome(&self) -> Outcome {
        self.archive.clean(Timestamp::now() + 48.hours()).unwrap();
        let root = self.archive.directory();
        // Nothing is left beside pool and dists.
        assert_eq!(names(root), ["dists", "pool"]);
        let mut files = Vec::new();
        list(root, Path::new(""), &mut files);
        Outcome {
            clients: dists().iter().map(|dist| client(root, dist)).collect(),
            files,
        }
    }
}

fn list(root: &Path, below: &Path, files: &mut Vec<PathBuf>) {
    for name in names(&root.join(below)) {
        let path = below.join(name);
        if root.join(&path).is_dir() {
            list(root, &path, files);
        } else {
            files.push(path);
        }
    }
}

fn dists() -> Vec<String> {
    settings()
        .iter()
        .map(|settings| settings.diststr.to_string())
        .collect()
}

fn client(root: &Path, dist: &str) -> Client {
    Client::read(root, dist).unwrap_or_else(|fault| panic!("{dist}: {fault}"))
}

/// What clients find in the dist and its rollbacks; panics where anything does not fit.
pub(super) fn seen(directory: &Path) -> Vec<String> {
    let root = directory.join("test");
    dists()
        .iter()
        .map(|dist| {
            let packages = client(&root, dist).packages;
            let [source, binary] = ["main/source/Sources.gz", "main/binary-amd64/Packages.xz"]
                .map(|path| packages[path].join(", "));
            assert_eq!(source, binary, "{dist}");
            binary
        })
        .collect()
}

/// Each dist is the old or the new one as a whole; together they need not change.
pub(super) fn check_old_or_new(directory: &Path) {
    for (number, seen) in seen(directory).iter().enumerate() {
        assert!(
            [OLD[number], NEW[number]].contains(&seen.as_str()),
            "{seen}"
        );
    }
}

/// gpg's own verifier accepts InRelease, and with `pairs` also Release.gpg.
pub(super) fn check_signatures(directory: &Path, pairs: bool) {
    for dist in dists() {
        let dist = directory.join("test/dists").join(dist);
        let pair = pairs.then_some(["Release.gpg", "Release"]);
        for files in [&["InRelease"][..]]
            .into_iter()
            .chain(pair.as_ref().map(|pair| &pair[..]))
        {
            run(Command::new("gpgv")
                .arg("--keyring")
                .arg(directory.join("keyring.gpg"))
                .args(files.iter().map(|file| dist.join(file))));
        }
    }
}

/// Starts again, which finishes what was begun, and does the same job again.
///
/// All of an installation or nothing is there after the start: returns which.
pub(super) fn finish(directory: &Path, expected: &Outcome) -> &'static [&'static str; 3] {
    let mut job = Job::open(directory);
    job.publish().unwrap();
    job.clean().unwrap();
    let seen_then = seen(directory);
    let state = if seen_then == OLD { &OLD } else { &NEW };
    assert_eq!(seen_then, state);
    job.run().unwrap();
    assert_eq!(seen(directory), NEW);
    for dist in dists() {
        let root = job.archive.directory();
        client(root, &dist).check_plain(root, &dist);
    }
    assert_eq!(job.outcome(), *expected);
    state
}
