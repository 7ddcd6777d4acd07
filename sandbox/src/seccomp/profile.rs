//! What sessions refuse unless their spec says otherwise.
//!
//! It is a list of what is refused: packages use, and test, whatever else the kernel has.
//! Refused is what reaches beyond a process's own files, memory and processes, and what faults of
//! kernels were mostly reached by. Root of a session has no capability for many of these; they are
//! listed so that the kernel's own check is not the only one.
//!
//! EPERM stands where kernels say so to the unprivileged, ENOSYS where kernels are built without the
//! call: programs and test suites know both answers and do without.
//!
//! Not refused: ptrace(2) and process_vm_readv(2), which reach a user's own processes of the session
//! and no others, and without which neither gdb, strace nor the leak sanitizer can be tested.
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

use nix::libc::{CLONE_NEWUSER, EAFNOSUPPORT, ENOSYS, EPERM};

use super::architecture::Architecture;

/// For administrators: modules, mounts, time, kernel memory, other kernels.
const NOT_PERMITTED: [&str; 44] = [
    "_sysctl",
    "acct",
    "bpf",
    "clock_settime",
    "clock_settime64",
    "create_module",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_kernel_syms",
    "init_module",
    "ioperm",
    "iopl",
    "kexec_file_load",
    "kexec_load",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "open_tree_attr",
    "perf_event_open",
    "pivot_root",
    "query_module",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "setns",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "syslog",
    "umount",
    "umount2",
    "uselib",
    "vhangup",
    "vm86",
    "vm86old",
];

/// Kernels are built without these. clone3(2) hides its flags where no filter can see them; the C
/// library falls back to clone(2).
const NOT_IMPLEMENTED: [&str; 9] = [
    "add_key",
    "clone3",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kcmp",
    "keyctl",
    "request_key",
    "userfaultfd",
];

/// Requests that put characters into, or take them from, a terminal that others read
/// (ioctl_tty(2)): TIOCSTI, TIOCLINUX.
const TERMINAL_REQUESTS: [u64; 2] = [0x5412, 0x541c];

/// What builds need: PER_LINUX and PER_LINUX32, both with UNAME26 and ADDR_NO_RANDOMIZE
/// (personality(2)).
const PERSONALITIES: [u64; 2] = [0, 8];
const PERSONALITY_FLAGS: [u64; 4] = [0, 0x002_0000, 0x004_0000, 0x006_0000];
const ASK_PERSONALITY: u64 = 0xffff_ffff;

/// AF_UNIX, AF_INET, AF_INET6, AF_NETLINK and AF_PACKET belong to a network namespace. Others do
/// not (vsock leads to the machine that this one runs on), or load modules on demand. AF_UNSPEC is
/// the kernel's to refuse.
const ADDRESS_FAMILIES: [u64; 6] = [0, 1, 2, 10, 16, 17];

/// Makes a socket (linux/net.h, SYS_SOCKET); its family stands in memory.
const SOCKETCALL_SOCKET: u64 = 1;

/// How the C library of a root file system makes sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sockets {
    Direct,
    /// As that of i386 does; what kind of socket can't be seen by a filter, so all are let through.
    BySocketcall,
}

/// The filter of a session.
pub(crate) fn profile(sockets: Sockets) -> LinuxSeccomp {
    let mut rules = vec![
        refuse(&NOT_PERMITTED, EPERM),
        refuse(&NOT_IMPLEMENTED, ENOSYS),
    ];
    rules.extend(new_user_namespaces());
    rules.extend(TERMINAL_REQUESTS.map(|request| refuse_if("ioctl", low_word(1, request), EPERM)));
    rules.extend(only("personality", &personalities(), EPERM));
    rules.extend(only("socket", &ADDRESS_FAMILIES, EAFNOSUPPORT));
    if sockets == Sockets::Direct {
        rules.push(refuse_if(
            "socketcall",
            low_word(0, SOCKETCALL_SOCKET),
            ENOSYS,
        ));
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActAllow)
        .architectures(Architecture::of_machine().to_vec())
        .syscalls(rules)
        .build()
        .expect("all other fields of a filter have defaults")
}

/// A user namespace gives its maker every capability inside, and with them most of the faults of
/// kernels. Debian's builders run packages in a chroot, where the kernel refuses it too
/// (user_namespaces(7)), so test suites skip what needs one.
fn new_user_namespaces() -> [LinuxSyscall; 2] {
    let flag = u64::from(CLONE_NEWUSER.cast_unsigned());
    // The stack comes first on s390x (clone(2)).
    let clone_flags = usize::from(Architecture::NATIVE == Architecture::S390x);
    [("clone", clone_flags), ("unshare", 0)]
        .map(|(name, index)| refuse_if(name, masked(index, flag, flag), EPERM))
}

fn personalities() -> Vec<u64> {
    let wanted = PERSONALITIES
        .iter()
        .flat_map(|domain| PERSONALITY_FLAGS.map(|flags| domain | flags));
    wanted.chain([ASK_PERSONALITY]).collect()
}

/// Lets these first arguments through; a rule without condition counts when no other does.
fn only(name: &str, wanted: &[u64], errno: i32) -> Vec<LinuxSyscall> {
    let action = LinuxSeccompAction::ScmpActAllow;
    let allow = wanted
        .iter()
        .map(|wanted| rule(&[name], action, None, Some(low_word(0, *wanted))));
    allow.chain([refuse(&[name], errno)]).collect()
}

fn refuse(names: &[&str], errno: i32) -> LinuxSyscall {
    let action = LinuxSeccompAction::ScmpActErrno;
    rule(names, action, Some(errno), None)
}

fn refuse_if(name: &str, condition: LinuxSeccompArg, errno: i32) -> LinuxSyscall {
    let action = LinuxSeccompAction::ScmpActErrno;
    rule(&[name], action, Some(errno), Some(condition))
}

fn rule(
    names: &[&str],
    action: LinuxSeccompAction,
    errno: Option<i32>,
    condition: Option<LinuxSeccompArg>,
) -> LinuxSyscall {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut rule = LinuxSyscallBuilder::default()
        .names(names)
        .action(action)
        .build()
        .expect("all other fields of a rule have defaults");
    rule.set_errno_ret(errno.map(i32::cast_unsigned));
    rule.set_args(condition.map(|condition| vec![condition]));
    rule
}

/// The kernel takes the low word of these arguments, whatever stands in the high one.
fn low_word(index: usize, value: u64) -> LinuxSeccompArg {
    masked(index, 0xffff_ffff, value)
}

fn masked(index: usize, mask: u64, value: u64) -> LinuxSeccompArg {
    LinuxSeccompArgBuilder::default()
        .index(index)
        .value(mask)
        .value_two(value)
        .op(LinuxSeccompOperator::ScmpCmpMaskedEq)
        .build()
        .expect("all fields of an argument are given")
}
