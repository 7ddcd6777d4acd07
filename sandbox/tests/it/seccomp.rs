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
