//! This host, seen from a mount namespace in which a script takes things away.
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use sandbox::{IdMap, Launcher};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::program;

/// The doctor looks at it as `daemon`, an ordinary user that every Debian has.
pub(super) struct Host {
    directory: TempDir,
    namespaces: Command,
}

/// Makes things that `$script` may change: /etc/subuid and /etc/subgid, and programs with setuid root, which the host's
/// own have no effect in a user namespace without host id 0. Then the doctor runs, with `$as` before it.
const SCRIPT: &str = r#"
for id in uid gid; do
	echo daemon:10000:40000 >sub$id
	mount --bind sub$id /etc/sub$id
	cp /usr/bin/new${id}map .
	chmod 4755 new${id}map
	mount --bind new${id}map /usr/bin/new${id}map
done
mkdir --mode=777 home
as=
eval "$script"
exec $as setpriv --reuid=daemon --regid=daemon --clear-groups "$PWD/mini-buildd" doctor --json --home "$PWD/home"
"#;

impl Host {
    /// Root keeps its user namespace, an ordinary user gets one with all ids that newuidmap gives.
    pub(super) fn without(script: &str) -> Host {
        let mut namespaces = Command::new("unshare");
        namespaces.arg("--mount");
        if !rustix::process::geteuid().is_root() {
            namespaces.args(["--user", "--map-auto", "--map-root-user"]);
        }
        namespaces.arg("sh");
        Host::new(namespaces, script)
    }

    /// In a user namespace of about 65,536 ids, as containers have it.
    pub(super) fn in_container(script: &str) -> Host {
        let launcher = Launcher {
            helper: program(),
            ids: IdMap::of_caller().unwrap(),
        };
        let mut namespaces = launcher.storage_command("unshare");
        namespaces.args(["--mount", "sh"]);
        Host::new(namespaces, script)
    }

    fn new(mut namespaces: Command, script: &str) -> Host {
        let directory = TempDir::with_prefix("mini-buildd-doctor.").unwrap();
        // For root of the namespace, and for daemon.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        fs::copy(program(), directory.path().join("mini-buildd")).unwrap();
        namespaces
            .args(["-euc", SCRIPT])
            .env("script", script)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(directory.path());
        Host {
            directory,
            namespaces,
        }
    }

    /// What the doctor reports.
    pub(super) fn examined(mut self) -> Value {
        let output = self.namespaces.output().unwrap();
        drop(self.directory);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }
}
