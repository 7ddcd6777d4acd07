use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use sandbox::{Attempt, Error, Exit, Network, Process, Rlimit, Stdio, User};

use crate::root::{Root, exit_of, output, process, run, shell};

#[test]
fn exit_codes_are_exact() {
    let root = Root::new();
    let session = root.begin();
    assert_eq!(exit_of(&session, &process(&["true"])), Exit::Code(0));
    assert_eq!(exit_of(&session, &shell("exit 3")), Exit::Code(3));
    assert_eq!(exit_of(&session, &shell("exit 255")), Exit::Code(255));
    session.end().unwrap();
}

#[test]
fn signals_are_exact() {
    let root = Root::new();
    let session = root.begin();
    for signal in [15, 9, 40, 13] {
        let exit = exit_of(&session, &shell(&format!("kill -{signal} $$")));
        assert_eq!(exit, Exit::Signal(signal));
    }
}

#[test]
fn processes_run_side_by_side() {
    let root = Root::new();
    let session = root.begin();
    let (input, mut to_first) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdin: Some(input.into()),
        ..Stdio::default()
    };
    let first = session.run(&shell("read code; exit $code"), stdio).unwrap();
    assert_eq!(exit_of(&session, &shell("exit 4")), Exit::Code(4));
    to_first.write_all(b"5\n").unwrap();
    assert_eq!(first.wait().unwrap(), Exit::Code(5));
}

#[test]
fn running_process_is_killed() {
    let root = Root::new();
    let session = root.begin();
    let running = session
        .run(&process(&["sleep", "1000"]), Stdio::default())
        .unwrap();
    running.kill(15).unwrap();
    assert_eq!(running.wait().unwrap(), Exit::Signal(15));
}

#[test]
fn environment_is_as_listed() {
    let root = Root::new();
    let session = root.begin();
    let mut process = process(&["env"]);
    process.env.push(("A".into(), "b=c".into()));
    assert_eq!(
        run(&session, &process),
        (Exit::Code(0), "PATH=/bin\nA=b=c\n".to_owned())
    );
}

#[test]
fn descriptors_are_0_to_2_and_the_one_of_the_listing() {
    let root = Root::new();
    let leak = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    assert_eq!(output(&root.begin(), "ls /proc/self/fd"), "0\n1\n2\n3\n");
}

