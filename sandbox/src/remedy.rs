//! What an administrator can do about a refusal.
use std::fs;
use std::path::Path;

use nix::errno::Errno;

use crate::idmap::{NoIds, Subordinate};
use crate::refusal::Attempt;
use crate::{Error, userns};

impl Error {
    /// Tells what would help, where that is known; may look at this host's settings.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Error::SubordinateIds { file, user, source } => Some(for_ids(file, user, *source)),
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
}

fn for_ids(file: &Path, user: &str, reason: NoIds) -> String {
    let option = if file == Subordinate::Uid.file() {
        "--add-subuids"
    } else {
        "--add-subgids"
    };
    match reason {
        NoIds::NoEntry { free } | NoIds::TooFew { free, .. } => {
            format!(
                "usermod {option} {free}-{} {user}",
                free.saturating_add(65535)
            )
        }
        NoIds::NotInOuterMap { .. } | NoIds::NoRoom => format!(
            "give the container more ids (systemd-nspawn: --private-users=524288:262144), \
             or put ids that exist in it into {}, like {user}:10000:40000",
            file.display()
        ),
    }
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
        (Attempt::Mount { kind, .. }, Some(Errno::EPERM)) if kind == "proc" => {
            "an outer container masks parts of /proc; \
             start it with --security-opt unmask=ALL (podman) or \
             --security-opt systempaths=unconfined (docker)"
                .to_owned()
        }
        (Attempt::Mount { kind, .. }, Some(Errno::EPERM)) if kind == "sysfs" => {
            "bind the host's /sys read-only instead".to_owned()
        }
        (Attempt::Mount { kind, .. }, Some(Errno::ENODEV)) if kind == "overlay" => {
            "modprobe overlay".to_owned()
        }
        (Attempt::Mount { kind, .. }, Some(Errno::EPERM)) if kind == "overlay" => {
            "overlay in user namespaces needs Linux 5.11 or newer".to_owned()
        }
        (Attempt::Mount { kind, .. }, Some(Errno::EINVAL)) if kind == "overlay" => {
            "the upper directory must be on a file system that overlay can write to, \
             like ext4, xfs, btrfs or tmpfs, not overlay or a network file system"
                .to_owned()
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
    "let an outer container's seccomp filter pass unshare(2) and mount(2)".to_owned()
}

fn for_map(program: &str, settings: &impl Settings) -> Option<String> {
    if !program.starts_with("new") {
        return None;
    }
    if !settings.has_program(program) {
        return Some("apt install uidmap".to_owned());
    }
    if settings.forbids_new_privileges() {
        return Some(format!(
            "no_new_privs keeps {program} from its privileges; start without it"
        ));
    }
    Some("dpkg-reconfigure uidmap, and compare /etc/subuid and /etc/subgid".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    fn remedy(attempt: &Attempt, errno: Errno, settings: &Set) -> String {
        for_attempt(attempt, Some(errno), settings).unwrap()
    }

    #[test]
    fn missing_entry_is_added_by_usermod() {
        let text = for_ids(
            Subordinate::Gid.file(),
            "me",
            NoIds::NoEntry { free: 165_536 },
        );
        assert_eq!(text, "usermod --add-subgids 165536-231071 me");
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
    fn refused_proc_is_an_outer_containers_mask() {
        let attempt = Attempt::Mount {
            kind: "proc".to_owned(),
            target: "/proc".into(),
        };
        assert!(remedy(&attempt, Errno::EPERM, &Set("", "")).contains("unmask=ALL"));
    }
}
