//! File systems of their own, for root.
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use crate::archive::sample::run;

/// Runs a test of this program in a mount namespace of its own, with which all its mounts go, whatever happens.
///
/// Tells whether this is that process; ordinary users can't mount, and try nothing.
pub(super) fn is_among_own_mounts(test: &str) -> bool {
    let variable = "FAULTS_OWN_MOUNTS";
    if std::env::var_os(variable).is_some() {
        return true;
    }
    if !geteuid().is_root() {
        eprintln!("not tried: only root can mount file systems");
        return false;
    }
    run(Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(variable, "1"));
    false
}

/// An image file, and how it is made and mounted.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) make: &'static [&'static str],
    pub(super) options: &'static str,
    pub(super) size: &'static str,
}

/// A mounted image.
pub(super) struct Mounted(PathBuf);

impl Kind {
    pub(super) fn make(self, image: &Path) {
        run(Command::new("truncate")
            .arg("--size")
            .arg(self.size)
            .arg(image));
        run(Command::new(self.make[0]).args(&self.make[1..]).arg(image));
    }

    pub(super) fn mount(self, image: &Path, directory: PathBuf) -> Mounted {
        std::fs::create_dir_all(&directory).unwrap();
        run(Command::new("mount")
            .args(["-o", &format!("loop,{}", self.options)])
            .args([image, &directory]));
        Mounted(directory)
    }
}

impl Mounted {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
