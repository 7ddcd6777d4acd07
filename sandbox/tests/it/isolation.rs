use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use oci_spec::runtime::{LinuxPersonality, LinuxPersonalityDomain};
use sandbox::Exit;

use crate::root::{Root, exit_of, output, process, run, shell};

#[test]
fn hostname_is_the_sessions() {
    let root = Root::new();
    assert_eq!(output(&root.begin(), "hostname"), "box\n");
    assert_ne!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        "box\n"
    );
}

#[test]
fn machine_is_the_one_of_the_personality() {
    let root = Root::new();
    let machine = std::env::consts::ARCH;
    let machine32 = match machine {
        "x86_64" => "i686",
        "aarch64" => "armv8l",
        other => other,
    };
    for (domain, machine) in [
        (LinuxPersonalityDomain::PerLinux32, machine32),
        (LinuxPersonalityDomain::PerLinux, machine),
    ] {
        let mut personality = LinuxPersonality::default();
        personality.set_domain(domain);
        let mut spec = root.spec();
        let linux = spec.linux_mut().as_mut().unwrap();
        linux.set_personality(Some(personality));
        let session = root.launcher.begin(&spec).unwrap();
        assert_eq!(output(&session, "uname -m").trim(), machine);
    }
}

#[test]
fn only_subordinate_ids_are_mapped() {
    let root = Root::new();
    let session = root.begin();
    let own = rustix::process::geteuid().as_raw();
    for file in ["/proc/self/uid_map", "/proc/self/gid_map"] {
        let map = output(&session, &format!("cat {file}"));
        for line in map.lines() {
            let numbers: Vec<u32> = line
                .split_whitespace()
                .map(|number| number.parse().unwrap())
                .collect();
            let outside = numbers[1]..numbers[1] + numbers[2];
            assert!(!outside.contains(&0) && !outside.contains(&own), "{map}");
        }
    }
    assert_eq!(output(&session, "id -u"), "0\n");
}

#[test]
fn files_of_the_sessions_root_belong_to_the_first_subordinate_id() {
    let root = Root::new();
    let session = root.begin();
    output(&session, "touch /work/file; chown 7:8 /work/file");
    let metadata = fs::metadata(root.path().join("work/file")).unwrap();
    let ids = &root.launcher.ids;
    assert_eq!(metadata.uid(), ids.uids[0].outside + 7);
    assert_eq!(metadata.gid(), ids.gids[0].outside + 8);
}

#[test]
fn namespaces_are_the_sessions_own() {
    let root = Root::new();
    let session = root.begin();
    for name in ["user", "mnt", "pid", "ipc", "uts", "cgroup", "net"] {
        let inside = output(&session, &format!("readlink /proc/self/ns/{name}"));
        let outside = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(inside.trim(), outside.to_str().unwrap());
    }
}

#[test]
fn mounts_are_not_seen_by_the_host() {
    let root = Root::new();
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let session = root.begin();
    let path = root.path();
    let during = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!during.contains(path.to_str().unwrap()));
    assert!(!before.contains(path.to_str().unwrap()));
    drop(session);
}

#[test]
fn nothing_of_the_hosts_tree_is_mounted() {
    let root = Root::new();
    let text = output(
        &root.begin(),
        "cut -d ' ' -f 5 /proc/self/mountinfo | sort -u",
    );
    let allowed = ["/", "/proc", "/dev", "/sys", "/tmp"];
    for point in text.lines() {
        let inside = allowed[1..]
            .iter()
            .any(|top| point == *top || point.starts_with(&format!("{top}/")));
        assert!(point == "/" || inside, "{text}");
    }
}

#[test]
fn devices_work() {
    let root = Root::new();
    let session = root.begin();
    output(
        &session,
        "echo x >/dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c &&
         test -c /dev/full && test -c /dev/random && test -c /dev/tty &&
         test -c /dev/ptmx && test -e /dev/fd/0 && echo y >/dev/stdout && touch /dev/shm/file &&
         test \"$(stat -c %a /dev/ptmx)\" = 777 && test \"$(stat -L -c %a /dev/ptmx)\" = 666",
    );
}

#[test]
fn devices_can_not_be_made() {
    let root = Root::new();
    let session = root.begin();
    assert_eq!(
        exit_of(&session, &shell("mknod /work/mem c 1 1")),
        Exit::Code(1)
    );
}

