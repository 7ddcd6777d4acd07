//! Limits of a whole session, by whatever means this host has.
use std::time::{Duration, Instant};

use sandbox::{Limits, Means, Session, Stdio, Usage};

use crate::root::{Root, output, process, run, shell};

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn begin(root: &Root, limits: Limits) -> Session {
    let mut spec = root.spec();
    limits.ask(&mut spec);
    root.launcher.begin(&spec).unwrap()
}

/// Looks until it is so.
fn until(session: &Session, is_so: impl Fn(&Usage) -> bool) -> Usage {
    let (watch, begin) = (session.watch(), Instant::now());
    loop {
        let usage = watch.usage();
        if is_so(&usage) {
            return usage;
        }
        assert!(begin.elapsed() < PATIENCE, "{usage:?}");
        std::thread::yield_now();
    }
}

#[test]
fn session_is_held_to_its_processes_and_it_is_seen() {
    const PROCESSES: u64 = 50;
    let root = Root::new();
    let limits = Limits {
        processes: Some(PROCESSES),
        ..Limits::default()
    };
    let session = begin(&root, limits);
    let mut bomb = shell("while :; do sleep 1000 & done");
    bomb.user.uid = 1000;
    let running = session.run(&bomb, Stdio::default()).unwrap();
    let usage = until(&session, |usage| usage.processes_exceeded);
    // Without a cgroup the kernel's own limits lie somewhat higher.
    assert!(usage.processes <= PROCESSES * 2, "{usage:?}");
    session.watch().kill();
    // It may have ended for want of processes.
    drop(running.wait());
    session.end().unwrap();
}

#[test]
fn users_of_a_session_share_its_processes_where_pid_namespaces_are_bounded() {
    let root = Root::new();
    let limits = Limits {
        processes: Some(50),
        ..Limits::default()
    };
    let session = begin(&root, limits);
    if session.in_force().processes == Means::PidNamespace {
        let most = output(&session, "cat /proc/sys/kernel/pid_max");
        let host = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
        // Before Linux 6.14 it is the host's.
        assert!(most == "394\n" || most == host, "{most}");
        let own = output(&session, "grep '^Max processes' /proc/self/limits");
        let own: Vec<&str> = own.split_whitespace().skip(2).take(2).collect();
        assert_eq!(own, ["94", "94"]);
    }
}

#[test]
fn memory_hog_is_seen() {
    let root = Root::new();
    let limits = Limits {
        memory: Some(64 << 20),
        ..Limits::default()
    };
    let session = begin(&root, limits);
    let hog = process(&[
        "dd",
        "if=/dev/zero",
        "of=/dev/null",
        "bs=256M",
        "count=1000000",
    ]);
    let running = session.run(&hog, Stdio::default()).unwrap();
    until(&session, |usage| usage.memory_exceeded);
    session.watch().kill();
    // A cgroup may have been quicker.
    drop(running.wait());
    session.end().unwrap();
}

#[test]
fn what_shares_its_memory_counts_once() {
    let root = Root::new();
    let limits = Limits {
        memory: Some(128 << 20),
        ..Limits::default()
    };
    let session = begin(&root, limits);
    // Ten processes with the same 40 MiB, in the memory of busybox's ash.
    let script = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); for i in 1 2 3 4 5 6 7 8 9 10; do \
                  (sleep 1000; echo $x) & done; echo ready; wait";
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdout: Some(writer.into()),
        ..Stdio::default()
    };
    let _running = session.run(&shell(script), stdio).unwrap();
    std::io::Read::read_exact(&mut reader, &mut [0; 6]).unwrap();
    let usage = session.watch().usage();
    assert!(!usage.memory_exceeded, "{usage:?}");
    assert!(usage.memory > 15 << 20, "{usage:?}");
}

fn niceness(session: &Session) -> i32 {
    let text = output(session, "cut -d ' ' -f 19 /proc/self/stat");
    text.trim().parse().unwrap()
}

fn own_niceness() -> i32 {
    rustix::process::getpriority_process(None).unwrap()
}

#[test]
fn weights_are_in_force() {
    let root = Root::new();
    let limits = Limits {
        cpu_weight: Some(50),
        io_weight: Some(50),
        ..Limits::default()
    };
    let session = begin(&root, limits);
    if session.in_force().cpu == Means::Priority {
        assert_eq!(niceness(&session), (own_niceness() + 3).min(19));
    }
    if session.in_force().io == Means::Priority {
        assert_eq!(output(&session, "ionice"), "best-effort: prio 5\n");
    }
}

/// tests/guest-cgroup says so where it made one.
fn is_delegated() -> bool {
    std::env::var_os("SANDBOX_TEST_DELEGATED").is_some()
}

#[test]
fn delegated_cgroup_holds_all_limits_and_goes_with_its_session() {
    let root = Root::new();
    let limits = Limits {
        memory: Some(64 << 20),
        processes: Some(50),
        cpu_weight: Some(50),
        io_weight: Some(50),
    };
    let session = begin(&root, limits);
    let force = session.in_force();
    let means = [force.memory, force.processes, force.cpu];
    assert_eq!(means.contains(&Means::Cgroup), is_delegated(), "{force}");
    let usage = session.watch().usage();
    assert!(usage.processes >= 1, "{usage:?}");
    session.end().unwrap();
    if is_delegated() {
        assert_eq!(means, [Means::Cgroup; 3], "{force}");
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = format!("/sys/fs/cgroup{}", own.trim().strip_prefix("0::").unwrap());
        let beside = std::path::Path::new(&own).parent().unwrap();
        let beside = if own.ends_with("/callers") {
            beside
        } else {
            own.as_ref()
        };
        let mine = format!("session-{}-", std::process::id());
        for entry in std::fs::read_dir(beside).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with(&mine), "{name}");
        }
    }
}

#[test]
fn hog_in_a_cgroup_is_killed_by_the_kernel() {
    if !is_delegated() {
        return;
    }
    let root = Root::new();
    let limits = Limits {
        memory: Some(64 << 20),
        ..Limits::default()
    };
    let session = begin(&root, limits);
    let hog = process(&[
        "dd",
        "if=/dev/zero",
        "of=/dev/null",
        "bs=256M",
        "count=1000000",
    ]);
    let exit = session.run(&hog, Stdio::default()).unwrap().wait().unwrap();
    assert_eq!(exit, sandbox::Exit::Signal(9));
    assert!(session.watch().usage().memory_exceeded);
    // Files in memory count too.
    let full = shell("dd if=/dev/zero of=/tmp/file bs=1M count=100");
    let exit = session.run(&full, Stdio::default()).unwrap().wait();
    // They outlive whoever wrote them, so that the session's own processes may be next.
    assert!(!exit.is_ok_and(sandbox::Exit::success));
    let watch = session.watch();
    session.end().unwrap();
    assert!(watch.usage().memory_exceeded);
}

#[test]
fn without_limits_there_is_no_priority() {
    let root = Root::new();
    let session = root.begin();
    assert_eq!(niceness(&session), own_niceness());
    assert_eq!(session.in_force().to_string(), "none");
}

#[test]
fn sessions_die_before_other_things_when_memory_runs_out() {
    let root = Root::new();
    let session = root.begin();
    let (_, text) = run(&session, &process(&["cat", "/proc/self/oom_score_adj"]));
    assert_eq!(text, "500\n");
}
