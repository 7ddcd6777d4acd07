//! Everything that a session must not reach.
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::program::program;

pub(super) const SECRET: &str = "a secret of the host";
const VICTIM: &str = "not to be written";
/// What abuses would change.
const SETTINGS: [&str; 5] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/randomize_va_space",
];

pub(super) struct Outside {
    directory: PathBuf,
    process: Child,
    listener: TcpListener,
    settings: BTreeMap<&'static str, String>,
    program: Vec<u8>,
}

impl Outside {
    pub(super) fn new(directory: PathBuf) -> Outside {
        fs::write(directory.join("secret"), SECRET).unwrap();
        let victim = directory.join("victim");
        fs::write(&victim, VICTIM).unwrap();
        // For whoever gets at it.
        fs::set_permissions(&victim, Permissions::from_mode(0o666)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let process = Command::new("sh")
            .args(["-c", "read line", "host-process"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Outside {
            directory,
            process,
            listener,
            settings: settings(),
            program: fs::read(program()).unwrap(),
        }
    }

    /// What a case gets to know of it.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let path = |name| self.directory.join(name).to_str().unwrap().to_owned();
        let port = self.listener.local_addr().unwrap().port();
        let known = [
            ("SECRET", path("secret")),
            ("VICTIM", path("victim")),
            ("HOST_PID", self.process.id().to_string()),
            ("HOST_PORT", port.to_string()),
        ];
        known.map(|(name, value)| (name.to_owned(), value)).into()
    }

    #[track_caller]
    pub(super) fn assert_untouched(&mut self, about: &str) {
        let victim = fs::read_to_string(self.directory.join("victim")).unwrap();
        assert_eq!(victim, VICTIM, "{about}");
        assert_eq!(fs::read_dir(&self.directory).unwrap().count(), 2, "{about}");
        assert!(self.process.try_wait().unwrap().is_none(), "{about}");
        let came = self
            .listener
            .accept()
            .map(drop)
            .map_err(|error| error.kind());
        assert_eq!(came, Err(ErrorKind::WouldBlock), "{about}");
        assert_eq!(settings(), self.settings, "{about}");
        assert!(fs::read(program()).unwrap() == self.program, "{about}");
        // The mounts of sessions are in their own namespaces.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let parent = self.directory.parent().unwrap().to_str().unwrap();
        assert!(!mounts.contains(parent), "{about}");
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn settings() -> BTreeMap<&'static str, String> {
    let read = |name| (name, fs::read_to_string(name).unwrap_or_default());
    SETTINGS.map(read).into_iter().collect()
}
