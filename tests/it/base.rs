//! One chroot of this host's release, bootstrapped once for all tests of a run, and a place for the homes that use it.
//!
//! All is below $MINI_BUILDD_TEST_HOME, where the chroot is kept for the next run, or else in a temporary directory.
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};

use mini_buildd::chroots::Chroots;
use mini_buildd::home::Home;
use mini_buildd::model::{Chroot, Source};
use mini_buildd::store::Store;
use mini_buildd::store::catalog::Catalog;
use sandbox::{IdMap, Launcher};

use crate::packager::run;
use crate::program::program;

pub(crate) struct Base {
    /// Homes and files of this run.
    directory: PathBuf,
    launcher: Arc<Launcher>,
    pub(crate) chroots: Chroots,
    pub(crate) chroot: Chroot,
    pub(crate) source: Source,
    /// Cleans up when the pipe to it closes, however this program ends.
    _keeper: Child,
}

/// Any free port.
pub(crate) const LOOPBACK: &str = "tcp:port=0:interface=127.0.0.1";

/// Waits for the end of its standard input, ends the processes that name the current directory and what is mounted
/// below it, and runs its arguments, which remove it.
const KEEPER: &str = r#"
cat >/dev/null
for found in $(grep -lsF "$PWD/" /proc/[0-9]*/cmdline); do
	pid=${found#/proc/}
	pid=${pid%/cmdline}
	[ "$pid" = $$ ] || kill -9 "$pid" 2>/dev/null
done
while read -r _ point _; do
	case $point in "$PWD"/*) umount --lazy "$point" ;; esac
done </proc/self/mounts
exec "$@"
"#;

impl Base {
    pub(crate) fn get() -> &'static Base {
        static BASE: LazyLock<Base> = LazyLock::new(Base::make);
        &BASE
    }

    fn make() -> Base {
        let launcher = Launcher {
            helper: program(),
            ids: IdMap::of_caller().unwrap(),
        };
        let kept = std::env::var_os("MINI_BUILDD_TEST_HOME").map(PathBuf::from);
        let parent = kept.clone().unwrap_or_else(|| {
            // Not /tmp: it may be memory.
            let parent = std::env::var_os("TMPDIR");
            parent.map_or_else(|| "/var/tmp".into(), PathBuf::from)
        });
        fs::create_dir_all(&parent).unwrap();
        let directory = new_directory(&parent);
        let keeper = keep(&launcher, &directory);
        let home = Home::new(kept.as_ref().unwrap_or(&directory).join("base"));
        run(Command::new(program())
            .args(["up", "--no-start", "--ftp-endpoint", LOOPBACK, "--home"])
            .arg(home.root()));
        let catalog = Store::open(&home.database())
            .unwrap()
            .read(Catalog::load)
            .unwrap();
        let chroot = catalog.chroots().next().unwrap().clone();
        let launcher = Arc::new(launcher);
        Base {
            directory,
            launcher: Arc::clone(&launcher),
            source: catalog.source(&chroot.source).unwrap().clone(),
            chroot,
            chroots: Chroots::new(home, launcher),
            _keeper: keeper,
        }
    }

    pub(crate) fn launcher(&self) -> Arc<Launcher> {
        Arc::clone(&self.launcher)
    }

    /// Where files of this run are.
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// A directory for files of a test; goes when the program ends.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let directory = self.directory.join(name);
        fs::create_dir(&directory).unwrap();
        directory
    }

    /// A home whose chroots are the base's.
    pub(crate) fn home(&self, name: &str) -> Home {
        let home = Home::new(self.directory(name));
        self.lend(&home);
        home
    }

    /// Lets a home that is not made yet use the base's chroots.
    pub(crate) fn lend(&self, home: &Home) {
        fs::create_dir(home.root().join("var")).unwrap();
        symlink(self.chroots.home().chroots(), home.chroots()).unwrap();
    }
}

pub(crate) fn new_directory(parent: &Path) -> PathBuf {
    let new = tempfile::Builder::new()
        .prefix("mini-buildd-test.")
        .tempdir_in(parent);
    new.unwrap().keep()
}

/// Starts what removes the directory after the end of this program: trees in it belong to subordinate ids.
pub(crate) fn keep(launcher: &Launcher, directory: &Path) -> Child {
    let mut remove = launcher.storage_command("rm");
    remove.args(["-rf", "--"]).arg(directory);
    Command::new("sh")
        .args(["-c", KEEPER, "keeper"])
        .arg(remove.get_program())
        .args(remove.get_args())
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}
