//! Chroots: where each is kept, how it is bootstrapped, and sessions in snapshots of it.
//!
//! Reading order: [`Chroots`] finds a chroot's backend and begins a [`Session`]; [`tree`] is how files get into one,
//! [`process`] who runs in it, [`apt`] how packages get into it, [`debs`] what was downloaded already; [`choice`] finds
//! the kind of storage that works here, `bootstrap` makes a base as its
//! release's [`quirks`] want it, [`upkeep`] keeps it in order,
//! [`renewal`] makes it anew, `trial` installs a package in a
//! throw-away session, [`comparison`] compares two source packages in one.
pub mod apt;
pub mod bootstrap;
pub mod choice;
pub mod comparison;
pub mod debs;
mod near;
pub mod process;
pub mod quirks;
mod reach;
pub mod renewal;
mod session;
pub mod tree;
mod trial;
pub mod upkeep;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backends::{Access, Backend, LayerKey};
use sandbox::{IdMap, Launcher, Limits, Network, Prepared};

use crate::fetch::Proxies;
use crate::home::Home;
use crate::model::Chroot;
use crate::model::chroot::{Backend as Kind, Compression};

pub use near::Near;
use reach::Reach;
pub use session::Session;
pub use trial::Trial;

/// Name that processes of a session see as the machine's.
const HOSTNAME: &str = "mini-buildd";

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("can't find this program")]
    Program(#[source] std::io::Error),
    #[error("can't prepare sessions")]
    Ids(#[source] sandbox::Error),
    #[error("can't {action} chroot {chroot}")]
    Backend {
        action: &'static str,
        chroot: String,
        source: backends::Error,
    },
    #[error("can't tell the proxies of this host's apt")]
    Proxies(#[source] crate::command::Error),
    #[error("can't begin a session")]
    Begin(#[source] sandbox::Error),
    #[error("can't run {command} in the session")]
    Run {
        command: String,
        source: sandbox::Error,
    },
    #[error("{command} in the session ended with {exit:?}: {said}")]
    Failed {
        command: String,
        exit: sandbox::Exit,
        said: String,
    },
    #[error("can't put files into the session")]
    Unpack(#[source] std::io::Error),
    #[error("can't read {path} of the session")]
    Open {
        path: PathBuf,
        source: sandbox::Error,
    },
    #[error("can't end the session")]
    End(#[source] sandbox::Error),
    #[error("can't {action} the session's root file system")]
    Rootfs {
        action: &'static str,
        source: backends::Error,
    },
    #[error("can't pass data to or from the session")]
    Pipe(#[source] std::io::Error),
    #[error("chroots can't be kept as {backend} here")]
    Unusable {
        backend: Kind,
        source: backends::Error,
    },
    #[error("source {source_name} has no {what}")]
    Incomplete {
        source_name: String,
        what: &'static str,
    },
    #[error(
        "chroot {chroot} could build nothing: its apt is older than 1.1 and can't install the build dependencies of a \
         .dsc file; choose a newer release"
    )]
    TooOld { chroot: String },
    #[error("can't make a keyring for source {source_name}")]
    Keyring {
        source_name: String,
        source: crate::pgp::Error,
    },
    #[error("can't write {path}")]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("can't remove {path}")]
    Remove {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("can't look at {path}")]
    Look {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("can't keep downloaded package {path}")]
    Keep {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("apt's list of downloads: {0}")]
    AptPlan(String),
}

/// The chroots below one home directory.
#[derive(Clone, Debug)]
pub struct Chroots {
    home: Home,
    launcher: Arc<Launcher>,
    prepared: Arc<Mutex<Option<Prepared>>>,
    /// Of every session.
    limits: Limits,
    proxies: Proxies,
}

impl Chroots {
    /// Without proxies.
    pub fn new(home: Home, launcher: Arc<Launcher>) -> Chroots {
        Chroots {
            home,
            launcher,
            prepared: Arc::default(),
            limits: Limits::default(),
            proxies: Proxies::default(),
        }
    }

    /// What debootstrap and apt fetch through.
    #[must_use]
    pub fn with_proxies(self, proxies: Proxies) -> Chroots {
        Chroots { proxies, ..self }
    }

    /// For this program, user and host: its own sandbox helper and subordinate ids, the proxies of the host's apt.
    pub fn of_caller(home: Home) -> Result<Chroots, Error> {
        Chroots::with_helper(home, std::env::current_exe().map_err(Error::Program)?)
    }

    /// As [`Chroots::of_caller`], with another program that begins sessions.
    pub fn with_helper(home: Home, helper: PathBuf) -> Result<Chroots, Error> {
        let launcher = Launcher {
            helper,
            ids: IdMap::of_caller().map_err(Error::Ids)?,
        };
        let proxies = Proxies::of_host().map_err(Error::Proxies)?;
        Ok(Chroots::new(home, Arc::new(launcher)).with_proxies(proxies))
    }

    /// The same with these limits for every session.
    pub fn with_limits(self, limits: Limits) -> Chroots {
        Chroots { limits, ..self }
    }

    /// A host program that may look at and change what sessions wrote.
    pub fn storage_command(&self, program: &str) -> Command {
        self.launcher.storage_command(program)
    }

    pub fn home(&self) -> &Home {
        &self.home
    }

    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    pub fn backend(&self, chroot: &Chroot) -> Box<dyn Backend> {
        let directory = self.home.chroot(&chroot.codename, &chroot.architecture);
        self.backend_in(chroot.backend, directory)
    }

    fn backend_in(&self, kind: Kind, directory: PathBuf) -> Box<dyn Backend> {
        let config = backends::Config {
            kind: kind_of(kind),
            directory,
            sessions: self.home.sessions(),
            trash: self.home.trash(),
        };
        backends::open(&config, &self.launcher)
    }

    /// Where builds note what they found out about a chroot's layers; it goes with the base.
    pub fn memo(&self, chroot: &Chroot) -> PathBuf {
        let directory = self.home.chroot(&chroot.codename, &chroot.architecture);
        directory.join("memo")
    }

    /// Tells whether there is a whole base.
    pub fn exists(&self, chroot: &Chroot) -> bool {
        self.backend(chroot).exists()
    }

    /// Removes what ended sessions and killed processes left behind.
    pub fn clean(&self, chroot: &Chroot) -> Result<(), Error> {
        self.backend(chroot)
            .clean()
            .map_err(failed("clean", chroot))
    }

    /// Does what is the same for every session, so that the next one begins sooner.
    ///
    /// What hinders it is told where a session begins.
    pub fn prepare(&self) {
        let mut prepared = self.prepared();
        if prepared.is_none() {
            *prepared = self.launcher.prepare().ok();
        }
    }

    fn take_prepared(&self) -> Option<Prepared> {
        self.prepared().take()
    }

    fn prepared(&self) -> MutexGuard<'_, Option<Prepared>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session in a copy of the base with `layer` on it.
    ///
    /// With the host's network, or none: then it has no resolver's configuration either.
    pub fn begin(
        &self,
        chroot: &Chroot,
        backend: &dyn Backend,
        layer: Option<&LayerKey>,
        network: Network,
    ) -> Result<Session, Error> {
        let network = match network {
            Network::Host => Reach::Host,
            Network::None | Network::Forwarded => Reach::Nothing,
        };
        self.begin_in(chroot, backend, (Access::Snapshot, layer), &network)
    }

    /// As [`Chroots::begin`], with a network of its own that pasta(1) connects; `directory` gets files of the session's.
    pub fn begin_forwarded(
        &self,
        chroot: &Chroot,
        backend: &dyn Backend,
        layer: Option<&LayerKey>,
        near: &Near,
        directory: &Path,
    ) -> Result<Session, Error> {
        let network = Reach::near(near, directory);
        self.begin_in(chroot, backend, (Access::Snapshot, layer), &network)
    }

    fn begin_in(
        &self,
        chroot: &Chroot,
        backend: &dyn Backend,
        (access, layer): (Access, Option<&LayerKey>),
        network: &Reach<'_>,
    ) -> Result<Session, Error> {
        let rootfs = backend
            .open(access, layer)
            .map_err(|source| Error::Rootfs {
                action: "open",
                source,
            })?;
        let mut spec = sandbox::session_spec(rootfs.path(), rootfs.mounts(), HOSTNAME);
        backends::set_personality(&mut spec, chroot.architecture.as_str());
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        mounts.extend(network.files()?);
        spec.set_mounts(Some(mounts));
        self.limits.ask(&mut spec);
        let session = match network.forwarding() {
            // What was prepared has no such network, and is for the next session.
            Some(forwarding) => self.launcher.begin_forwarded(&spec, &forwarding),
            None => match self.take_prepared() {
                Some(prepared) => prepared.begin(&spec),
                None => self.launcher.begin(&spec),
            },
        }
        .map_err(Error::Begin)?;
        Ok(Session::new(session, rootfs, access, network.outside()))
    }
}

fn kind_of(backend: Kind) -> backends::Kind {
    match backend {
        Kind::Dir => backends::Kind::Dir,
        Kind::File { compression } => backends::Kind::File(match compression {
            Compression::None => backends::Compression::None,
            Compression::Gzip => backends::Compression::Gzip,
            Compression::Bzip2 => backends::Compression::Bzip2,
            Compression::Xz => backends::Compression::Xz,
            Compression::Zstd => backends::Compression::Zstd,
        }),
        Kind::BtrfsSnapshot => backends::Kind::Btrfs,
    }
}

fn failed(action: &'static str, chroot: &Chroot) -> impl FnOnce(backends::Error) -> Error {
    use crate::model::Item;
    let chroot = chroot.name();
    move |source| Error::Backend {
        action,
        chroot,
        source,
    }
}
