//! A chroot's base is made anew when it is old or no more what it was; builds wait for no more than they must.
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mini_buildd::home::Home;
use mini_buildd::model::{Chroot, EventType};
use mini_buildd::store::{self, Store, items};

use crate::base::Base;
use crate::buildd::Buildd;
use crate::packager::run;
use crate::slow;
use crate::small_source::SmallSource;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Flips a bit in the middle of the file $1, and puts its times back.
const FLIP: &str = r#"
import os, sys
times = os.stat(sys.argv[1])
with open(sys.argv[1], "r+b") as file:
    file.seek(times.st_size // 2)
    byte = file.read(1)[0]
    file.seek(times.st_size // 2)
    file.write(bytes([byte ^ 1]))
os.utime(sys.argv[1], ns=(times.st_atime_ns, times.st_mtime_ns))
"#;

/// An instance whose chroot is a copy of the shared one.
struct Renewed {
    buildd: Buildd,
    /// Where the chroot is.
    chroot: PathBuf,
}

impl Renewed {
    fn new(name: &str) -> Renewed {
        let base = Base::get();
        let home = Home::new(base.directory(name));
        let place = |home: &Home| home.chroot(&base.chroot.codename, &base.chroot.architecture);
        let (original, chroot) = (place(base.chroots.home()), place(&home));
        fs::create_dir_all(&chroot).unwrap();
        let mut copy = base.chroots.storage_command("cp");
        let parts = ["base", "cache", "renewed"].map(|part| original.join(part));
        run(copy.arg("-a").args(parts).arg(&chroot));
        let buildd = Buildd::made(home);
        Renewed { buildd, chroot }
    }

    fn start(&mut self) {
        self.buildd.start();
        // The state that damage is told by.
        let digests = self.chroot.join("base/digests");
        self.buildd
            .wait("digests are noted", |_| digests.exists().then_some(()));
    }

    /// Which base it is.
    fn base(&self) -> u64 {
        fs::metadata(self.chroot.join("base")).unwrap().ino()
    }

    fn file(&self, path: &str) -> PathBuf {
        self.chroot.join("base/tree/root").join(path)
    }

    fn upload(&self, name: &str) {
        let directory = self.buildd.home.root().join(format!("source-{name}"));
        let source = SmallSource {
            name,
            ..SmallSource::default()
        };
        let tree = source.write(&directory);
        let version = format!("1{}1", self.buildd.suffix);
        let uploader = &self.buildd.uploader;
        let changes = uploader.build_source(&tree, &version, &self.buildd.dist);
        self.buildd.dput(&changes);
    }

    fn says(&mut self, text: &str) {
        let what = format!("the daemon says {text:?}");
        self.buildd.wait(&what, |buildd| {
            buildd.daemon_log().contains(text).then_some(())
        });
    }

    fn make_old(&self) {
        let renewed = File::options()
            .append(true)
            .open(self.chroot.join("renewed"));
        let before = SystemTime::now() - 15 * DAY;
        renewed.unwrap().set_modified(before).unwrap();
    }

    /// Gives debootstrap options; with one that it does not know, it fails.
    fn bootstrap_with(&self, options: &[&str]) {
        let options: Vec<String> = options.iter().map(|&option| option.into()).collect();
        let written = self.store().write::<_, store::Error>(|tx| {
            let (mut chroot, status) = items::all::<Chroot>(tx)?.remove(0);
            chroot.debootstrap_extra_options = options;
            items::put(tx, &chroot, status)
        });
        written.unwrap();
    }

    fn store(&self) -> Store {
        Store::open(&self.buildd.home.database()).unwrap()
    }
}

fn as_session_root(program: &str, arguments: &[&str], path: &Path) {
    let base = Base::get();
    let mut command = base.chroots.storage_command(program);
    run(command.args(arguments).arg(path));
}

#[test]
fn build_that_finds_its_base_damaged_goes_on_in_a_new_one() {
    if slow::is_left_to_the_user() {
        return;
    }
    let mut renewed = Renewed::new("renewal-damaged");
    renewed.start();
    let first = renewed.base();
    let program = renewed.file("usr/bin/dpkg");
    let whole = fs::metadata(&program).unwrap().len();
    as_session_root("python3", &["-c", FLIP], &program);
    renewed.upload("mbd-flipped");
    renewed.buildd.ended("mbd-flipped", EventType::Installed);
    assert_ne!(renewed.base(), first);
    assert_eq!(fs::metadata(&program).unwrap().len(), whole);
    renewed.says("renewing the base");
    renewed.says("I: Preparing for builds...");

    // Now a file is gone, and for a while no base can be made.
    let second = renewed.base();
    let digests = renewed.chroot.join("base/digests");
    let noted = |_: &Buildd| digests.exists().then_some(());
    renewed.buildd.wait("new digests are noted", noted);
    as_session_root("rm", &["--"], &program);
    renewed.bootstrap_with(&["--no-such-option"]);
    renewed.upload("mbd-deleted");
    renewed.says("build is tried again");
    renewed.bootstrap_with(&[]);
    renewed.buildd.ended("mbd-deleted", EventType::Installed);
    assert_ne!(renewed.base(), second);
    assert_eq!(fs::metadata(&program).unwrap().len(), whole);
}

#[test]
fn old_base_is_renewed_while_builds_go_on() {
    if slow::is_left_to_the_user() {
        return;
    }
    let mut renewed = Renewed::new("renewal-old");
    renewed.make_old();
    let old = renewed.base();
    renewed.start();
    renewed.says("renewing the base");
    renewed.upload("mbd-meanwhile");
    renewed.buildd.ended("mbd-meanwhile", EventType::Installed);
    let meanwhile = renewed.base();
    renewed.says("renewed the base");
    assert_eq!(meanwhile, old);
    assert_ne!(renewed.base(), old);
    assert!(!renewed.chroot.join("renewal").exists());
    renewed.upload("mbd-later");
    renewed.buildd.ended("mbd-later", EventType::Installed);
}

#[test]
fn base_that_can_not_be_renewed_stays_in_use() {
    let mut renewed = Renewed::new("renewal-failed");
    renewed.make_old();
    let old = renewed.base();
    renewed.bootstrap_with(&["--no-such-option"]);
    renewed.start();
    renewed.says("it stays in use as it is");
    renewed.says("no-such-option");
    assert_eq!(renewed.base(), old);
    assert!(renewed.file("usr/bin/dpkg").exists());
}
