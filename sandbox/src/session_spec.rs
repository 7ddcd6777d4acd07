//! The usual session on a Debian root file system.
use std::path::Path;

use oci_spec::runtime::{
    LinuxBuilder, Mount, MountBuilder, RootBuilder, Spec, SpecBuilder, get_default_maskedpaths,
    get_default_readonly_paths,
};

use crate::seccomp::{self, Sockets};

/// Describes the usual session: `root_mounts` first, then /proc, a minimal /dev, /dev/pts,
/// /dev/shm, /dev/mqueue, read-only /sys and /tmp; masked and read-only paths as container
/// engines have them.
///
/// Its processes can't make the system calls that reach beyond a session, or hardly any program
/// needs but faults of kernels were reached by.
///
/// More mounts can be added with [`Spec::mounts_mut`]. The process of the spec is left out.
pub fn session_spec(root: &Path, root_mounts: Vec<Mount>, hostname: &str) -> Spec {
    let mut mounts = root_mounts;
    mounts.extend([
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "noexec", "mode=0755", "size=65536k"],
        ),
        // Group 5 is tty in Debian (base-passwd).
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "tmpfs",
            &["nosuid", "nodev", "noexec", "mode=1777"],
        ),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "nodev", "noexec"],
        ),
        // A fresh sysfs is for owners of the network namespace only.
        mount(
            "/sys",
            "bind",
            "/sys",
            &["rbind", "rro", "rnosuid", "rnodev", "rnoexec"],
        ),
        mount("/tmp", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=1777"]),
    ]);
    let root = RootBuilder::default().path(root).readonly(false);
    let linux = LinuxBuilder::default()
        .masked_paths(get_default_maskedpaths())
        .readonly_paths(get_default_readonly_paths())
        .seccomp(seccomp::profile(Sockets::Direct));
    let mut spec = SpecBuilder::default()
        .root(root.build().expect("all fields of a root have defaults"))
        .mounts(mounts)
        .hostname(hostname)
        .linux(linux.build().expect("all fields of linux have defaults"))
        .build()
        .expect("all fields of a spec have defaults");
    spec.set_process(None);
    spec
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    MountBuilder::default()
        .destination(destination)
        .typ(kind)
        .source(source)
        .options(options)
        .build()
        .expect("a mount with a destination is valid")
}