#[test]
fn no_signal_is_ignored_or_blocked() {
    let root = Root::new();
    let listing = process(&["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]);
    let (_, text) = run(&root.begin(), &listing);
    let zero = "0000000000000000";
    assert_eq!(text, format!("SigBlk:\t{zero}\nSigIgn:\t{zero}\n"));
}

#[test]
fn init_reaps_orphans() {
    let root = Root::new();
    let session = root.begin();
    // The pipe ends when the grandchild is gone; it is a zombie only until init has reaped it.
    let text = output(
        &session,
        "(sh -c 'exec true' & echo $! >/tmp/orphan); while [ -d /proc/$(cat /tmp/orphan) ]; do :; done",
    );
    assert_eq!(text, "");
}

#[test]
fn user_and_groups_are_as_given() {
    let root = Root::new();
    let session = root.begin();
    let mut process = shell("id -u; id -g; id -G; touch /tmp/mine; stat -c %u:%g /tmp/mine");
    process.user = User {
        uid: 1000,
        gid: 1001,
        additional_gids: vec![24, 65534],
    };
    assert_eq!(
        run(&session, &process).1,
        "1000\n1001\n1001 24 65534\n1000:1001\n"
    );
}

#[test]
fn ordinary_user_has_no_capabilities() {
    let root = Root::new();
    let session = root.begin();
    let mut process = shell("grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f 2 | uniq");
    process.user.uid = 1000;
    assert_eq!(run(&session, &process).1, "0000000000000000\n");
}

#[test]
fn root_has_neither_mounts_nor_traces() {
    // Numbers of linux/capability.h.
    const CHOWN: u64 = 1 << 0;
    const SYS_PTRACE: u64 = 1 << 19;
    const SYS_ADMIN: u64 = 1 << 21;
    let root = Root::new();
    let session = root.begin();
    let text = output(&session, "grep CapEff /proc/self/status | cut -f 2");
    let effective = u64::from_str_radix(text.trim(), 16).unwrap();
    assert_eq!(effective & (CHOWN | SYS_PTRACE | SYS_ADMIN), CHOWN);
}

#[test]
fn new_privileges_are_forbidden_where_asked_for() {
    let root = Root::new();
    let session = root.begin();
    let script = "grep NoNewPrivs /proc/self/status";
    assert_eq!(output(&session, script), "NoNewPrivs:\t1\n");
    let mut process = shell(script);
    process.no_new_privileges = false;
    assert_eq!(run(&session, &process).1, "NoNewPrivs:\t0\n");
}

#[test]
fn limits_are_in_force() {
    let root = Root::new();
    let session = root.begin();
    let mut process = shell("ulimit -n; ulimit -Hn");
    process.rlimits.push(Rlimit {
        kind: "RLIMIT_NOFILE".into(),
        soft: 64,
        hard: 128,
    });
    assert_eq!(run(&session, &process).1, "64\n128\n");
}

#[test]
fn directory_is_the_one_given() {
    let root = Root::new();
    let session = root.begin();
    let mut process = process(&["pwd"]);
    process.cwd = PathBuf::from("/tmp");
    assert_eq!(run(&session, &process).1, "/tmp\n");
}

#[test]
fn own_network_has_only_loopback_which_is_up() {
    let root = Root::new();
    let session = root.begin();
    let text = output(&session, "tail -n +3 /proc/net/dev; cat /proc/net/route");
    let interfaces: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect();
    assert_eq!(interfaces, ["lo"]);
    output(&session, "ping -c 1 127.0.0.1");
    let text = output(&session, "ifconfig lo");
    assert!(text.contains("UP LOOPBACK RUNNING"), "{text}");
}

#[test]
fn hosts_network_is_the_hosts() {
    let root = Root::new();
    let session = root.begin();
    let mut process = process(&["readlink", "/proc/self/ns/net"]);
    process.network = Network::Host;
    let host = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(run(&session, &process).1.trim(), host.to_str().unwrap());
}

#[test]
fn input_and_output_are_connected() {
    let root = Root::new();
    let session = root.begin();
    let (input, mut to_process) = std::io::pipe().unwrap();
    let (from_process, out) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdin: Some(input.into()),
        stdout: Some(out.into()),
        stderr: None,
    };
    let running = session.run(&process(&["cat"]), stdio).unwrap();
    to_process.write_all(b"line\n").unwrap();
    drop(to_process);
    let line = BufReader::new(from_process)
        .lines()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(line, "line");
    assert!(running.wait().unwrap().success());
}

fn refused(process: &Process) -> Attempt {
    let root = Root::new();
    match root.begin().run(process, Stdio::default()) {
        Err(Error::Refused { attempt, .. }) => attempt,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn missing_program_is_an_error_that_names_it() {
    assert_eq!(
        refused(&process(&["no-such-program"])),
        Attempt::Execute("no-such-program".into())
    );
    assert_eq!(refused(&process(&[])), Attempt::Execute(String::new()));
}

#[test]
fn missing_directory_is_an_error_that_names_it() {
    let mut process = shell("true");
    process.cwd = PathBuf::from("/nowhere");
    assert_eq!(
        refused(&process),
        Attempt::ChangeDirectory(PathBuf::from("/nowhere"))
    );
}

#[test]
fn user_outside_of_the_map_is_an_error() {
    let mut process = shell("true");
    process.user.uid = 4_000_000_000;
    assert_eq!(
        refused(&process),
        Attempt::BecomeUser {
            uid: 4_000_000_000,
            gid: 0
        }
    );
}

#[test]
fn unknown_limit_is_an_error() {
    let mut process = shell("true");
    process.rlimits.push(Rlimit {
        kind: "RLIMIT_PATIENCE".into(),
        soft: 0,
        hard: 0,
    });
    assert_eq!(
        refused(&process),
        Attempt::SetLimit("RLIMIT_PATIENCE".into())
    );
}

/// Attempts without a route that the kernel counts while the script runs.
fn without_route(script: &str) -> u64 {
    let root = Root::new();
    let session = root.begin();
    let running = session.run(&shell(script), Stdio::default()).unwrap();
    let network = running.network();
    running.wait().unwrap();
    session.end().unwrap();
    network.without_route()
}

#[test]
fn attempts_to_leave_an_own_network_are_counted_also_after_its_end() {
    assert_eq!(without_route("nc -w 5 192.0.2.1 80"), 1);
    assert_eq!(without_route("nc -w 5 2001:db8::1 80"), 1);
}

#[test]
fn loopback_is_no_attempt_to_leave() {
    assert_eq!(
        without_route("ping -c 1 127.0.0.1; nc -w 5 127.0.0.1 80; ping6 -c 1 ::1"),
        0
    );
}
