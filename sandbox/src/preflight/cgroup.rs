//! Whether limits can be set with cgroups (cgroups(7)): a part of the tree has to be delegated.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Finding, Problem, Weight};
use crate::engine::{Engine, Wish};

const NAME: &str = "cgroup delegation";
const CONTROLLERS_FILE: &str = "cgroup.controllers";
/// Controllers that sessions are limited with.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

pub(super) fn finding() -> Finding {
    Finding {
        name: NAME,
        problem: problem(),
    }
}

fn problem() -> Option<Problem> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let directory = directory(&mounts, &own).filter(|found| found.join(CONTROLLERS_FILE).exists());
    let Some(directory) = directory else {
        return Some(recommended(
            "no cgroup 2 tree is mounted that has this process",
            without_version_2(),
        ));
    };
    let text = fs::read_to_string(directory.join(CONTROLLERS_FILE)).unwrap_or_default();
    let missing = missing(&text);
    if !missing.is_empty() {
        let remedy = if are_held_by_version_1(&mounts) {
            without_version_2()
        } else {
            delegate()
        };
        return Some(recommended(
            &format!("{} has no controllers {missing}", directory.display()),
            remedy,
        ));
    }
    let error = try_delegated(&directory).err()?;
    Some(recommended(
        &format!("{} is not delegated: {error}", directory.display()),
        delegate(),
    ))
}

fn recommended(what: &str, remedy: String) -> Problem {
    Problem {
        weight: Weight::Recommended,
        what: format!("{what}; builds are limited by rlimits alone"),
        remedy: Some(remedy),
    }
}

/// cgroups(7), "Cgroup delegation": whom a subtree is delegated to may make directories in it and
/// write these files.
fn try_delegated(directory: &Path) -> io::Result<()> {
    for file in ["cgroup.procs", "cgroup.subtree_control"] {
        fs::File::options().write(true).open(directory.join(file))?;
    }
    let child = directory.join(format!("mini-buildd-preflight-{}", std::process::id()));
    fs::create_dir(&child)?;
    fs::remove_dir(&child)
}

/// Where the calling process is in the version 2 tree, as mounted here.
fn directory(mounts: &str, own: &str) -> Option<PathBuf> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut mounts = mounts.lines().filter_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup2 ").then_some((root, point))
    });
    mounts.find_map(|(root, point)| {
        let below = Path::new(own).strip_prefix(root).ok()?;
        Some(Path::new(point).join(below))
    })
}

fn missing(controllers: &str) -> String {
    let is_there = |name: &&&str| controllers.split_whitespace().any(|there| there == **name);
    let missing: Vec<&str> = CONTROLLERS
        .iter()
        .filter(|name| !is_there(name))
        .copied()
        .collect();
    missing.join(", ")
}

fn are_held_by_version_1(mounts: &str) -> bool {
    mounts.lines().any(|line| line.contains(" - cgroup "))
}

fn without_version_2() -> String {
    match Engine::of_this_process() {
        Some(engine) => Wish::Cgroups.remedy(Some(engine)),
        None => {
            "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line".to_owned()
        }
    }
}

fn delegate() -> String {
    if let Some(engine) = Engine::of_this_process() {
        return Wish::Cgroups.remedy(Some(engine));
    }
    let user = if rustix::process::geteuid().is_root() {
        ""
    } else {
        "--user "
    };
    format!(
        "systemd-run {user}--scope --property=Delegate=yes mini-buildd up, \
         or Delegate=yes in the unit that runs it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
        36 24 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        37 24 0:32 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn own_cgroup_is_found_where_version_2_is_mounted() {
        let found = directory(HYBRID, "4:memory:/x\n0::/user.slice/a.scope\n");
        let expected = "/sys/fs/cgroup/unified/user.slice/a.scope";
        assert_eq!(found.as_deref(), Some(Path::new(expected)));
        assert!(are_held_by_version_1(HYBRID));
    }

    #[test]
    fn cgroup_outside_of_what_is_mounted_is_not_found() {
        let part = "37 24 0:32 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(directory(part, "0::/b\n"), None);
        assert_eq!(
            directory(part, "0::/a/c\n").as_deref(),
            Some(Path::new("/sys/fs/cgroup/c"))
        );
    }

    #[test]
    fn controllers_that_are_missing_are_named() {
        assert_eq!(missing("cpuset cpu io memory pids\n"), "");
        assert_eq!(missing("cpuset io memory\n"), "cpu, pids");
    }
}
