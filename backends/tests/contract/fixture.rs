//! A backend in a directory of its own, with a base that has nothing but busybox.
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backends::{Access, Backend, Compression, Config, Kind, LayerKey, Rootfs};
use oci_spec::runtime::Mount;
use sandbox::{Exit, IdMap, Launcher, Network, Process, Session, Stdio, User, session_spec};
use tempfile::TempDir;

/// One way to keep chroots.
pub(crate) struct Make {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    /// Whether a real base is made too, which takes a minute.
    pub(crate) bootstrap: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Disk,
    /// Sessions on a tmpfs.
    Memory,
    /// In the directory that an environment variable names.
    Named(&'static str),
}

pub(crate) const BACKENDS: &[Make] = &[
    Make {
        name: "dir",
        kind: Kind::Dir,
        place: Place::Disk,
        bootstrap: true,
    },
    Make {
        name: "dir with sessions on tmpfs",
        kind: Kind::Dir,
        place: Place::Memory,
        bootstrap: false,
    },
    Make {
        name: "file",
        kind: Kind::File(Compression::Zstd),
        place: Place::Disk,
        bootstrap: true,
    },
    Make {
        name: "file with sessions on tmpfs",
        kind: Kind::File(Compression::None),
        place: Place::Memory,
        bootstrap: false,
    },
    Make {
        name: "btrfs",
        kind: Kind::Btrfs,
        place: Place::Named("MINI_BUILDD_TEST_BTRFS"),
        bootstrap: true,
    },
    Make {
        name: "btrfs with user_subvol_rm_allowed",
        kind: Kind::Btrfs,
        place: Place::Named("MINI_BUILDD_TEST_BTRFS_RM"),
        bootstrap: false,
    },
];

impl Make {
    /// Why it can't be tried here.
    pub(crate) fn missing(&self) -> Option<String> {
        match self.place {
            Place::Disk | Place::Memory => None,
            Place::Named(variable) => std::env::var_os(variable).is_none().then(|| {
                format!("{variable} names no directory on btrfs; tests/run makes one as root")
            }),
        }
    }
}

pub(crate) struct Fixture {
    pub(crate) config: Config,
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) home: TempDir,
    _memory: Option<TempDir>,
}

impl Fixture {
    pub(crate) fn new(make: &'static Make) -> Fixture {
        // Characters that mean something in mount options.
        let place = match make.place {
            Place::Disk | Place::Memory => std::env::temp_dir(),
            Place::Named(variable) => std::env::var_os(variable).unwrap().into(),
        };
        let home = temporary("backends:a,b~", &place);
        let memory =
            (make.place == Place::Memory).then(|| temporary("backends:", "/dev/shm".as_ref()));
        let config = Config {
            kind: make.kind,
            directory: home.path().join("chroot"),
            sessions: memory
                .as_ref()
                .map_or(home.path(), TempDir::path)
                .join("sessions"),
            trash: home.path().join("trash"),
        };
        let launcher = Arc::new(launcher());
        let backend = backends::open(&config, &launcher);
        Fixture {
            config,
            launcher,
            backend,
            home,
            _memory: memory,
        }
    }

    /// Makes the base: busybox, a few directories and files.
    pub(crate) fn with_base(&self) -> &Fixture {
        self.make_base(self.backend.as_ref());
        self
    }

    pub(crate) fn make_base(&self, backend: &dyn Backend) {
        backend.create().unwrap();
        let source = backend.open(Access::Source, None).unwrap();
        self.run_with(source.as_ref(), vec![busybox("/busybox")], BASE);
        source.close().unwrap();
    }

    pub(crate) fn snapshot(&self, layer: Option<&LayerKey>) -> Box<dyn Rootfs> {
        self.backend.open(Access::Snapshot, layer).unwrap()
    }

    /// Freezes what `script` does on top of `parent`.
    pub(crate) fn layer(&self, name: &str, parent: Option<&LayerKey>, script: &str) -> LayerKey {
        let key = LayerKey(name.to_owned());
        let snapshot = self.snapshot(parent);
        self.run(snapshot.as_ref(), script);
        snapshot.freeze(&key).unwrap();
        key
    }

    /// What `script` says in a new snapshot, which is thrown away.
    pub(crate) fn look(&self, layer: Option<&LayerKey>, script: &str) -> String {
        let snapshot = self.snapshot(layer);
        let said = self.run(snapshot.as_ref(), script);
        snapshot.close().unwrap();
        said
    }

    /// What a shell script says in a session on `rootfs`.
    pub(crate) fn run(&self, rootfs: &dyn Rootfs, script: &str) -> String {
        self.run_with(rootfs, Vec::new(), script)
    }

