//! The shared chroot, copied to each kind of storage.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::LazyLock;

use backends::Access;
use mini_buildd::chroots::Chroots;
use mini_buildd::home::Home;
use mini_buildd::model::chroot::{Backend, Chroot, Compression};

use super::place::Storage;
use crate::base::{Base, keep, new_directory};
use crate::packager::run;

pub(super) struct Lent {
    pub(super) chroots: Chroots,
    pub(super) chroot: Chroot,
    /// For homes on the same storage.
    place: PathBuf,
    _keeper: Option<Child>,
}

impl Lent {
    /// `None`, said: this machine has no such storage.
    pub(super) fn on(storage: Storage) -> Option<&'static Lent> {
        static DIR: LazyLock<Option<Lent>> = LazyLock::new(|| Some(Lent::shared()));
        static FILE: LazyLock<Option<Lent>> = LazyLock::new(|| Lent::copied(Storage::File));
        static BTRFS: LazyLock<Option<Lent>> = LazyLock::new(|| Lent::copied(Storage::BTRFS));
        static BTRFS_RM: LazyLock<Option<Lent>> = LazyLock::new(|| Lent::copied(Storage::BTRFS_RM));
        match storage {
            Storage::Dir => DIR.as_ref(),
            Storage::File => FILE.as_ref(),
            Storage::BTRFS => BTRFS.as_ref(),
            Storage::Btrfs(_) => BTRFS_RM.as_ref(),
        }
    }

    fn shared() -> Lent {
        let base = Base::get();
        assert_eq!(base.chroot.backend, Backend::Dir, "the tests' own chroot");
        Lent {
            chroots: Chroots::new(base.chroots.home().clone(), base.launcher()),
            chroot: base.chroot.clone(),
            place: base.path().to_owned(),
            _keeper: None,
        }
    }

    fn copied(storage: Storage) -> Option<Lent> {
        let directory = new_directory(&storage.directory()?);
        let base = Lent::shared();
        let launcher = Base::get().launcher();
        let keeper = keep(&launcher, &directory);
        let lent = Lent {
            chroots: Chroots::new(Home::new(directory.join("chroots")), launcher),
            chroot: Chroot {
                backend: match storage {
                    Storage::Dir => Backend::Dir,
                    Storage::File => Backend::File {
                        compression: Compression::Zstd,
                    },
                    Storage::Btrfs(_) => Backend::BtrfsSnapshot,
                },
                ..base.chroot.clone()
            },
            place: directory,
            _keeper: Some(keeper),
        };
        let (from, to) = (base.directory(), lent.directory());
        fs::create_dir_all(&to).unwrap();
        let backend = lent.chroots.backend(&lent.chroot);
        backend.create().unwrap();
        let source = backend.open(Access::Source, None).unwrap();
        let mut copy = lent.chroots.storage_command("cp");
        run(copy
            .args(["-a", "--"])
            .arg(from.join("base/tree/root/."))
            .arg(source.path()));
        source.close().unwrap();
        // What was found out about the base holds for its copy.
        let memo = base.chroots.memo(&base.chroot);
        if memo.exists() {
            run(Command::new("cp").arg("-a").arg(memo).arg(&to));
        }
        Some(lent)
    }

    /// Base and layers.
    pub(super) fn directory(&self) -> PathBuf {
        let Chroot {
            codename,
            architecture,
            ..
        } = &self.chroot;
        self.chroots.home().chroot(codename, architecture)
    }

    /// A home on the same storage whose chroots are these.
    pub(super) fn home(&self, name: &str) -> Home {
        let home = self.place.join(name);
        fs::create_dir_all(home.join("var")).unwrap();
        symlink(self.chroots.home().chroots(), home.join("var/chroots")).unwrap();
        Home::new(home)
    }

    /// As the command line has it.
    pub(super) fn backend(&self) -> &'static str {
        match self.chroot.backend {
            Backend::Dir => "dir",
            Backend::File { .. } => "file",
            Backend::BtrfsSnapshot => "btrfs",
        }
    }
}
