//! Readers beside a writer never see half a publication.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::thread;

use jiff::{SignedDuration, Timestamp};
use mini_buildd::pgp::Keyring;

use crate::client::Client;
use crate::private_apt::Apt;
use crate::repository::{DIST, Repository, architectures};
use crate::sample::Binary;
use crate::server::Server;

const FAST_READERS: usize = 2;
const SLOW_READERS: usize = 4;
/// Publications that a slow reader lets pass between InRelease and the indices, at most: what a writer without a pause
/// does in two seconds.
const PATIENCE: usize = 10;
/// Publications of two hours ago, which the clean-up takes away beside the readers.
const OLD: u32 = 5;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    publications: usize,
    fast_reads: usize,
    slow_reads: usize,
    updates: usize,
}

/// What is to be reached before all end.
fn goal() -> Counts {
    let is_long = std::env::var_os("MINI_BUILDD_TEST_LONG").is_some();
    let [fast_reads, slow_reads, updates] = if is_long {
        [10_000, 200, 200]
    } else {
        [500, 10, 10]
    };
    Counts {
        publications: 0,
        fast_reads,
        slow_reads,
        updates,
    }
}

/// What writer and readers tell each other.
struct Progress {
    goal: Counts,
    state: Mutex<(Counts, Vec<String>)>,
    changed: Condvar,
}

impl Progress {
    fn is_over(&self, (counts, faults): &(Counts, Vec<String>)) -> bool {
        let is_read = counts.fast_reads >= self.goal.fast_reads
            && counts.slow_reads >= self.goal.slow_reads
            && counts.updates >= self.goal.updates;
        is_read || !faults.is_empty()
    }

    /// Does it again and again until all is reached or anything has failed.
    fn repeat(
        &self,
        count: fn(&mut Counts) -> &mut usize,
        mut work: impl FnMut(usize) -> Result<(), String>,
    ) {
        let _told = ToldPanic(self);
        for number in 0.. {
            let result = work(number);
            let mut state = self.state.lock().unwrap();
            match result {
                Ok(()) => *count(&mut state.0) += 1,
                Err(fault) => state.1.push(fault),
            }
            let is_over = self.is_over(&state);
            drop(state);
            self.changed.notify_all();
            if is_over {
                break;
            }
        }
    }

    /// Waits for so many more publications.
    fn let_pass(&self, publications: usize) {
        let state = self.state.lock().unwrap();
        let last = state.0.publications + publications;
        let waiting = self.changed.wait_while(state, |state| {
            state.0.publications < last && !self.is_over(state)
        });
        drop(waiting.unwrap());
    }
}

/// Ends the others when its thread panics.
struct ToldPanic<'a>(&'a Progress);

impl Drop for ToldPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut state = self.0.state.lock().unwrap();
            state.1.push("a thread panicked".to_owned());
            drop(state);
            self.0.changed.notify_all();
        }
    }
}

/// Makes and adds versions of hello faster than dpkg-source could.
struct Writer<'a> {
    repository: &'a Repository,
    /// Of version 0.
    dsc: String,
    tarball: PathBuf,
}

impl Writer<'_> {
    fn new(repository: &Repository) -> Writer<'_> {
        let dsc = repository.samples.source("hello", "0", "misc");
        Writer {
            repository,
            dsc: fs::read_to_string(&dsc).unwrap(),
            tarball: dsc.with_extension("tar.gz"),
        }
    }

    fn add(&self, number: usize) {
        let samples = &self.repository.samples;
        let version = &number.to_string();
        let dsc = samples.directory.join(format!("hello_{version}.dsc"));
        let text = self.dsc.replace("hello_0", &format!("hello_{version}"));
        let text = text.replace("\nVersion: 0\n", &format!("\nVersion: {version}\n"));
        fs::write(&dsc, text).unwrap();
        fs::copy(&self.tarball, dsc.with_extension("tar.gz")).unwrap();
        let binary = |name, architecture, section| {
            samples.binary(&Binary {
                name,
                version,
                architecture,
                source: "hello",
                section,
            })
        };
        let own = architectures()[0];
        let binaries = vec![
            binary("hello", own, "misc"),
            binary("hello-data", "all", "contrib/doc"),
            binary("hello-udeb", own, "debian-installer"),
        ];
        self.repository.add(&dsc, binaries);
    }
}

#[test]
fn readers_beside_a_writer_see_whole_publications_only() {
    let repository = Repository::new();
    let writer = Writer::new(&repository);
    let hours_ago = Timestamp::now() - SignedDuration::from_hours(2);
    let index = format!("main/binary-{}/Packages.gz", architectures()[0]);
    let mut old = Vec::new();
    for number in 1..=OLD {
        writer.add(number as usize);
        repository.publish_at(hours_ago + SignedDuration::from_secs(number.into()));
        let by_hash = Path::new(&index).with_file_name("by-hash/SHA256");
        old.push(by_hash.join(&repository.listed()[&index]));
    }
    let is_there = |path: &PathBuf| repository.dist().join(path).exists();
    assert!(old.iter().all(is_there));

    let server = Server::start(&repository.home);
    let mut keyring = Keyring::default();
    keyring
        .add(repository.key.public_armored().as_bytes())
        .unwrap();
    let client = Client {
        address: server.address,
        dist: DIST,
        keyring,
    };
    let apt = Apt::new(&repository, &server.url());
    let progress = Progress {
        goal: goal(),
        state: Mutex::default(),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 0..FAST_READERS {
            scope.spawn(|| {
                progress.repeat(
                    |counts| &mut counts.fast_reads,
                    |number| client.read(number, || ()),
                );
            });
        }
        for reader in 0..SLOW_READERS {
            let (progress, client) = (&progress, &client);
            scope.spawn(move || {
                progress.repeat(
                    |counts| &mut counts.slow_reads,
                    |number| {
                        let patience = 1 + (reader + SLOW_READERS * number) % PATIENCE;
                        client.read(number, || progress.let_pass(patience))
                    },
                );
            });
        }
        scope.spawn(|| progress.repeat(|counts| &mut counts.updates, |_| apt.try_update(&[])));
        progress.repeat(
            |counts| &mut counts.publications,
            |number| {
                writer.add(OLD as usize + 1 + number);
                repository.publish_at(Timestamp::now());
                repository
                    .archive
                    .clean(Timestamp::now())
                    .map_err(|error| error.to_string())
            },
        );
    });
    let (counts, faults) = progress.state.into_inner().unwrap();
    assert_eq!(faults, [""; 0], "{counts:?}");
    eprintln!("{counts:?}");
    // apt would try the plain name then.
    assert_eq!(server.missing(), []);
    // The last of them is one of the three generations that stay, or not an hour out of use.
    assert!(!old[..old.len() - 1].iter().any(is_there));
}
