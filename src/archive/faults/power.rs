//! The power goes: what was not synced is lost.
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use crate::archive::sample::run;
use crate::fault;

use super::chosen;
use super::file_system::{Kind, Mounted, is_among_own_mounts};
use super::ground::{Ground, Job, NEW, OLD, Outcome, check_old_or_new, finish, seen};
use super::refused::{Refusal, run_refused};

/// Without what ext4 does of its own accord for programs that don't sync (ext4(5)).
const EXT4: Kind = Kind {
    make: &["mkfs.ext4", "-q", "-J", "size=4"],
    options: "noauto_da_alloc,commit=300,data=writeback",
    size: "64M",
};
const BTRFS: Kind = Kind {
    make: &["mkfs.btrfs", "--quiet", "--metadata", "single"],
    options: "commit=300",
    size: "128M",
};

/// A file system whose image, read beside it, has what reached the disk.
struct Disk {
    kind: Kind,
    scratch: tempfile::TempDir,
    mounted: Mounted,
}

impl Disk {
    fn new(kind: Kind) -> Disk {
        let scratch = tempfile::tempdir().unwrap();
        let image = scratch.path().join("image");
        kind.make(&image);
        Disk {
            mounted: kind.mount(&image, scratch.path().join("mounted")),
            kind,
            scratch,
        }
    }

    fn sync(&self) {
        rustix::fs::syncfs(File::open(self.mounted.path()).unwrap()).unwrap();
    }

    /// What is left if the power goes now.
    fn lose_power(&self, number: usize) -> PathBuf {
        let image = self.scratch.path().join(format!("lost-{number}"));
        run(Command::new("cp")
            .arg("--sparse=always")
            .arg(self.scratch.path().join("image"))
            .arg(&image));
        image
    }
}

/// How far the job was when the power went.
struct Loss {
    image: PathBuf,
    answered: usize,
}

/// Mounts each in turn after the disk: btrfs takes copies of one file system for one (btrfs(5)).
fn after_each(disk: Disk, losses: Vec<Loss>, check: impl Fn(&Path, usize)) {
    let Disk {
        kind,
        scratch,
        mounted,
    } = disk;
    drop(mounted);
    for Loss { image, answered } in losses {
        let mounted = kind.mount(&image, scratch.path().join("after"));
        check(mounted.path(), answered);
        drop(mounted);
        fs::remove_file(image).unwrap();
    }
}

/// The injector itself.
fn only_what_was_synced_survives(kind: Kind) {
    let disk = Disk::new(kind);
    let path = |name| disk.mounted.path().join(name);
    disk.sync();
    for name in ["synced", "lost"] {
        let mut file = File::create(path(name)).unwrap();
        file.write_all(name.as_bytes()).unwrap();
        if name == "synced" {
            file.sync_all().unwrap();
            File::open(disk.mounted.path()).unwrap().sync_all().unwrap();
        }
    }
    let image = disk.lose_power(0);
    after_each(disk, vec![Loss { image, answered: 0 }], |left, _| {
        assert_eq!(fs::read_to_string(left.join("synced")).unwrap(), "synced");
        assert!(!left.join("lost").exists());
    });
}

fn check_loss(directory: &Path, answered: usize, expected: &Outcome) {
    check_old_or_new(directory);
    if answered >= 3 {
        assert_eq!(seen(directory), NEW);
    }
    let state = finish(directory, expected);
    match answered {
        0 => assert_eq!(state, &OLD),
        // The commit may have reached the disk before its answer.
        1 => {}
        _ => assert_eq!(state, &NEW),
    }
}

fn at_any_point_nothing_answered_is_lost(kind: Kind, few: usize) {
    let ground = Ground::new();
    let (points, expected) = ground.survey();
    let disk = Rc::new(Disk::new(kind));
    let directory = disk.mounted.path().join("ground");
    ground.copy_to(&directory);
    disk.sync();

    let losses = Rc::new(RefCell::new(Vec::new()));
    let answered = Rc::new(Cell::new(0));
    let mut number = 0;
    let mut wanted = chosen(points.len(), few).peekable();
    let mut job = Job::open(&directory);
    let lose = {
        let (disk, losses, answered) = (disk.clone(), losses.clone(), answered.clone());
        move |_, _: &Path| {
            number += 1;
            if wanted.next_if_eq(&number).is_some() {
                losses.borrow_mut().push(Loss {
                    image: disk.lose_power(number),
                    answered: answered.get(),
                });
            }
            Ok(())
        }
    };
    fault::during(lose, || {
        for call in Job::CALLS {
            call(&mut job).unwrap();
            answered.set(answered.get() + 1);
        }
    });
    losses.borrow_mut().push(Loss {
        image: disk.lose_power(0),
        answered: answered.get(),
    });
    drop(job);
    let disk = Rc::into_inner(disk).expect("the hook has gone");
    let losses = losses.take();
    assert!(losses.len() > 10);
    after_each(disk, losses, |left, answered| {
        check_loss(&left.join("ground"), answered, &expected);
    });
}

/// What a first try left behind, and a second one finds, may not be taken for safe.
fn after_a_second_try_nothing_answered_is_lost(kind: Kind, few: usize) {
    let ground = Ground::new();
    let (points, expected) = ground.survey();
    for point in chosen(points.len(), few) {
        let disk = Disk::new(kind);
        let directory = disk.mounted.path().join("ground");
        ground.copy_to(&directory);
        disk.sync();
        run_refused(&directory, point, Refusal::InputOutput);
        let image = disk.lose_power(0);
        let (action, path) = &points[point - 1];
        eprintln!("first {action} {} failed", path.display());
        after_each(disk, vec![Loss { image, answered: 3 }], |left, answered| {
            check_loss(&left.join("ground"), answered, &expected);
        });
    }
}

#[test]
fn ext4_without_power_at_any_point_loses_nothing_that_was_answered() {
    if is_among_own_mounts(
        "archive::faults::power::ext4_without_power_at_any_point_loses_nothing_that_was_answered",
    ) {
        only_what_was_synced_survives(EXT4);
        at_any_point_nothing_answered_is_lost(EXT4, 60);
        after_a_second_try_nothing_answered_is_lost(EXT4, 10);
    }
}

#[test]
fn btrfs_without_power_at_any_point_loses_nothing_that_was_answered() {
    if is_among_own_mounts(
        "archive::faults::power::btrfs_without_power_at_any_point_loses_nothing_that_was_answered",
    ) {
        only_what_was_synced_survives(BTRFS);
        at_any_point_nothing_answered_is_lost(BTRFS, 30);
        after_a_second_try_nothing_answered_is_lost(BTRFS, 30);
    }
}
