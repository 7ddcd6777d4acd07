use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use oci_spec::runtime::{Mount, Spec};
use sandbox::{Exit, IdMap, Launcher, Network, Process, Session, Stdio, User, session_spec};
use tempfile::TempDir;

/// The helper beside the test program, where both were copied for another user, else cargo's.
pub(crate) fn helper() -> PathBuf {
    let beside = std::env::current_exe()
        .unwrap()
        .with_file_name("sandbox-helper");
    if beside.exists() {
        return beside;
    }
    PathBuf::from(env!("CARGO_BIN_EXE_sandbox-helper"))
}

pub(crate) fn launcher() -> Launcher {
    Launcher {
        helper: helper(),
        ids: IdMap::of_caller().unwrap(),
    }
}

/// A directory with a root file system of busybox, owned by the session's root.
pub(crate) struct Root {
    pub(crate) launcher: Launcher,
    directory: TempDir,
}

impl Root {
    pub(crate) fn new() -> Root {
        let root = Root {
            launcher: launcher(),
            directory: TempDir::with_prefix("sandbox-test-").unwrap(),
        };
        root.fill();
        root
    }

    fn fill(&self) {
        for directory in ["bin", "etc", "proc", "dev", "sys", "tmp", "work"] {
            fs::create_dir_all(self.path().join(directory)).unwrap();
        }
        let bin = self.path().join("bin");
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        let list = Command::new("/bin/busybox").arg("--list").output().unwrap();
        for applet in String::from_utf8(list.stdout).unwrap().lines() {
            if applet != "busybox" {
                symlink("busybox", bin.join(applet)).unwrap();
            }
        }
        self.storage("chown -R 0:0 root; chmod 755 root root/*; chmod 1777 root/tmp root/work");
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// A directory of the caller that all may write to.
    pub(crate) fn shared(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        path
    }

    /// Runs a script of the host beside the root, as root of the storage namespace.
    pub(crate) fn storage(&self, script: &str) {
        let mut command = self.launcher.storage_command("/bin/sh");
        command
            .args(["-euc", script])
            .current_dir(self.directory.path());
        assert!(command.status().unwrap().success(), "{script}");
    }

    pub(crate) fn spec(&self) -> Spec {
        self.spec_on(Vec::new())
    }

    pub(crate) fn spec_on(&self, root_mounts: Vec<Mount>) -> Spec {
        session_spec(&self.path(), root_mounts, "box")
    }

    pub(crate) fn begin(&self) -> Session {
        self.launcher.begin(&self.spec()).unwrap()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let mut command = self.launcher.storage_command("rm");
        let _ = command.arg("-rf").arg(self.path()).status();
        let left = fs::read_dir(self.directory.path())
            .into_iter()
            .flatten()
            .flatten();
        for entry in left {
            let mut command = self.launcher.storage_command("rm");
            let _ = command.arg("-rf").arg(entry.path()).status();
        }
    }
}

/// The host's own tree, for its python.
pub(crate) fn spec_of_host() -> Spec {
    let mut spec = sandbox::session_spec(Path::new("/"), Vec::new(), "box");
    let mut root = spec.root().clone().unwrap();
    root.set_readonly(Some(true));
    spec.set_root(Some(root));
    spec
}

pub(crate) fn process(args: &[&str]) -> Process {
    Process {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        user: User::default(),
        cwd: PathBuf::from("/"),
        env: vec![("PATH".into(), "/bin".into())],
        network: Network::None,
        no_new_privileges: true,
        rlimits: Vec::new(),
    }
}

pub(crate) fn shell(script: &str) -> Process {
    process(&["/bin/sh", "-c", script])
}

pub(crate) fn exit_of(session: &Session, process: &Process) -> Exit {
    session
        .run(process, Stdio::default())
        .unwrap()
        .wait()
        .unwrap()
}

/// Exit and standard output with standard error.
pub(crate) fn run(session: &Session, process: &Process) -> (Exit, String) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdin: None,
        stdout: Some(writer.try_clone().unwrap().into()),
        stderr: Some(writer.into()),
    };
    let running = session.run(process, stdio).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    (running.wait().unwrap(), text)
}

pub(crate) fn output(session: &Session, script: &str) -> String {
    let (exit, text) = run(session, &shell(script));
    assert_eq!(exit, Exit::Code(0), "{script}: {text}");
    text
}
