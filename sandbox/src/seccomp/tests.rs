use oci_spec::runtime::{LinuxBuilder, LinuxPersonalityBuilder, LinuxSeccompArg, SpecBuilder};
use oci_spec::runtime::{LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator};
use oci_spec::runtime::{LinuxSyscall, LinuxSyscallBuilder};

use super::*;

const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;

fn errno(number: i32) -> u32 {
    0x0005_0000 | number.cast_unsigned()
}

fn spec(seccomp: LinuxSeccomp, domain: LinuxPersonalityDomain) -> Spec {
    let personality = LinuxPersonalityBuilder::default().domain(domain);
    let linux = LinuxBuilder::default()
        .seccomp(seccomp)
        .personality(personality.build().unwrap());
    SpecBuilder::default()
        .linux(linux.build().unwrap())
        .build()
        .unwrap()
}

fn filter_of(seccomp: LinuxSeccomp) -> Filter {
    let spec = spec(seccomp, LinuxPersonalityDomain::PerLinux);
    filter(&spec).unwrap().unwrap()
}

fn usual() -> Filter {
    filter_of(profile(Sockets::Direct))
}

/// What the kernel would do with a call, by its own rules of the machine (bpf(2), "classic").
fn run(filter: &Filter, architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_ne_bytes());
    data.extend(architecture.to_ne_bytes());
    data.extend(0_u64.to_ne_bytes());
    data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let [c0, c1, when_true, when_false, v0, v1, v2, v3] = filter.program[at].to_ne_bytes();
        let value = u32::from_ne_bytes([v0, v1, v2, v3]);
        let jump = |holds: bool| usize::from(if holds { when_true } else { when_false });
        at += 1;
        match u16::from_ne_bytes([c0, c1]) {
            0x20 => {
                let from = value as usize;
                accumulator = u32::from_ne_bytes(data[from..from + 4].try_into().unwrap());
            }
            0x54 => accumulator &= value,
            0x05 => at += value as usize,
            0x15 => at += jump(accumulator == value),
            0x25 => at += jump(accumulator > value),
            0x35 => at += jump(accumulator >= value),
            0x06 => return value,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

/// Outcome by a call's name, on x86_64 and i386.
fn both(filter: &Filter, name: &str, arguments: [u64; 6]) -> Vec<u32> {
    [(Architecture::X86_64, X86_64), (Architecture::I386, I386)]
        .into_iter()
        .filter_map(|(architecture, audit)| {
            let number = architecture.number(name)?;
            Some(run(filter, audit, number, arguments))
        })
        .collect()
}

fn first(argument: u64) -> [u64; 6] {
    [argument, 0, 0, 0, 0, 0]
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_that_reach_beyond_a_session_are_refused_by_both_doors() {
    let filter = usual();
    let (eperm, enosys) = (errno(nix::libc::EPERM), errno(nix::libc::ENOSYS));
    for (name, outcome) in [
        ("bpf", eperm),
        ("init_module", eperm),
        ("kexec_load", eperm),
        ("mount", eperm),
        ("open_by_handle_at", eperm),
        ("perf_event_open", eperm),
        ("add_key", enosys),
        ("io_uring_setup", enosys),
        ("kcmp", enosys),
        ("keyctl", enosys),
        ("userfaultfd", enosys),
        ("clone3", enosys),
    ] {
        assert_eq!(both(&filter, name, [0; 6]), [outcome; 2], "{name}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn all_other_calls_are_let_through() {
    let filter = usual();
    for name in [
        "read",
        "ptrace",
        "process_vm_readv",
        "execve",
        "unshare",
        "clone",
        "chroot",
    ] {
        assert_eq!(both(&filter, name, [0; 6]), [ALLOW; 2], "{name}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn every_refused_name_is_a_call_of_some_architecture() {
    let known = profile(Sockets::Direct);
    for name in known
        .syscalls()
        .iter()
        .flatten()
        .flat_map(LinuxSyscall::names)
    {
        let somewhere = [Architecture::X86_64, Architecture::I386]
            .iter()
            .any(|architecture| architecture.number(name).is_some());
        assert!(somewhere, "{name}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn conditions_look_at_what_the_kernel_looks_at() {
    const NEW_USER: u64 = 0x1000_0000;
    const FILES: u64 = 0x400;
    let filter = usual();
    let eperm = errno(nix::libc::EPERM);
    let passes = |name, arguments| both(&filter, name, arguments).contains(&ALLOW);
    assert!(!passes("unshare", first(NEW_USER | FILES)));
    assert!(passes("unshare", first(FILES)));
    assert!(!passes("clone", first(NEW_USER)));
    // TIOCSTI with something above the word that the kernel reads (CVE-2019-10063).
    assert_eq!(both(&filter, "ioctl", [0, 0x5412, 0, 0, 0, 0]), [eperm; 2]);
    assert_eq!(
        both(&filter, "ioctl", [0, 0x1_0000_5412, 0, 0, 0, 0])[0],
        eperm
    );
    assert_eq!(both(&filter, "ioctl", [0, 0x5413, 0, 0, 0, 0]), [ALLOW; 2]);
    assert_eq!(both(&filter, "personality", first(8)), [ALLOW; 2]);
    assert_eq!(both(&filter, "personality", first(0x004_0000)), [ALLOW; 2]);
    assert_eq!(both(&filter, "personality", first(0xffff_ffff)), [ALLOW; 2]);
    assert_eq!(both(&filter, "personality", first(0x040_0000)), [eperm; 2]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn sockets_outside_of_network_namespaces_are_not_known() {
    const VSOCK: u64 = 40;
    let filter = usual();
    let unknown = errno(nix::libc::EAFNOSUPPORT);
    assert_eq!(both(&filter, "socket", first(VSOCK)), [unknown; 2]);
    for family in [1, 2, 10, 16, 17] {
        assert_eq!(both(&filter, "socket", first(family)), [ALLOW; 2]);
    }
    let by_socketcall = both(&filter, "socketcall", first(1));
    assert_eq!(by_socketcall, [errno(nix::libc::ENOSYS)]);
    assert_eq!(both(&filter, "socketcall", first(3)), [ALLOW]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_32_bit_root_makes_its_sockets_by_socketcall() {
    let spec = spec(profile(Sockets::Direct), LinuxPersonalityDomain::PerLinux32);
    let filter = filter(&spec).unwrap().unwrap();
    assert_eq!(both(&filter, "socketcall", first(1)), [ALLOW]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn x32_is_refused_whole() {
    let filter = usual();
    for number in [0, 39, 512, 547] {
        let outcome = run(&filter, X86_64, 0x4000_0000 | number, [0; 6]);
        assert_eq!(outcome, errno(nix::libc::ENOSYS));
    }
}

#[test]
fn what_is_not_of_this_machine_is_killed() {
    const SPARC: u32 = 0x0000_0002;
    assert_eq!(run(&usual(), SPARC, 0, [0; 6]), KILL_PROCESS);
}

fn rule(op: LinuxSeccompOperator, value: u64) -> LinuxSeccomp {
    let condition: LinuxSeccompArg = LinuxSeccompArgBuilder::default()
        .index(3_usize)
        .value(value)
        .op(op)
        .build()
        .unwrap();
    let rule = LinuxSyscallBuilder::default()
        .names(["read".to_owned()])
        .action(LinuxSeccompAction::ScmpActLog)
        .args([condition])
        .build()
        .unwrap();
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActKillProcess)
        .syscalls([rule])
        .build()
        .unwrap()
}

#[test]
fn operators_compare_whole_arguments() {
    use LinuxSeccompOperator as Op;
    let read = Architecture::NATIVE.number("read").unwrap();
    let value = 0x5_0000_0005;
    let greater = 0x6_0000_0000;
    let others = [0, 5, value - 1, value, value + 1, greater];
    for (op, holds) in [
        (Op::ScmpCmpEq, &[value][..]),
        (Op::ScmpCmpNe, &[0, 5, value - 1, value + 1, greater]),
        (Op::ScmpCmpLt, &[0, 5, value - 1]),
        (Op::ScmpCmpLe, &[0, 5, value - 1, value]),
        (Op::ScmpCmpGt, &[value + 1, greater]),
        (Op::ScmpCmpGe, &[value, value + 1, greater]),
    ] {
        let filter = filter_of(rule(op, value));
        for other in others {
            let arguments = [0, 0, 0, other, 0, 0];
            let logged = run(&filter, Architecture::NATIVE as u32, read, arguments) != KILL_PROCESS;
            assert_eq!(logged, holds.contains(&other), "{other:#x} {op}");
        }
    }
}

#[test]
fn what_needs_a_supervisor_is_not_supported() {
    let mut asked = profile(Sockets::Direct);
    asked.set_default_action(LinuxSeccompAction::ScmpActNotify);
    let refused = filter(&spec(asked, LinuxPersonalityDomain::PerLinux));
    assert!(matches!(refused, Err(PlanError::Unsupported(_))));
}

#[test]
fn program_is_short_enough_for_the_kernel() {
    const MOST: usize = 4096;
    assert!(usual().program.len() < MOST / 2);
}
