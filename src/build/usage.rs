//! Time that phases take: on the wall, and of the processors in all processes below this one.
//!
//! A session's processes are descendants of the supervisor whose times the kernel adds up in their reapers
//! (proc(5), cutime), so nothing inside is asked.
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;

use super::Phase;

/// The phases of one build so far.
#[derive(Debug, Default)]
pub(super) struct Phases {
    pub(super) done: Vec<Phase>,
}

/// A phase that goes on.
#[derive(Debug)]
pub(super) struct Timer {
    name: &'static str,
    begin: Instant,
    processor: Duration,
}

impl Timer {
    pub(super) fn start(name: &'static str) -> Timer {
        Timer {
            name,
            begin: Instant::now(),
            processor: processor_time(),
        }
    }

    pub(super) fn stop(self) -> Phase {
        Phase {
            name: self.name.to_owned(),
            wall_ms: milliseconds(self.begin.elapsed()),
            cpu_ms: milliseconds(processor_time().saturating_sub(self.processor)),
        }
    }
}

impl Phases {
    pub(super) fn wall(&self, name: &str) -> Duration {
        let milliseconds = self
            .done
            .iter()
            .filter(|phase| phase.name == name)
            .map(|phase| phase.wall_ms);
        Duration::from_millis(milliseconds.sum())
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Of this process and all below it, ended ones included.
fn processor_time() -> Duration {
    let ticks = ticks_below(Path::new("/proc/self"));
    Duration::from_millis(ticks.saturating_mul(1000) / clock_ticks_per_second().max(1))
}

/// A process that ends meanwhile counts in its parent's part the next time.
fn ticks_below(process: &Path) -> u64 {
    let own = fs::read_to_string(process.join("stat")).ok();
    let own = own.as_deref().and_then(ticks).unwrap_or(0);
    let Ok(threads) = fs::read_dir(process.join("task")) else {
        return own;
    };
    let children = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|children| {
            children
                .split_whitespace()
                .map(|pid| ticks_below(&Path::new("/proc").join(pid)))
                .collect::<Vec<_>>()
        });
    own + children.sum::<u64>()
}

/// Sum of utime, stime, cutime and cstime (proc_pid_stat(5)); the name before them may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_whitespace().skip(11).take(4);
    times.map(|time| time.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) R 1 (b) S 1 7 7 0 -1 4194560 100 200 0 0 10 20 30 40 20 0 1 0 500 600 7";
        assert_eq!(ticks(stat), Some(100));
    }

    #[test]
    fn an_ended_child_counts() {
        let timer = Timer::start("count");
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"])
            .spawn()
            .unwrap();
        child.wait().unwrap();
        assert!(timer.stop().cpu_ms > 0);
    }
}
