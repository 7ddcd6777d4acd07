//! Deletion that leaves others at least half of the disk's time.
use std::ffi::OsString;
use std::io;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// As long as it goes on, a command runs for this time, then is stopped for the same time.
const SLICE: Duration = Duration::from_millis(100);

/// Deletes trees of any kind: as root of the user namespace rm may enter directories of mode 000,
/// and it walks by descriptor, so that depth is no limit.
pub(crate) fn delete(options_and_trees: &[OsString]) -> io::Result<()> {
    // Who is killed while rm is stopped leaves none behind.
    let mut rm = Command::new("setpriv");
    rm.args(["--pdeathsig", "KILL", "rm", "-rf"])
        .args(options_and_trees);
    let status = run(&mut rm)?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("rm: {status}")))
}

/// Runs a command to its end, about half of the time; one that ends within a slice is never stopped.
fn run(command: &mut Command) -> io::Result<ExitStatus> {
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let slice = Timespec {
        tv_sec: 0,
        tv_nsec: SLICE.subsec_nanos().into(),
    };
    loop {
        let mut end = [PollFd::new(&ended, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut end, Some(&slice)))? > 0 {
            return child.wait();
        }
        // Not reaped yet, so the pid is still the command's; one that ended takes no harm.
        let _ = kill_process(pid, Signal::STOP);
        thread::sleep(SLICE);
        let _ = kill_process(pid, Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_is_stopped_half_of_the_time() {
        let directory = tempfile::tempdir().unwrap();
        let longest = directory.path().join("longest");
        // For a second by the clock, it looks for the longest time in which it did nothing.
        let script = r#"
            end=$(($(date +%s%N) + 1000000000)); longest=0; last=$(date +%s%N)
            while now=$(date +%s%N); [ $now -lt $end ]; do
                gap=$((now - last)); last=$now
                [ $gap -lt $longest ] || longest=$gap
            done
            echo $longest >"$0""#;
        run(Command::new("sh").args(["-c", script]).arg(&longest)).unwrap();
        let longest = std::fs::read_to_string(longest).unwrap();
        assert!(
            longest.trim().parse::<u64>().unwrap() >= 90_000_000,
            "{longest}"
        );
    }

    #[test]
    fn trees_are_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("-tree");
        std::fs::create_dir_all(tree.join("deep/er")).unwrap();
        delete(&["--".into(), tree.clone().into()]).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn what_can_not_be_deleted_is_told() {
        let error = delete(&["--no-such-option".into()]).unwrap_err();
        assert_eq!(error.to_string(), "rm: exit status: 1");
    }
}
