//! A file system that is really full, so that SQLite's own files are refused space too.
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::cause::with_causes;

use super::chosen;
use super::file_system::{Kind, is_among_own_mounts};
use super::ground::{Ground, Job, NEW, check_old_or_new, finish, seen};

const SMALL: Kind = Kind {
    make: &["mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-J", "size=4"],
    options: "noatime",
    size: "24M",
};
const KIBIBYTE: usize = 1 << 10;

/// Takes all space but so much.
fn fill(filler: &Path, left: usize) {
    let mut file = File::create(filler).unwrap();
    while file.write_all(&[0; KIBIBYTE]).is_ok() {}
    file.sync_all().unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub((left * KIBIBYTE) as u64))
        .unwrap();
    file.sync_all().unwrap();
}

fn a_full_disk_is_named_and_loses_nothing() {
    let ground = Ground::new();
    let (_, expected) = ground.survey();
    let scratch = tempfile::tempdir().unwrap();
    let image = scratch.path().join("image");
    SMALL.make(&image);
    let mounted = SMALL.mount(&image, scratch.path().join("mounted"));
    let filler = mounted.path().join("filler");
    let mut failed = [0; Job::CALLS.len()];
    for left in chosen(1000, 125) {
        let directory = mounted.path().join("ground");
        ground.copy_to(&directory);
        let mut job = Job::open(&directory);
        fill(&filler, left);
        let mut refused = None;
        for (number, call) in Job::CALLS.iter().enumerate() {
            if let Err(error) = call(&mut job) {
                let text = with_causes(&error);
                let faults = ["No space left on device", "database or disk is full"];
                assert!(faults.iter().any(|fault| text.contains(fault)), "{text}");
                check_old_or_new(&directory);
                fs::remove_file(&filler).unwrap();
                call(&mut job).unwrap();
                refused = Some(number);
            }
        }
        assert_eq!(seen(&directory), NEW);
        drop(job);
        let Some(number) = refused else {
            let [prepare, install, publish, _] = failed;
            assert!(prepare > 0 && install > 0 && publish > 0, "{failed:?}");
            return;
        };
        failed[number] += 1;
        finish(&directory, &expected);
        fs::remove_dir_all(&directory).unwrap();
    }
    panic!("no space is enough");
}

#[test]
fn full_disk_is_named_loses_nothing_and_goes_on_when_there_is_space() {
    if is_among_own_mounts(
        "archive::faults::full_disk::full_disk_is_named_loses_nothing_and_goes_on_when_there_is_space",
    ) {
        a_full_disk_is_named_and_loses_nothing();
    }
}