    fn run_with(&self, rootfs: &dyn Rootfs, mounts: Vec<Mount>, script: &str) -> String {
        let session = begin(&self.launcher, rootfs, mounts);
        let (mut output, input) = std::io::pipe().unwrap();
        let stdio = Stdio {
            stdin: None,
            stdout: Some(input.try_clone().unwrap().into()),
            stderr: Some(input.into()),
        };
        let running = session.run(&process(script), stdio).unwrap();
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        let exit = running.wait().unwrap();
        session.end().unwrap();
        assert_eq!(exit, Exit::Code(0), "{script}: {said}");
        said.trim().to_owned()
    }

    /// Makes a layer look as if the machine had crashed before it was on disk.
    pub(crate) fn crash_before_sync(&self, layer: &LayerKey) {
        let layer = self.config.directory.join("layers").join(layer.to_string());
        let synced = layer.join("synced");
        eventually("a synced layer", || synced.exists());
        fs::remove_file(synced).unwrap();
        let record = fs::read_to_string(layer.join("layer")).unwrap();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let record = record.replace(boot.trim(), "the boot before");
        fs::write(layer.join("layer"), record).unwrap();
    }

    /// Waits until nothing is left to delete.
    pub(crate) fn wait_for_trash(&self) {
        let hidden = self.config.sessions.join(".trash");
        eventually("an empty trash", || {
            entries(&self.config.trash).is_empty() && entries(&hidden).is_empty()
        });
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // Only in a user namespace may an ordinary user delete what sessions made. What still goes on
        // in the background may be in the way.
        let mut remove = self.launcher.storage_command("rm");
        remove.arg("-rf").stderr(std::process::Stdio::null());
        for directory in [
            &self.config.directory,
            &self.config.sessions,
            &self.config.trash,
        ] {
            remove.arg(directory);
        }
        eventually("the directories to go", || {
            remove.status().unwrap().success()
        });
    }
}

pub(crate) fn launcher() -> Launcher {
    Launcher {
        helper: std::env::current_exe().unwrap(),
        ids: IdMap::of_caller().unwrap(),
    }
}

pub(crate) fn begin(launcher: &Launcher, rootfs: &dyn Rootfs, mounts: Vec<Mount>) -> Session {
    let mut spec = session_spec(rootfs.path(), rootfs.mounts(), "contract");
    spec.mounts_mut().get_or_insert_default().extend(mounts);
    launcher.begin(&spec).unwrap()
}

pub(crate) fn process(script: &str) -> Process {
    // busybox is "/busybox" when there is no shell yet.
    let (installer, shell) = (["/busybox", "sh"], ["/bin/sh"]);
    let shell = if script == BASE {
        &installer[..]
    } else {
        &shell[..]
    };
    Process {
        args: [shell, &["-euc", script]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        user: User::default(),
        cwd: PathBuf::from("/"),
        env: vec![(
            "PATH".to_owned(),
            "/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        )],
        network: Network::None,
        no_new_privileges: false,
        rlimits: Vec::new(),
    }
}

fn busybox(destination: &str) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some("none".to_owned()))
        .set_source(Some(PathBuf::from("/bin/busybox")))
        .set_options(Some(vec!["bind".to_owned(), "ro".to_owned()]));
    mount
}

const BASE: &str = "
/busybox mkdir -p /bin /etc/deep/er /data
/busybox cp /busybox /bin/busybox
/bin/busybox --install -s /bin
echo base > /etc/name
echo one > /data/one
echo two > /data/two
echo deep > /etc/deep/er/file
chown -R 1000:1000 /data
";

fn temporary(prefix: &str, place: &Path) -> TempDir {
    let mut directory = tempfile::Builder::new();
    directory.prefix(prefix).tempdir_in(place).unwrap()
}

/// What another process needs to know of a backend, as arguments.
pub(crate) fn arguments(config: &Config) -> Vec<String> {
    let kind = serde_json::to_string(&config.kind).unwrap();
    let paths = [&config.directory, &config.sessions, &config.trash];
    let paths = paths.map(|path| path.to_str().unwrap().to_owned());
    [vec![kind], paths.to_vec()].concat()
}

/// Reads [`arguments`].
pub(crate) fn config(arguments: &[String]) -> Config {
    let [kind, paths @ ..] = arguments else {
        panic!("{arguments:?}")
    };
    let [directory, sessions, trash] = [0, 1, 2].map(|number| PathBuf::from(&paths[number]));
    Config {
        kind: serde_json::from_str(kind).unwrap(),
        directory,
        sessions,
        trash,
    }
}

pub(crate) fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(300);
    while !holds() {
        assert!(Instant::now() < deadline, "still waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
