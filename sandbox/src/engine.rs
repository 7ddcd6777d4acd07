//! The container engine this process runs under, told by what engines leave for their guests.
use std::fs;
use std::path::Path;

/// Each with options of its own for the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Podman,
    Docker,
    Nspawn,
}

impl Engine {
    pub(crate) fn of_this_process() -> Option<Engine> {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        engine(
            |path| Path::new(path).exists(),
            text("/run/host/container-manager").trim(),
            &text("/proc/self/mountinfo"),
        )
    }

    pub(crate) fn start(self) -> &'static str {
        match self {
            Engine::Podman => "podman run",
            Engine::Docker => "docker run",
            Engine::Nspawn => "systemd-nspawn",
        }
    }
}

/// podman-run(1) tells of /run/.containerenv; Docker makes /.dockerenv, which images of machines may
/// have kept, and mounts /etc/hostname; systemd-nspawn follows systemd's container interface.
fn engine(exists: impl Fn(&str) -> bool, manager: &str, mounts: &str) -> Option<Engine> {
    if exists("/run/.containerenv") {
        return Some(Engine::Podman);
    }
    let point = |line: &str| line.split(' ').nth(4) == Some("/etc/hostname");
    if exists("/.dockerenv") && mounts.lines().any(point) {
        return Some(Engine::Docker);
    }
    (manager == "systemd-nspawn").then_some(Engine::Nspawn)
}

/// What a container must be started with, by engine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    WholeProc,
    SystemCalls,
    MoreIds,
    FileSystem,
    Tun,
    NewPrivileges,
    Cgroups,
}

impl Wish {
    fn option(self, engine: Engine) -> &'static str {
        match (self, engine) {
            (Wish::WholeProc, Engine::Podman) => "--security-opt unmask=ALL",
            (Wish::WholeProc, Engine::Docker) => "--security-opt systempaths=unconfined",
            (Wish::WholeProc | Wish::MoreIds, Engine::Nspawn) => "--private-users=pick",
            (Wish::SystemCalls, Engine::Podman | Engine::Docker) => {
                "--security-opt seccomp=unconfined"
            }
            (Wish::SystemCalls, Engine::Nspawn) => "--system-call-filter='@mount @process'",
            (Wish::MoreIds, Engine::Podman) => {
                "without --userns and --uidmap, as a user with 65,536 ids in /etc/subuid and \
                 /etc/subgid"
            }
            (Wish::MoreIds, Engine::Docker) => "--userns host",
            (Wish::FileSystem, Engine::Podman | Engine::Docker) => {
                "--volume mini-buildd:DIRECTORY, and mini-buildd with --home DIRECTORY"
            }
            (Wish::FileSystem, Engine::Nspawn) => {
                "--bind=DIRECTORY:DIRECTORY:idmap, and mini-buildd with --home DIRECTORY"
            }
            (Wish::Tun, Engine::Podman | Engine::Docker) => "--device /dev/net/tun",
            (Wish::Tun, Engine::Nspawn) => "--bind=/dev/net/tun",
            (Wish::NewPrivileges, Engine::Podman | Engine::Docker) => {
                "without --security-opt no-new-privileges"
            }
            (Wish::NewPrivileges, Engine::Nspawn) => "--no-new-privileges=no",
            (Wish::Cgroups, Engine::Podman) => "--security-opt unmask=/sys/fs/cgroup",
            (Wish::Cgroups, Engine::Docker) => "--cgroupns=private --privileged",
            (Wish::Cgroups, Engine::Nspawn) => {
                "--boot, and mini-buildd as a unit with Delegate=yes"
            }
        }
    }

    /// For the engine, or where it is not known for podman and docker.
    pub(crate) fn remedy(self, engine: Option<Engine>) -> String {
        let start = |engine: Engine| format!("{} {}", engine.start(), self.option(engine));
        match engine {
            Some(engine) => format!("start the container by: {}", start(engine)),
            None => format!(
                "start the container by: {} (docker: {})",
                start(Engine::Podman),
                self.option(Engine::Docker)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_told_by_their_files() {
        let hostname = "9 8 254:0 /h /etc/hostname rw - ext4 /dev/vda rw\n";
        let with =
            |file: &'static str, manager, mounts| engine(move |path| path == file, manager, mounts);
        assert_eq!(with("/run/.containerenv", "", ""), Some(Engine::Podman));
        assert_eq!(with("/.dockerenv", "", hostname), Some(Engine::Docker));
        assert_eq!(with("/.dockerenv", "", ""), None);
        assert_eq!(with("", "systemd-nspawn", ""), Some(Engine::Nspawn));
        assert_eq!(with("", "", hostname), None);
    }

    #[test]
    fn unknown_engine_gets_the_options_of_two() {
        assert_eq!(
            Wish::WholeProc.remedy(None),
            "start the container by: podman run --security-opt unmask=ALL \
             (docker: --security-opt systempaths=unconfined)"
        );
    }
}
