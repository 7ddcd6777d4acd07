//! What an administrator can do about a refusal.
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use nix::errno::Errno;

use crate::engine::{Engine, Wish};
use crate::idmap::{NoIds, Overlap, Subordinate};
use crate::refusal::Attempt;
use crate::{Error, preflight, userns};

impl Error {
    /// Tells what would help, where that is known; may look at this host's settings.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Error::SubordinateIds { file, user, source } => {
                Some(for_ids(file, user, source, Engine::of_this_process()))
            }
            Error::Refused { attempt, source } => {
                let errno = source.raw_os_error().map(Errno::from_raw);
                for_attempt(attempt, errno, &Host)
            }
            _ => None,
        }
    }
}

/// What remedies depend on.
trait Settings {
    fn sysctl(&self, name: &str) -> Option<String>;
    fn has_program(&self, name: &str) -> bool;
    fn forbids_new_privileges(&self) -> bool;
    /// Tells whether seccomp(2) may refuse system calls.
    fn filters_system_calls(&self) -> bool;
    fn engine(&self) -> Option<Engine>;
}

struct Host;

impl Settings for Host {
    fn sysctl(&self, name: &str) -> Option<String> {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        Some(fs::read_to_string(path).ok()?.trim().to_owned())
    }

    fn has_program(&self, name: &str) -> bool {
        userns::find(name).is_some()
    }

    fn forbids_new_privileges(&self) -> bool {
        rustix::thread::no_new_privs().unwrap_or(false)
    }

    fn filters_system_calls(&self) -> bool {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mode = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"));
        mode.is_some_and(|mode| mode.trim() != "0")
    }

    fn engine(&self) -> Option<Engine> {
        Engine::of_this_process()
    }
}

/// Options of usermod(8): to add a range, to delete one.
fn usermod_options(file: &Path) -> (&'static str, &'static str) {
    if file == Subordinate::Uid.file() {
        ("--add-subuids", "--del-subuids")
    } else {
        ("--add-subgids", "--del-subgids")
    }
}

fn for_ids(file: &Path, user: &str, reason: &NoIds, engine: Option<Engine>) -> String {
    let (add, _) = usermod_options(file);
    match reason {
        NoIds::NoEntry { free: Some(free) }
        | NoIds::TooFew {
            free: Some(free), ..
        }
        | NoIds::NotInOuterMap {
            free: Some(free), ..
        } => format!("usermod {add} {} {user}", written(free)),
        NoIds::NoEntry { free: None }
        | NoIds::TooFew { free: None, .. }
        | NoIds::NotInOuterMap { free: None, .. }
        | NoIds::NoRoom => Wish::MoreIds.remedy(engine),
    }
}

/// As usermod(8) takes ranges.
fn written(ids: &RangeInclusive<u32>) -> String {
    format!("{}-{}", ids.start(), ids.end())
}

/// For ids that another user has too; chroots that were made with them have to be made anew.
pub(crate) fn for_overlap(kind: Subordinate, overlap: &Overlap) -> Option<String> {
    let (add, delete) = usermod_options(kind.file());
    let free = overlap.free.as_ref()?;
    Some(format!(
        "mini-buildd remove, if chroots were made; then usermod {delete} {} {add} {} {}",
        written(&overlap.ids),
        written(free),
        overlap.user
    ))
}

fn for_attempt(
    attempt: &Attempt,
    errno: Option<Errno>,
    settings: &impl Settings,
) -> Option<String> {
    let text = match (attempt, errno) {
        (Attempt::MakeNamespaces, Some(Errno::ENOSPC)) => {
            "sysctl -w user.max_user_namespaces=10000".to_owned()
        }
        (
            Attempt::MakeNamespaces | Attempt::BecomeRoot | Attempt::MakePrivate,
            Some(Errno::EPERM | Errno::EACCES),
        ) => for_forbidden_namespaces(settings),
        (Attempt::MapIds { program }, _) => return for_map(program, settings),
        (Attempt::KeepLoopbackIn, Some(Errno::EPROTONOSUPPORT)) => "modprobe xfrm_user".to_owned(),
        (Attempt::ConnectNetwork, _) => return preflight::remedy_of_network(),
        (Attempt::Mount { kind, .. }, Some(Errno::EPERM)) if kind == "proc" => {
            Wish::WholeProc.remedy(settings.engine())
        }
        (Attempt::Mount { kind, .. }, Some(Errno::EPERM)) if kind == "sysfs" => {
            "bind the host's /sys read-only instead".to_owned()
        }
        (Attempt::Mount { kind, .. }, Some(Errno::EPERM)) if kind == "tmpfs" => {
            Wish::SystemCalls.remedy(settings.engine())
        }
        (Attempt::SetHostname(_), Some(Errno::EPERM)) => {
            "none is needed: sessions then have the container's name".to_owned()
        }
        (Attempt::Mount { kind, .. }, Some(Errno::ENODEV)) if kind == "overlay" => {
            "modprobe overlay".to_owned()
        }
        (Attempt::Mount { kind, .. }, Some(Errno::EPERM)) if kind == "overlay" => {
            "overlay in user namespaces needs Linux 5.11 or newer".to_owned()
        }
        (Attempt::Mount { kind, .. }, Some(Errno::EINVAL)) if kind == "overlay" => {
            for_upper_directory(settings)
        }
        // Engines refuse what they do not know with ENOSYS, so that programs fall back.
        (_, Some(Errno::ENOSYS)) if settings.filters_system_calls() => {
            Wish::SystemCalls.remedy(settings.engine())
        }
        (_, Some(Errno::ENOSYS)) => "a kernel from Linux 5.12 on is needed".to_owned(),
        _ => return None,
    };
    Some(text)
}

