//! Where cases are tried: each kind of storage that this machine can have.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;

use backends::{Access, Backend, Config, Kind};
use sandbox::{IdMap, Launcher};

use crate::base::{keep, new_directory};
use crate::program::program;

/// A kind of storage, and where the tests have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    Dir,
    File,
    /// In the directory that an environment variable names.
    Btrfs(&'static str),
}

impl Storage {
    pub(super) const BTRFS: Storage = Storage::Btrfs("MINI_BUILDD_TEST_BTRFS");
    /// Its users may delete subvolumes.
    pub(super) const BTRFS_RM: Storage = Storage::Btrfs("MINI_BUILDD_TEST_BTRFS_RM");

    /// `None`, said: this machine has none. Root can make one, so for root that is a fault.
    pub(super) fn directory(self) -> Option<PathBuf> {
        let Storage::Btrfs(variable) = self else {
            // Not /tmp: it may be memory.
            let directory = std::env::var_os("TMPDIR");
            return Some(directory.map_or_else(|| "/var/tmp".into(), PathBuf::from));
        };
        let directory = std::env::var_os(variable);
        let is_root = rustix::process::geteuid().is_root();
        if directory.is_none() {
            assert!(!is_root, "{variable} names no directory: run tests/run");
            eprintln!("not tried: {variable} names no directory on btrfs; tests/run makes one");
        }
        directory.map(PathBuf::from)
    }

    /// Tells whether all is tried on it: on some, builds take longer than a short run may.
    pub(super) fn tries_all(self) -> bool {
        let all = self == Storage::Dir || std::env::var_os("MINI_BUILDD_TEST_LONG").is_some();
        if !all {
            eprintln!("not all is tried on {}: tests/run --long does", self.name());
        }
        all
    }

    /// Also a part of names of packages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Storage::Dir => "dir",
            Storage::File => "file",
            Storage::BTRFS => "btrfs",
            Storage::Btrfs(_) => "btrfs-rm",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Storage::Dir => Kind::Dir,
            Storage::File => Kind::File(backends::Compression::Zstd),
            Storage::Btrfs(_) => Kind::Btrfs,
        }
    }
}

/// Makes a module of tests, each of which calls the function of that name with a kind of storage.
macro_rules! test_on {
    ($check:ident: $($name:ident = $storage:ident),+) => {
        mod $check {
            $(#[test]
            fn $name() {
                super::$check(super::Storage::$storage);
            })+
        }
    };
}
pub(super) use test_on;

/// Fills the current directory: busybox, room for the host's /usr, and what lower layers have.
const BASE: &str = r"
mkdir bin etc proc dev sys tmp work usr opt opt/lower opt/lower/deep
cp /bin/busybox bin/busybox
for applet in $(bin/busybox --list); do ln -s busybox bin/$applet 2>/dev/null || :; done
ln -s usr/lib usr/lib64 .
echo lower >opt/lower/deep/file
echo one >opt/one
chown -R 0:0 .
chmod 755 . bin etc
chmod 1777 tmp work";

/// A backend with a base that has nothing but busybox, and a directory that no session must reach.
pub(super) struct Place {
    pub(super) launcher: Arc<Launcher>,
    pub(super) backend: Box<dyn Backend>,
    pub(super) config: Config,
    pub(super) outside: PathBuf,
    _keeper: Child,
}

impl Place {
    pub(super) fn new(storage: Storage) -> Option<Place> {
        let directory = new_directory(&storage.directory()?);
        let launcher = Arc::new(Launcher {
            helper: program(),
            ids: IdMap::of_caller().unwrap(),
        });
        let keeper = keep(&launcher, &directory);
        let config = Config {
            kind: storage.kind(),
            directory: directory.join("chroot"),
            sessions: directory.join("sessions"),
            trash: directory.join("trash"),
        };
        let outside = directory.join("outside");
        fs::create_dir(&outside).unwrap();
        for path in [&directory, &outside] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let place = Place {
            backend: backends::open(&config, &launcher),
            launcher,
            config,
            outside,
            _keeper: keeper,
        };
        place.backend.create().unwrap();
        let base = place.backend.open(Access::Source, None).unwrap();
        place.storage(base.path(), BASE);
        base.close().unwrap();
        Some(place)
    }

    /// Runs a script of the host as root of the trees.
    pub(super) fn storage(&self, directory: &Path, script: &str) {
        let script = format!("cd '{}'\n{script}", directory.display());
        let mut command = self.launcher.storage_command("/bin/sh");
        command
            .args(["-euc", &script])
            .env("OUTSIDE", &self.outside);
        assert!(command.status().unwrap().success(), "{script}");
    }
}
