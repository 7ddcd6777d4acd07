//! Without a cgroup: what a session's own pid namespace, rlimits and priorities hold, and looking
//! at its processes from outside.
use std::fs;
use std::io::Write;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::MountAttrFlags;
use rustix::param::page_size;
use rustix::process::{Resource, setrlimit};

use super::{Limits, Usage};
use crate::refusal::{Attempt, Refusal};
use crate::{step, syscall};

/// The kernel hands out ids from here once they have gone round (RESERVED_PIDS).
const RESERVED_PIDS: u64 = 300;

/// Holds the calling process, init, and all that come of it to what no cgroup holds them to.
pub(crate) fn apply_in_session(limits: &Limits) -> Result<(), Refusal> {
    if let Some(processes) = limits.processes {
        limit_processes(processes)?;
    }
    if let Some(nice) = limits.cpu_weight.map(niceness).filter(|nice| *nice > 0) {
        rustix::process::nice(nice)
            .map_err(|errno| Attempt::SetLimit("nice".to_owned()).refused(errno))?;
    }
    if let Some(level) = limits.io_weight.map(io_level).filter(|level| *level > 4) {
        syscall::set_io_level(level)
            .map_err(|error| Attempt::SetLimit("ioprio".to_owned()).refused(error))?;
    }
    Ok(())
}

/// The kernel counts no refusals of these limits, so that they lie above what the session may have:
/// one that grows beyond it is seen, whatever of it has died for want of more.
fn bound(processes: u64) -> u64 {
    processes + processes / 4 + 32
}

fn limit_processes(processes: u64) -> Result<(), Refusal> {
    let processes = bound(processes);
    // Counted for each user of the user namespace by itself (user_namespaces(7)).
    let limit = rustix::process::Rlimit {
        current: Some(processes),
        maximum: Some(processes),
    };
    setrlimit(Resource::Nproc, limit)
        .map_err(|errno| Attempt::SetLimit("RLIMIT_NPROC".to_owned()).refused(errno))?;
    // All users together: each pid namespace has its own pid_max from Linux 6.14 on. On older
    // kernels it is the host's and can't be written.
    let _ = limit_pids(processes + RESERVED_PIDS);
    Ok(())
}

fn limit_pids(limit: u64) -> std::io::Result<()> {
    let proc = step::new_mount("proc", &[], MountAttrFlags::empty())?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(&proc, "sys/kernel/pid_max", flags, Mode::empty())?;
    fs::File::from(file).write_all(limit.to_string().as_bytes())
}

/// The kernel gives a process of each further step a fifth less (sched(7)).
fn niceness(weight: u64) -> i32 {
    let mut nice = 0;
    let mut share = 100 * 100;
    while nice < 19 && share * 9 / 10 > weight * 100 {
        share = share * 4 / 5;
        nice += 1;
    }
    nice
}

/// Of the best-effort class, 4 is what processes have and 7 the least (ioprio_set(2)).
fn io_level(weight: u64) -> u16 {
    match weight {
        100.. => 4,
        50..100 => 5,
        25..50 => 6,
        0..25 => 7,
    }
}

/// What the processes below `holder` use, as its caller sees them.
pub(crate) fn usage_below(holder: u32, limits: &Limits) -> Usage {
    let mut found = Found::default();
    found.look_below(&holder.to_string());
    let is_above = |limit: Option<u64>, used: u64| limit.is_some_and(|limit| used > limit);
    if is_above(limits.memory, found.usage.memory) {
        // Pages that processes share were counted for each of them.
        found.usage.memory = found.processes.iter().map(|pid| proportional(pid)).sum();
    }
    Usage {
        memory_exceeded: is_above(limits.memory, found.usage.memory),
        processes_exceeded: limits
            .processes
            .is_some_and(|limit| found.usage.processes > limit),
        ..found.usage
    }
}

#[derive(Default)]
struct Found {
    processes: Vec<String>,
    usage: Usage,
}

impl Found {
    /// A process that ends meanwhile counts for nothing.
    fn look_below(&mut self, process: &str) {
        let directory = Path::new("/proc").join(process);
        let Ok(threads) = fs::read_dir(directory.join("task")) else {
            return;
        };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children"));
            for child in children.unwrap_or_default().split_whitespace() {
                let statistics = fs::read_to_string(format!("/proc/{child}/stat"));
                if let Some((threads, pages)) = statistics.ok().as_deref().and_then(statistic) {
                    self.usage.processes += threads;
                    self.usage.memory += pages * page_size() as u64;
                    self.processes.push(child.to_owned());
                }
                self.look_below(child);
            }
        }
    }
}

/// num_threads and rss (proc_pid_stat(5)); the name before them may hold anything.
fn statistic(text: &str) -> Option<(u64, u64)> {
    let (_, fields) = text.rsplit_once(')')?;
    // The first one here is the third of the manual page.
    let mut fields = fields.split_whitespace().skip(17);
    let threads = fields.next()?.parse().ok()?;
    Some((threads, fields.nth(3)?.parse().ok()?))
}

/// Bytes of a process with its part of what it shares (Pss of proc_pid_smaps(5)).
fn proportional(process: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_become_priorities() {
        assert_eq!([100, 500, 80, 50, 1].map(niceness), [0, 0, 1, 3, 19]);
        assert_eq!([100, 99, 50, 30, 1].map(io_level), [4, 5, 5, 6, 7]);
    }

    #[test]
    fn threads_and_pages_are_found_behind_any_name() {
        let stat = "7 (a) R 1) S 1 7 7 0 -1 4194560 100 200 0 0 10 20 30 40 20 0 3 0 500 600 42 9";
        assert_eq!(statistic(stat), Some((3, 42)));
    }

    #[test]
    fn own_children_are_seen() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let limits = Limits {
            processes: Some(0),
            ..Limits::default()
        };
        let usage = usage_below(std::process::id(), &limits);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            usage.processes >= 1 && usage.processes_exceeded,
            "{usage:?}"
        );
    }
}