fn for_forbidden_namespaces(settings: &impl Settings) -> String {
    let is = |name: &str, value: &str| settings.sysctl(name).as_deref() == Some(value);
    if is("kernel.unprivileged_userns_clone", "0") {
        return "sysctl -w kernel.unprivileged_userns_clone=1".to_owned();
    }
    if is("kernel.apparmor_restrict_unprivileged_userns", "1") {
        return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, \
                or an AppArmor profile with `userns,` for this program"
            .to_owned();
    }
    if is("user.max_user_namespaces", "0") {
        return "sysctl -w user.max_user_namespaces=10000".to_owned();
    }
    if settings.filters_system_calls() {
        return Wish::SystemCalls.remedy(settings.engine());
    }
    // What is left of the reasons for EPERM in unshare(2).
    "run it outside of the chroot: in one, the kernel makes no user namespaces".to_owned()
}

fn for_upper_directory(settings: &impl Settings) -> String {
    match settings.engine() {
        Some(engine) => Wish::FileSystem.remedy(Some(engine)),
        None => "choose a directory on ext4, xfs, btrfs or tmpfs with --home; \
                 overlay writes to no overlay and to no network file system"
            .to_owned(),
    }
}

fn for_map(program: &str, settings: &impl Settings) -> Option<String> {
    if !program.starts_with("new") {
        return None;
    }
    if !settings.has_program(program) {
        return Some("apt install uidmap".to_owned());
    }
    if settings.forbids_new_privileges() {
        return Some(for_no_new_privileges(settings.engine()));
    }
    Some("dpkg-reconfigure uidmap, and compare /etc/subuid and /etc/subgid".to_owned())
}

pub(crate) fn for_no_new_privileges(engine: Option<Engine>) -> String {
    match engine {
        Some(engine) => Wish::NewPrivileges.remedy(Some(engine)),
        None => "start it without no_new_privs: not under setpriv --no-new-privs, \
                 and in a systemd unit with NoNewPrivileges=no"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysctl and its value, and nothing else.
    struct Set(&'static str, &'static str);

    impl Settings for Set {
        fn sysctl(&self, name: &str) -> Option<String> {
            (name == self.0).then(|| self.1.to_owned())
        }
        fn has_program(&self, _name: &str) -> bool {
            false
        }
        fn forbids_new_privileges(&self) -> bool {
            false
        }
        fn filters_system_calls(&self) -> bool {
            false
        }
        fn engine(&self) -> Option<Engine> {
            None
        }
    }

    fn remedy(attempt: &Attempt, errno: Errno, settings: &Set) -> String {
        for_attempt(attempt, Some(errno), settings).unwrap()
    }

    #[test]
    fn missing_entry_is_added_by_usermod() {
        let text = for_ids(
            Subordinate::Gid.file(),
            "me",
            &NoIds::NoEntry {
                free: Some(165_536..=231_071),
            },
            None,
        );
        assert_eq!(text, "usermod --add-subgids 165536-231071 me");
    }

    #[test]
    fn container_without_room_has_to_get_more_ids() {
        let text = for_ids(
            Subordinate::Uid.file(),
            "me",
            &NoIds::NotInOuterMap {
                usable: 0,
                free: None,
            },
            Some(Engine::Nspawn),
        );
        assert!(text.contains("--private-users=pick"), "{text}");
    }

    #[test]
    fn forbidden_namespaces_name_the_setting() {
        for (name, value) in [
            ("kernel.unprivileged_userns_clone", "0"),
            ("kernel.apparmor_restrict_unprivileged_userns", "1"),
            ("user.max_user_namespaces", "0"),
        ] {
            let text = remedy(&Attempt::MakeNamespaces, Errno::EPERM, &Set(name, value));
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn missing_newuidmap_is_a_package() {
        let attempt = Attempt::MapIds {
            program: "newuidmap".to_owned(),
        };
        assert_eq!(
            for_attempt(&attempt, None, &Set("", "")).unwrap(),
            "apt install uidmap"
        );
    }

    #[test]
    fn overlay_that_is_refused_is_told_by_its_reason() {
        let attempt = Attempt::Mount {
            kind: "overlay".to_owned(),
            target: "/".into(),
        };
        for (errno, told) in [
            (Errno::EPERM, "Linux 5.11"),
            (Errno::ENODEV, "modprobe overlay"),
            (Errno::EINVAL, "--home"),
        ] {
            let text = remedy(&attempt, errno, &Set("", ""));
            assert!(text.contains(told), "{text}");
        }
    }

    #[test]
    fn refused_proc_is_an_outer_containers_mask() {
        let attempt = Attempt::Mount {
            kind: "proc".to_owned(),
            target: "/proc".into(),
        };
        assert!(remedy(&attempt, Errno::EPERM, &Set("", "")).contains("unmask=ALL"));
    }
}
