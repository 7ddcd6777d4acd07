//! `mini-buildd doctor` on hosts that something is missing of, each in a mount namespace of its own.
mod chroots;
mod host;

use serde_json::Value;

use host::Host;

/// What a script takes from the host, and what the doctor says about it.
struct Miss {
    host: Host,
    finding: &'static str,
    problem: &'static str,
    remedy: &'static str,
}

impl Miss {
    fn of(host: Host, finding: &'static str, problem: &'static str, remedy: &'static str) -> Miss {
        Miss {
            host,
            finding,
            problem,
            remedy,
        }
    }

    fn check(self, is_needed: bool) {
        let report = self.host.examined();
        let finding = finding(&report, self.finding);
        let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        assert!(text("problem").contains(self.problem), "{finding}");
        assert!(text("remedy").contains(self.remedy), "{finding}");
        assert_eq!(finding["needed"], is_needed, "{finding}");
        if is_needed {
            assert_eq!(report["ok"], false);
        }
    }
}

fn finding<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut findings = report["findings"].as_array().unwrap().iter();
    let found = findings.find(|finding| finding["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

fn needed(script: &str, finding: &'static str, problem: &'static str, remedy: &'static str) {
    Miss::of(Host::without(script), finding, problem, remedy).check(true);
}

fn recommended(script: &str, finding: &'static str, problem: &'static str, remedy: &'static str) {
    Miss::of(Host::without(script), finding, problem, remedy).check(false);
}

#[test]
fn host_with_all_is_well() {
    let report = Host::without("").examined();
    assert_eq!(report["ok"], true, "{report:#}");
    for name in [
        "debootstrap",
        "subordinate uids",
        "subordinate gids",
        "newuidmap",
        "newgidmap",
        "new privileges",
        "user namespaces",
        "map of ids",
        "mounts",
        "host name",
        "fresh /proc",
        "devices",
        "overlay",
    ] {
        assert_eq!(finding(&report, name)["ok"], true, "{report:#}");
    }
}

#[test]
fn missing_subordinate_ids_are_added_by_usermod() {
    needed(
        ": >subuid",
        "subordinate uids",
        "there is no entry",
        "usermod --add-subuids ",
    );
    needed(
        ": >subgid",
        "subordinate gids",
        "there is no entry",
        "usermod --add-subgids ",
    );
}

#[test]
fn range_that_is_too_small_is_told_with_its_size() {
    needed(
        "echo daemon:10000:500 >subuid",
        "subordinate uids",
        "the largest range has 500 ids",
        "usermod --add-subuids ",
    );
}

#[test]
fn range_that_two_users_share_is_told_with_the_other() {
    recommended(
        "echo bin:20000:10 >>subuid",
        "subordinate uids",
        "gives ids of daemon to bin too",
        "usermod --del-subuids 10000-49999 --add-subuids ",
    );
}

#[test]
fn range_outside_of_a_container_gets_one_inside_as_remedy() {
    let host = Host::in_container("echo daemon:200000:65536 >subuid");
    let problem = "only 0 exist in this user namespace";
    let remedy = "usermod --add-subuids 10000-59999 daemon";
    Miss::of(host, "subordinate uids", problem, remedy).check(true);
}

#[test]
fn newuidmap_that_is_not_there_is_installed() {
    needed(
        "mount --bind /dev/null /usr/bin/newuidmap",
        "newuidmap",
        "newuidmap is not installed",
        "apt install uidmap",
    );
}

#[test]
fn newuidmap_without_setuid_is_given_it() {
    needed(
        "chmod u-s newuidmap",
        "newuidmap",
        "/usr/bin/newuidmap is not setuid root",
        "chmod u+s /usr/bin/newuidmap",
    );
}

/// All of them: the kernel is content with any /proc that is seen whole.
const MASKED_PROC: &str =
    "for proc in $(findmnt -rno TARGET -t proc); do mount --bind /dev/null $proc/keys; done";

#[test]
fn what_needs_no_ids_is_tried_without_newuidmap() {
    let report = Host::without(&format!("chmod u-s newuidmap\n{MASKED_PROC}")).examined();
    assert_eq!(finding(&report, "fresh /proc")["ok"], false, "{report:#}");
    assert_eq!(finding(&report, "overlay")["ok"], true, "{report:#}");
}

#[test]
fn newuidmap_on_a_file_system_without_setuid_is_told_apart() {
    needed(
        "mount -o remount,bind,nosuid /usr/bin/newgidmap",
        "newgidmap",
        "/usr/bin/newgidmap is on a file system that is mounted nosuid",
        "mount -o remount,suid ",
    );
}

#[test]
fn newuidmap_needs_file_capabilities_where_root_has_no_cap_sys_admin() {
    let without = "as='setpriv --bounding-set=-sys_admin'";
    needed(
        without,
        "newuidmap",
        "root lacks CAP_SYS_ADMIN",
        "setcap cap_setuid=ep /usr/bin/newuidmap",
    );
    let mended = "chmod u-s newuidmap newgidmap
        setcap cap_setuid=ep newuidmap
        setcap cap_setgid=ep newgidmap";
    let report = Host::without(&format!("{without}\n{mended}")).examined();
    assert_eq!(report["ok"], true, "{report:#}");
}

#[test]
fn no_new_privileges_are_found() {
    needed(
        "as='setpriv --no-new-privs'",
        "new privileges",
        "no_new_privs is set",
        "NoNewPrivileges=no",
    );
}

#[test]
fn chroot_is_left_for_user_namespaces() {
    needed(
        "mkdir root; mount --rbind / root; as='chroot root'",
        "user namespaces",
        "can't make namespaces",
        "run it outside of the chroot",
    );
}

#[test]
fn masked_proc_is_unmasked_by_the_engines_option() {
    needed(
        MASKED_PROC,
        "fresh /proc",
        "can't mount proc on /proc",
        "podman run --security-opt unmask=ALL (docker: --security-opt systempaths=unconfined)",
    );
    let podman = "mkdir run; mount --bind run /run; touch /run/.containerenv";
    Miss::of(
        Host::without(&format!("{MASKED_PROC}\n{podman}")),
        "fresh /proc",
        "can't mount proc on /proc",
        "start the container by: podman run --security-opt unmask=ALL",
    )
    .check(true);
}

#[test]
fn home_on_overlay_is_put_elsewhere() {
    needed(
        "mkdir lower upper work
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay home
        chmod 777 home",
        "overlay",
        "can't mount overlay",
        "choose a directory on ext4, xfs, btrfs or tmpfs with --home",
    );
}

#[test]
fn small_file_system_is_refused_and_one_below_the_rule_of_thumb_is_told() {
    needed(
        "mount -t tmpfs -o size=2m,mode=777 tmpfs home",
        "free space",
        "chroots and builds need 3072 MiB",
        "--home",
    );
    recommended(
        "mount -t tmpfs -o size=4g,mode=777 tmpfs home",
        "free space",
        "as a rule of thumb",
        "--home",
    );
}

#[test]
fn program_that_is_not_there_is_installed() {
    needed(
        "mount --bind /dev/null /usr/sbin/debootstrap",
        "debootstrap",
        "debootstrap is not installed",
        "apt install debootstrap",
    );
}

#[test]
fn cgroups_that_are_not_delegated_are_advice() {
    recommended(
        "mount -t tmpfs tmpfs /sys/fs/cgroup",
        "cgroup delegation",
        "no cgroup 2 tree is mounted",
        "systemd.unified_cgroup_hierarchy=1",
    );
}

#[test]
fn missing_tun_device_and_pasta_are_advice() {
    recommended(
        "mkdir -p /dev/net; mount -t tmpfs tmpfs /dev/net",
        "/dev/net/tun",
        "can't open /dev/net/tun",
        "modprobe tun",
    );
    recommended(
        "[ ! -e /usr/bin/pasta ] || mount --bind /dev/null /usr/bin/pasta",
        "pasta",
        "pasta is not installed",
        "apt install passt",
    );
}