#[test]
fn kernel_settings_can_not_be_written() {
    let root = Root::new();
    let session = root.begin();
    for path in [
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/uevent_helper",
    ] {
        let (exit, text) = run(&session, &shell(&format!("echo x >{path}")));
        assert_ne!(exit, Exit::Code(0), "{path}: {text}");
    }
    let text = output(&session, "grep ' /sys ' /proc/mounts");
    assert!(text.contains(" ro,"), "{text}");
}

#[test]
fn masked_paths_are_empty() {
    let root = Root::new();
    let session = root.begin();
    assert_eq!(output(&session, "cat /proc/keys /proc/timer_list"), "");
    assert_eq!(output(&session, "ls /sys/firmware"), "");
}

#[test]
fn masks_and_mounts_stay() {
    let root = Root::new();
    let session = root.begin();
    for script in [
        "umount /proc/keys",
        "umount -l /proc",
        "mount -t tmpfs none /work",
        "mount -o remount,rw /proc/sys",
        "chroot /work umount /proc",
    ] {
        assert_ne!(exit_of(&session, &shell(script)), Exit::Code(0), "{script}");
    }
}

#[test]
fn init_can_not_be_traced_or_looked_into() {
    let root = Root::new();
    let session = root.begin();
    for script in [
        "readlink /proc/1/exe",
        "readlink /proc/1/root",
        "ls /proc/1/fd",
        "cat /proc/1/environ",
        "cat /proc/1/maps",
        "dd if=/proc/1/mem bs=1 count=1",
        "ls /proc/1/root/",
        "ls /proc/1/cwd/",
        "echo >/proc/1/oom_score_adj",
    ] {
        let (exit, text) = run(&session, &shell(script));
        assert_ne!(exit, Exit::Code(0), "{script}: {text}");
    }
    // Neither these nor SIGKILL from inside reach it.
    output(&session, "kill -KILL 1; kill -TERM 1; kill -STOP 1; true");
    assert_eq!(exit_of(&session, &process(&["true"])), Exit::Code(0));
}

#[test]
fn host_is_not_reached_through_the_root() {
    let root = Root::new();
    let session = root.begin();
    let marker = format!("outside-{}", std::process::id());
    let outside = root.shared("outside").join(&marker);
    fs::write(&outside, "").unwrap();
    for path in [
        outside.to_str().unwrap().to_owned(),
        format!("/../outside/{marker}"),
        format!("/proc/self/root/../outside/{marker}"),
    ] {
        let exit = exit_of(&session, &process(&["test", "-e", &path]));
        assert_eq!(exit, Exit::Code(1), "{path}");
    }
}

#[test]
fn read_only_root_is_read_only_with_writable_tmp() {
    let root = Root::new();
    let mut spec = root.spec();
    let mut oci_root = spec.root().clone().unwrap();
    oci_root.set_readonly(Some(true));
    spec.set_root(Some(oci_root));
    let session = root.launcher.begin(&spec).unwrap();
    assert_eq!(exit_of(&session, &shell("touch /work/file")), Exit::Code(1));
    assert_eq!(exit_of(&session, &shell("touch /tmp/file")), Exit::Code(0));
    assert!(!Path::new(&root.path().join("work/file")).exists());
}

#[test]
fn other_sessions_are_not_seen() {
    let root = Root::new();
    let (one, other) = (root.begin(), root.begin());
    let sleeping = one
        .run(&process(&["sleep", "1000"]), sandbox::Stdio::default())
        .unwrap();
    let text = output(&other, "ps");
    assert!(!text.contains("sleep"), "{text}");
    sleeping.kill(9).unwrap();
}

#[test]
fn hosts_own_tree_can_be_a_read_only_root() {
    let root = Root::new();
    let shared = root.shared("target");
    let mut spec = sandbox::session_spec(Path::new("/"), Vec::new(), "box");
    let mut oci_root = spec.root().clone().unwrap();
    oci_root.set_readonly(Some(true));
    spec.set_root(Some(oci_root));
    let bind = oci_spec::runtime::MountBuilder::default()
        .destination("/mnt")
        .typ("bind")
        .source(&shared)
        .options(["bind".to_owned()])
        .build()
        .unwrap();
    spec.mounts_mut().as_mut().unwrap().push(bind);
    let session = root.launcher.begin(&spec).unwrap();
    output(&session, "echo x >/mnt/file");
    assert!(shared.join("file").exists());
    let file = format!("/var/tmp/sandbox-test-{}", std::process::id());
    assert_ne!(
        exit_of(&session, &process(&["touch", &file])),
        Exit::Code(0)
    );
}
