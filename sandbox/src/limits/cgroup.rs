//! Cgroups of version 2 below one that is delegated to the caller (cgroups(7)).
//!
//! Delegated is what systemd says so of (`Delegate=yes`); where it does not run, what the caller may
//! write to.
//! A cgroup with controllers for those below it has no processes of its own, so the caller and its
//! like move to a leaf beside the sessions'.
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, access, getxattr};
use rustix::io::retry_on_intr;

use super::{Limits, Usage};

/// Leaf of those who begin sessions.
const CALLERS: &str = "callers";
/// Begins the names of sessions' cgroups; the process that made it follows.
const SESSION: &str = "session-";
/// Longer than the kernel takes for the dead.
const DYING: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};
const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "io"];

/// A cgroup below which sessions get theirs.
#[derive(Clone, Debug)]
pub(crate) struct Delegation {
    directory: PathBuf,
    /// The caller is in the leaf already.
    settled: bool,
}

impl Delegation {
    /// The caller's, if there is one with controllers.
    pub(crate) fn of_caller() -> Option<Delegation> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let delegation = Delegation::found(&mount_point(&mounts)?, &own)?;
        (!delegation.available().is_empty() && delegation.is_delegated()).then_some(delegation)
    }

    /// `own` is /proc/self/cgroup, whose line of version 2 begins with `0::`.
    fn found(mount: &Path, own: &str) -> Option<Delegation> {
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let own = mount.join(path.trim_start_matches('/'));
        if own.file_name().is_some_and(|name| name == CALLERS) {
            return Some(Delegation {
                directory: own.parent()?.to_owned(),
                settled: true,
            });
        }
        Some(Delegation {
            directory: own,
            settled: false,
        })
    }

    fn available(&self) -> Vec<&'static str> {
        controllers(&self.directory.join("cgroup.controllers"))
    }

    fn is_delegated(&self) -> bool {
        let writable = ["cgroup.procs", "cgroup.subtree_control"]
            .iter()
            .all(|name| access(self.directory.join(name), Access::WRITE_OK).is_ok())
            && access(&self.directory, Access::WRITE_OK).is_ok();
        // Root may write everywhere, and users to all below their own manager; yet the tree is
        // systemd's unless it says otherwise (systemd's CGROUP_DELEGATION).
        let by_right = !Path::new("/run/systemd/system").exists()
            || ["trusted.delegate", "user.delegate"].iter().any(|name| {
                let mut value = [0; 8];
                getxattr(&self.directory, *name, &mut value).is_ok_and(|_| value[0] == b'1')
            });
        writable && by_right
    }

    /// Makes a session's cgroup with its limits.
    pub(crate) fn make(&self, limits: &Limits) -> io::Result<Cgroup> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        self.settle()?;
        self.clean();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{SESSION}{}-{number}", std::process::id());
        let directory = self.directory.join(name);
        fs::create_dir(&directory)?;
        let controllers = controllers(&directory.join("cgroup.controllers"));
        let cgroup = Cgroup {
            directory,
            controllers,
        };
        cgroup.limit(limits)?;
        Ok(cgroup)
    }

    /// Moves all processes to the leaf, then lets those below have the controllers.
    fn settle(&self) -> io::Result<()> {
        let control = self.directory.join("cgroup.subtree_control");
        let enabled = controllers(&control);
        let missing: Vec<&str> = self
            .available()
            .into_iter()
            .filter(|controller| !enabled.contains(controller))
            .collect();
        if self.settled && missing.is_empty() {
            return Ok(());
        }
        // Only the machine's root may have both, and has no type (cgroups(7)).
        if self.directory.join("cgroup.type").exists() {
            self.move_to_leaf()?;
        }
        for controller in missing {
            // What can't be had is not in force, and told so.
            let _ = fs::write(&control, format!("+{controller}"));
        }
        Ok(())
    }

    fn move_to_leaf(&self) -> io::Result<()> {
        let leaf = self.directory.join(CALLERS);
        make_directory(&leaf)?;
        let processes = fs::read_to_string(self.directory.join("cgroup.procs"))?;
        for process in processes.lines() {
            // One that has ended meanwhile is as good as moved.
            let _ = fs::write(leaf.join("cgroup.procs"), process);
        }
        Ok(())
    }

    /// Removes cgroups of sessions whose makers are dead.
    fn clean(&self) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let maker = name
                .to_str()
                .and_then(|name| name.strip_prefix(SESSION)?.split('-').next());
            if maker.is_some_and(|maker| !Path::new("/proc").join(maker).exists()) {
                // One whose processes are still dying goes the next time.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// Where version 2 is mounted whole.
fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (kind.starts_with("cgroup2 ") && root == "/").then(|| PathBuf::from(point))
    })
}

