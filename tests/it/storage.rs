//! The whole way, from upload to apt, on each kind of storage that is not the default.
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox::{IdMap, Launcher};

use crate::base::{keep, new_directory};
use crate::program::program;
use crate::slow;

/// Runs the demo with its home below `parent`; what it said.
fn demo(parent: &Path, backend: &str) -> String {
    let launcher = Launcher {
        helper: program(),
        ids: IdMap::of_caller().unwrap(),
    };
    let directory = new_directory(parent);
    let keeper = keep(&launcher, &directory);
    let home = directory.join("home");
    let output = Command::new(program())
        .args(["demo", "--json", "--backend", backend, "--home"])
        .arg(&home)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    // It removes the directory; the next test may begin meanwhile.
    drop(keeper);
    said
}

fn temporary() -> PathBuf {
    // Not /tmp: it may be memory.
    std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from)
}

#[test]
fn demo_goes_the_whole_way_on_tar_archives() {
    if slow::is_left_to_the_user() {
        return;
    }
    let said = demo(&temporary(), "file");
    assert!(said.contains("file (zstd)"), "{said}");
}

#[test]
fn demo_goes_the_whole_way_on_btrfs() {
    let variable = "MINI_BUILDD_TEST_BTRFS";
    let Some(directory) = std::env::var_os(variable) else {
        let is_root = rustix::process::geteuid().is_root();
        assert!(
            !is_root,
            "{variable} names no directory on btrfs: run tests/run"
        );
        eprintln!("not tried: {variable} names no directory on btrfs; tests/run makes one as root");
        return;
    };
    let said = demo(Path::new(&directory), "btrfs");
    assert!(said.contains("btrfs: as wanted"), "{said}");
}

#[test]
fn backend_that_can_not_work_is_refused_with_the_remedy() {
    let shared_memory = new_directory(Path::new("/dev/shm"));
    let output = Command::new(program())
        .args(["up", "--no-start", "--backend=btrfs", "--home"])
        .arg(shared_memory.join("home"))
        .output()
        .unwrap();
    std::fs::remove_dir_all(&shared_memory).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("is not on btrfs"), "{said}");
    assert!(said.contains("mkfs.btrfs"), "{said}");
}
