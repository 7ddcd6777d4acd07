//! Calls that sessions refuse, made for real by each door of amd64.
#![cfg(target_arch = "x86_64")]

use oci_spec::runtime::Spec;
use sandbox::{Exit, Launcher, Network, Process, User};

use crate::root::{Root, launcher, output, process, run, spec_of_host};

const DOORS: &str = include_str!("seccomp/doors.py");

fn answers(launcher: &Launcher, spec: &Spec, user: u32, calls: &[&str]) -> Vec<String> {
    let session = launcher.begin(spec).unwrap();
    let mut args = vec!["/usr/bin/python3", "-c", DOORS];
    args.extend(calls);
    let process = Process {
        args: args.iter().map(|argument| (*argument).to_owned()).collect(),
        user: User {
            uid: user,
            gid: user,
            additional_gids: Vec::new(),
        },
        cwd: "/".into(),
        env: Vec::new(),
        network: Network::None,
        no_new_privileges: user != 0,
        rlimits: Vec::new(),
    };
    let (exit, text) = run(&session, &process);
    assert_eq!(exit, Exit::Code(0), "{text}");
    text.lines().map(str::to_owned).collect()
}

/// Numbers of asm/unistd_64.h and asm/unistd_32.h.
const REFUSED: [&str; 26] = [
    "x86_64:keyctl:250:0,4294967293,0 ENOSYS",
    "i386:keyctl:288:0,4294967293,0 ENOSYS",
    "x86_64:add_key:248 ENOSYS",
    "i386:add_key:286 ENOSYS",
    "x86_64:bpf:321 EPERM",
    "i386:bpf:357 EPERM",
    "x86_64:perf_event_open:298 EPERM",
    "i386:perf_event_open:336 EPERM",
    "x86_64:userfaultfd:323:1 ENOSYS",
    "i386:userfaultfd:374:1 ENOSYS",
    "x86_64:io_uring_setup:425:1 ENOSYS",
    "i386:io_uring_setup:425:1 ENOSYS",
    "x86_64:kexec_load:246 EPERM",
    "i386:kexec_load:283 EPERM",
    "x86_64:open_by_handle_at:304 EPERM",
    "i386:open_by_handle_at:342 EPERM",
    "x86_64:init_module:175 EPERM",
    "i386:init_module:128 EPERM",
    "x86_64:unshare:272:0x10000000 EPERM",
    "i386:unshare:310:0x10000000 EPERM",
    "x86_64:ioctl:16:0,0x100005412,0 EPERM",
    "i386:ioctl:54:0,0x5412,0 EPERM",
    "x86_64:socket:41:40,1,0 EAFNOSUPPORT",
    "i386:socketcall:102:1,0 ENOSYS",
    "x32:getpid:39 ENOSYS",
    "x32:keyctl:250:0,4294967293,0 ENOSYS",
];

#[test]
fn dangerous_calls_are_refused_by_every_door() {
    let launcher = launcher();
    let calls: Vec<&str> = REFUSED
        .iter()
        .map(|line| line.split_once(' ').unwrap().0)
        .collect();
    let expected: Vec<String> = REFUSED
        .iter()
        .map(|line| {
            let (call, answer) = line.split_once(' ').unwrap();
            let mut parts = call.split(':');
            let (door, name) = (parts.next().unwrap(), parts.next().unwrap());
            format!("{door} {name} {answer}")
        })
        .collect();
    for user in [0, 1000] {
        assert_eq!(answers(&launcher, &spec_of_host(), user, &calls), expected);
    }
}

#[test]
fn without_a_filter_the_same_calls_work() {
    let mut spec = spec_of_host();
    let mut linux = spec.linux().clone().unwrap();
    linux.set_seccomp(None);
    spec.set_linux(Some(linux));
    let calls = [
        "x86_64:keyctl:250:0,4294967293,0",
        "i386:getpid:20",
        "x86_64:unshare:272:0x10000000",
    ];
    assert_eq!(
        answers(&launcher(), &spec, 1000, &calls),
        ["x86_64 keyctl 0", "i386 getpid 0", "x86_64 unshare 0"]
    );
}

#[test]
fn filter_of_the_spec_is_the_filter() {
    let root = Root::new();
    let mut spec = root.spec();
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}"#;
    let mut linux = spec.linux().clone().unwrap();
    linux.set_seccomp(Some(serde_json::from_str(text).unwrap()));
    spec.set_linux(Some(linux));
    let session = root.launcher.begin(&spec).unwrap();
    let (_, text) = run(&session, &process(&["mkdir", "/work/made"]));
    assert!(text.contains("Permission denied"), "{text}");
    output(&root.begin(), "mkdir /work/made");
}

#[test]
fn every_process_is_filtered() {
    let root = Root::new();
    let session = root.begin();
    let mut process = process(&["grep", "^Seccomp:", "/proc/self/status"]);
    for (user, no_new_privileges) in [(0, false), (0, true), (1000, false), (1000, true)] {
        process.user.uid = user;
        process.no_new_privileges = no_new_privileges;
        assert_eq!(run(&session, &process).1, "Seccomp:\t2\n");
    }
}
