//! A home on a file system that is too small.
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use mini_buildd::home::Home;
use mini_buildd::model::EventType;

use crate::base::Base;
use crate::buildd::Buildd;
use crate::packager::run;
use crate::small_source::SmallSource;

const MEBIBYTE: usize = 1 << 20;

/// A mounted tmpfs.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(directory: PathBuf) -> SmallDisk {
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs"])
            .arg(&directory));
        SmallDisk(directory)
    }

    /// Leaves about so much space.
    fn fill(&self, left: usize) {
        let mut filler = File::create(self.filler()).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub(left as u64)).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The daemon has ended; what is left is unmounted when its last file is closed.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// An instance that is moved to a small disk; chroots and sessions stay elsewhere, as they don't fit.
fn instance(disk: &SmallDisk) -> Buildd {
    let mut buildd = Buildd::made(Base::get().home("full-disk-made"));
    let home = Home::new(&disk.0);
    run(Command::new("cp")
        .arg("--archive")
        .arg(buildd.home.root().join("."))
        .arg(&disk.0));
    for (place, elsewhere) in [
        (home.sessions(), buildd.home.sessions()),
        (home.trash(), buildd.home.trash()),
    ] {
        fs::remove_dir_all(&place).unwrap();
        symlink(elsewhere, place).unwrap();
    }
    buildd.home = home;
    buildd.start();
    buildd
}

#[test]
fn full_disk_refuses_uploads_and_loses_nothing() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small file system");
        return;
    }
    let base = Base::get();
    let work = base.directory("full-disk-work");
    let disk = SmallDisk::mount(base.directory("full-disk"));
    let mut buildd = instance(&disk);
    let sources = ["mbd-before", "mbd-refused", "mbd-unbuilt", "mbd-after"];
    let uploads = sources.map(|name| {
        let source = SmallSource {
            name,
            // The first one leaves nothing that is deleted later.
            ballast: if name == sources[0] { 0 } else { MEBIBYTE },
            ..SmallSource::default()
        };
        let tree = source.write(&work);
        let version = format!("1.0{}", buildd.suffix);
        buildd.uploader.build_source(&tree, &version, &buildd.dist)
    });
    buildd.curl(&uploads[0]);
    buildd.ended(sources[0], EventType::Installed);

    disk.fill(MEBIBYTE / 2);
    let refused = buildd.try_curl(&uploads[1]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert!(said.contains("452"), "{said}");
    assert!(buildd.api("status").contains("\"identity\": \"proof\""));
    assert_eq!(buildd.events(sources[1]), []);

    // Enough to take it, too little to build it.
    disk.fill(5 * MEBIBYTE / 2);
    buildd.curl(&uploads[2]);
    buildd.wait("the log names the fault", |buildd| {
        let log = buildd.daemon_log();
        let faults = ["No space left", "disk is full"];
        faults.iter().any(|fault| log.contains(fault)).then_some(())
    });
    disk.free();
    buildd.ended(sources[2], EventType::Installed);
    for number in [1, 3] {
        buildd.curl(&uploads[number]);
        buildd.ended(sources[number], EventType::Installed);
    }
    for source in sources {
        assert_eq!(buildd.versions(source).len(), 1, "{source}");
    }
}