fn controllers(file: &Path) -> Vec<&'static str> {
    let listed = fs::read_to_string(file).unwrap_or_default();
    let is_listed = |name: &&str| listed.split_whitespace().any(|word| word == *name);
    CONTROLLERS.into_iter().filter(is_listed).collect()
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// The cgroup of one session; dropping removes it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: PathBuf,
    controllers: Vec<&'static str>,
}

impl Cgroup {
    pub(crate) fn controllers(&self) -> &[&'static str] {
        &self.controllers
    }

    fn limit(&self, limits: &Limits) -> io::Result<()> {
        if let Some(memory) = limits.memory.filter(|_| self.has("memory")) {
            self.set("memory.max", memory)?;
            // A kernel without swap has no such file.
            let _ = self.set("memory.swap.max", 0);
        }
        if let Some(processes) = limits.processes.filter(|_| self.has("pids")) {
            self.set("pids.max", processes)?;
        }
        if let Some(weight) = limits.cpu_weight.filter(|_| self.has("cpu")) {
            self.set("cpu.weight", weight)?;
        }
        if let Some(weight) = limits.io_weight.filter(|_| self.has("io")) {
            // Schedulers without weights have no such file.
            let _ = fs::write(
                self.directory.join("io.weight"),
                format!("default {weight}"),
            );
        }
        Ok(())
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.contains(&controller)
    }

    fn set(&self, name: &str, value: u64) -> io::Result<()> {
        fs::write(self.directory.join(name), value.to_string())
    }

    /// What the process starts from now on is in the cgroup too.
    pub(crate) fn add(&self, process: u32) -> io::Result<()> {
        fs::write(self.directory.join("cgroup.procs"), process.to_string())
    }

    /// Kills all of it and waits until the last is dead.
    fn kill(&self) -> io::Result<()> {
        let mut events = File::open(self.directory.join("cgroup.events"))?;
        fs::write(self.directory.join("cgroup.kill"), "1")?;
        loop {
            let mut text = String::new();
            events.rewind()?;
            events.read_to_string(&mut text)?;
            if counted(&text, "populated") == 0 {
                return Ok(());
            }
            let mut changed = [PollFd::new(&events, PollFlags::PRI)];
            if retry_on_intr(|| poll(&mut changed, Some(&DYING)))? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// `None` where the controllers don't tell.
    pub(crate) fn usage(&self) -> Option<Usage> {
        if !self.has("memory") || !self.has("pids") {
            return None;
        }
        let read = |name: &str| fs::read_to_string(self.directory.join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse().ok();
        Some(Usage {
            memory: number("memory.current")?,
            processes: number("pids.current")?,
            memory_exceeded: counted(&read("memory.events")?, "oom_kill") > 0,
            processes_exceeded: counted(&read("pids.events")?, "max") > 0,
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if fs::remove_dir(&self.directory).is_ok() {
            return;
        }
        // The holder has been waited for; where it was killed before init, others may still be dying.
        let _ = self.kill();
        // What is left over all the same, `clean` removes.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// A line `NAME COUNT` of an events file.
fn counted(events: &str, name: &str) -> u64 {
    let line = events
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_found_beside_version_1() {
        let text = "31 22 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                    33 22 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(
            mount_point(text),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
    }

    #[test]
    fn sessions_stand_beside_the_leaf_of_their_callers() {
        let mount = Path::new("/sys/fs/cgroup");
        let own = "1:name=systemd:/x\n0::/system.slice/mini-buildd.service\n";
        let first = Delegation::found(mount, own).unwrap();
        let base = "/sys/fs/cgroup/system.slice/mini-buildd.service";
        assert_eq!((first.directory, first.settled), (base.into(), false));
        let own = "0::/system.slice/mini-buildd.service/callers\n";
        let later = Delegation::found(mount, own).unwrap();
        assert_eq!((later.directory, later.settled), (base.into(), true));
    }

    #[test]
    fn events_are_counted() {
        let events = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(counted(events, "oom_kill"), 2);
        assert_eq!(counted(events, "oom"), 3);
        assert_eq!(counted(events, "there_is_none"), 0);
    }
}
