//! What newuidmap and newgidmap need to map an ordinary user's ids.
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::StatVfsMountFlags;
use rustix::thread::CapabilitySet;

use super::{Finding, Problem, Weight};
use crate::engine::Engine;
use crate::{remedy, userns};

pub(super) fn findings() -> Vec<Finding> {
    let programs = [("newuidmap", "cap_setuid"), ("newgidmap", "cap_setgid")];
    let mut findings: Vec<Finding> = programs
        .into_iter()
        .map(|(name, capability)| Finding {
            name,
            problem: problem(name, capability),
        })
        .collect();
    findings.push(Finding {
        name: "new privileges",
        problem: no_new_privileges(),
    });
    findings
}

/// execve(2): with no_new_privs neither setuid nor file capabilities have an effect.
fn no_new_privileges() -> Option<Problem> {
    if !rustix::thread::no_new_privs().unwrap_or(false) {
        return None;
    }
    Some(needed(
        "no_new_privs is set, which keeps newuidmap and newgidmap from their privileges".to_owned(),
        remedy::for_no_new_privileges(Engine::of_this_process()),
    ))
}

fn problem(program: &str, capability: &str) -> Option<Problem> {
    let Some(path) = userns::find(program) else {
        return Some(needed(
            format!("{program} is not installed"),
            "apt install uidmap".to_owned(),
        ));
    };
    let shown = path.display();
    if is_on_nosuid(&path) {
        return Some(needed(
            format!("{shown} is on a file system that is mounted nosuid"),
            format!("mount -o remount,suid $(findmnt -no TARGET --target {shown})"),
        ));
    }
    if has_capabilities(&path) {
        return None;
    }
    if !is_setuid_root(&path) {
        return Some(needed(
            format!("{shown} is not setuid root"),
            format!("chmod u+s {shown}"),
        ));
    }
    if lacks_sys_admin() {
        return Some(needed(
            format!("{shown} is setuid root, and root lacks CAP_SYS_ADMIN in this container"),
            format!("chmod u-s {shown} && setcap {capability}=ep {shown} (of package libcap2-bin)"),
        ));
    }
    None
}

fn needed(what: String, remedy: String) -> Problem {
    Problem {
        weight: Weight::Needed,
        what,
        remedy: Some(remedy),
    }
}

fn is_setuid_root(path: &Path) -> bool {
    const SETUID: u32 = 0o4000;
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.uid() == 0 && metadata.permissions().mode() & SETUID != 0)
}

fn has_capabilities(path: &Path) -> bool {
    let mut value = [0_u8; 64];
    rustix::fs::getxattr(path, "security.capability", &mut value).is_ok()
}

fn is_on_nosuid(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|status| status.f_flag.contains(StatVfsMountFlags::NOSUID))
}

/// Who writes uid_map needs CAP_SYS_ADMIN in the new user namespace, which its owner has, and
/// otherwise root only with the same capability outside (user_namespaces(7)).
fn lacks_sys_admin() -> bool {
    rustix::thread::capability_is_in_bounding_set(CapabilitySet::SYS_ADMIN)
        .is_ok_and(|is_in_bounding_set| !is_in_bounding_set)
}
