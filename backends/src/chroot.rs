//! What all kinds of storage share: one base, its layers, and snapshots for sessions.
//!
//! ```text
//! directory/base.new/       a base in the making, its root in tree/root
//! directory/base/           the base
//! directory/layers, locks   see `layers`
//! sessions/NAME/            see `snapshot`
//! ```
//! Trees belong to the subordinate ids that sessions run with, the directories around them to the
//! caller: those it makes and renames itself.
//! What uses the base holds a shared lock on `base`, what changes it an exclusive one.
mod snapshot;
mod source;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox::Launcher;

use crate::btrfs::Btrfs;
use crate::dir::Dir;
use crate::file::File;
use crate::layers::{Layers, Stack};
use crate::lock::{Attempt, Lock, Sharing};
use crate::storage::{Below, Storage, TREE, root};
use crate::trash::Trash;
use crate::worker::Worker;
use crate::{
    Access, Backend, Claim, Config, Error, Kind, Layer, LayerKey, Rootfs, directory, tool,
};
use snapshot::Snapshot;
use source::Source;
use verify::Verifier;

const BASE: &str = "base";
/// See `verify`.
const READING: &str = "reading";

pub(crate) struct Chroot {
    config: Config,
    parts: Arc<Parts>,
    /// The lock on `base.new`, between `create` and the `open` that fills it.
    created: Mutex<Option<Lock>>,
}

/// What open root file systems need too.
struct Parts {
    storage: Arc<dyn Storage>,
    launcher: Arc<Launcher>,
    layers: Layers,
    verifier: Arc<Verifier>,
    trash: Arc<Trash>,
    /// For sessions on a file system of their own.
    session_trash: Arc<Trash>,
    /// Brings new layers to disk and notes their digests.
    settle: Worker,
    /// Reads again what was not read for long.
    read: Worker,
}

impl Chroot {
    pub(crate) fn new(config: Config, launcher: Arc<Launcher>) -> Self {
        let layers = Layers::new(&config.directory);
        let trash = |directory| Arc::new(Trash::new(directory, Arc::clone(&launcher)));
        let trash_directory = config.trash.clone();
        let (trash, session_trash) = (
            trash(trash_directory),
            trash(config.sessions.join(".trash")),
        );
        let storage: Arc<dyn Storage> = match config.kind {
            Kind::Dir => Arc::new(Dir {
                config: config.clone(),
                launcher: Arc::clone(&launcher),
            }),
            Kind::File(compression) => Arc::new(File {
                config: config.clone(),
                compression,
                launcher: Arc::clone(&launcher),
                trash: Arc::clone(&trash),
                session_trash: Arc::clone(&session_trash),
            }),
            Kind::Btrfs => Arc::new(Btrfs {
                config: config.clone(),
                trash: Arc::clone(&trash),
            }),
        };
        let verifier = Arc::new(Verifier {
            storage: Arc::clone(&storage),
            launcher: Arc::clone(&launcher),
            layers: layers.clone(),
            base: config.directory.join(BASE),
            reading: config.directory.join(READING),
            verified: Mutex::default(),
        });
        let settle = Worker::new("settle", {
            let (layers, verifier) = (layers.clone(), Arc::clone(&verifier));
            move || {
                if let Err(error) = layers.sync().and_then(|()| verifier.note_new()) {
                    warn(&error, "can't bring layers to disk");
                }
            }
        });
        let read = Worker::new("read", {
            let verifier = Arc::clone(&verifier);
            move || {
                if let Err(error) = verifier.read_old() {
                    warn(&error, "can't verify base and layers");
                }
            }
        });
        let parts = Parts {
            storage,
            launcher,
            layers,
            verifier,
            trash,
            session_trash,
            settle,
            read,
        };
        Chroot {
            config,
            parts: Arc::new(parts),
            created: Mutex::new(None),
        }
    }

    fn base(&self) -> PathBuf {
        self.config.directory.join(BASE)
    }

    fn new_base(&self) -> PathBuf {
        self.config.directory.join("base.new")
    }

    fn lock_base(&self, sharing: Sharing) -> Result<Lock, Error> {
        lock_base_in(&self.config.directory, sharing)
    }

    fn created(&self) -> MutexGuard<'_, Option<Lock>> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a base away that nobody makes any more.
    fn drop_unfinished_base(&self) -> Result<(), Error> {
        let path = self.new_base();
        match Lock::attempt(&path, Sharing::Exclusive)? {
            Attempt::Locked(_lock) => self.parts.trash.put(&path),
            Attempt::Missing => Ok(()),
            Attempt::Busy => Err(Error::InUse { path }),
        }
    }

    fn open_source(&self) -> Result<Source, Error> {
        let parts = Arc::clone(&self.parts);
        if let Some(lock) = self.created().take() {
            return Ok(Source::new(parts, self.new_base(), Some(self.base()), lock));
        }
        let quiet = self.parts.verifier.quiet()?;
        let lock = self.lock_base(Sharing::Exclusive)?;
        self.parts.layers.drop_all(&self.parts.trash)?;
        drop(quiet);
        self.parts.verifier.forget_base()?;
        self.parts.storage.open_base(&self.base())?;
        Ok(Source::new(parts, self.base(), None, lock))
    }

    fn open_snapshot(&self, layer: Option<&LayerKey>) -> Result<Snapshot, Error> {
        let lock = self.lock_base(Sharing::Shared)?;
        let mut stack = match layer {
            Some(layer) => self.parts.layers.stack(layer)?,
            None => Stack::default(),
        };
        stack.locks.push(lock);
        let below = Below {
            base: self.base(),
            layers: stack.directories,
        };
        let parts = Arc::clone(&self.parts);
        let sessions = &self.config.sessions;
        Snapshot::new(parts, sessions, &below, stack.locks, layer.cloned())
    }

    fn drop_ended_sessions(&self) -> Result<(), Error> {
        let sessions = &self.config.sessions;
        for name in directory::names_if_any(sessions).map_err(Error::io("list", sessions))? {
            let path = sessions.join(name);
            if let Attempt::Locked(_lock) = Lock::attempt(&path, Sharing::Exclusive)? {
                self.parts.throw_away(&path)?;
            }
        }
        Ok(())
    }
}

impl Parts {
    /// Takes a session's directory away.
    fn throw_away(&self, path: &Path) -> Result<(), Error> {
        self.trash.put_or(path, &self.session_trash)
    }
}

impl Backend for Chroot {
    fn check(&self) -> Result<(), Error> {
        self.parts.storage.check()
    }

    fn exists(&self) -> bool {
        self.base().is_dir()
    }

    fn create(&self) -> Result<(), Error> {
        let directory = &self.config.directory;
        directory::make_private_all(directory).map_err(Error::io("make directory", directory))?;
        if self.exists() {
            return Err(Error::BaseExists {
                directory: directory.clone(),
            });
        }
        *self.created() = None;
        self.drop_unfinished_base()?;
        let path = self.new_base();
        directory::make_private(&path)
            .and_then(|()| directory::make_open_to_all(&path.join(source::NOTHING)))
            .and_then(|()| directory::make_open_to_all(&path.join(source::SCRATCH)))
            .map_err(Error::io("make directories in", directory))?;
        let Attempt::Locked(lock) = Lock::attempt(&path, Sharing::Exclusive)? else {
            return Err(Error::InUse { path });
        };
        let mut make_root = self.parts.launcher.storage_command("mkdir");
        make_root.arg("--mode=755").arg(root(&path));
        let made = self.parts.storage.make_tree(&path.join(TREE));
        if let Err(error) = made.and_then(|()| tool::run(&mut make_root)) {
            self.parts.trash.put(&path)?;
            return Err(error);
        }
        *self.created() = Some(lock);
        Ok(())
    }

    fn open(&self, access: Access, layer: Option<&LayerKey>) -> Result<Box<dyn Rootfs>, Error> {
        match (access, layer) {
            (Access::Source, None) => Ok(Box::new(self.open_source()?)),
            (Access::Source, Some(_)) => Err(Error::NoSnapshot),
            (Access::Snapshot, layer) => Ok(Box::new(self.open_snapshot(layer)?)),
        }
    }

    fn layers(&self) -> Result<Vec<Layer>, Error> {
        self.parts.layers.list()
    }

    fn claim(&self, layer: &LayerKey) -> Result<Claim, Error> {
        self.parts.layers.claim(layer)
    }

    fn verify(&self, layer: Option<&LayerKey>) -> Result<bool, Error> {
        let _lock = self.lock_base(Sharing::Shared)?;
        self.parts.verifier.verify(layer)
    }

    fn drop_layer(&self, layer: &LayerKey) -> Result<(), Error> {
        let _quiet = self.parts.verifier.quiet()?;
        self.parts
            .layers
            .drop_with_children(layer, &self.parts.trash)
    }

    fn take_over(&self, directory: &Path) -> Result<(), Error> {
        let (base, new) = (self.base(), directory.join(BASE));
        if !new.is_dir() {
            return Err(Error::NoBase {
                directory: directory.to_owned(),
            });
        }
        let reading = directory.join(READING);
        let _quiet = (self.parts.verifier.quiet()?, Lock::wait(&reading)?);
        let _new_lock = lock_base_in(directory, Sharing::Exclusive)?;
        let lock = self.exists().then(|| self.lock_base(Sharing::Exclusive));
        let _lock = lock.transpose()?;
        self.parts.layers.drop_all(&self.parts.trash)?;
        self.parts.trash.put(&base)?;
        self.parts.verifier.forget_base()?;
        std::fs::rename(&new, &base).map_err(Error::io("rename", &new))?;
        self.parts.trash.put(directory)
    }

    fn remove(&self) -> Result<(), Error> {
        *self.created() = None;
        self.drop_unfinished_base()?;
        if self.exists() {
            let _quiet = self.parts.verifier.quiet()?;
            let _lock = self.lock_base(Sharing::Exclusive)?;
            self.parts.trash.put(&self.base())?;
        }
        // Nobody can open a layer without the base.
        self.parts.trash.put(&self.config.directory)
    }

    fn clean(&self) -> Result<(), Error> {
        match self.drop_unfinished_base() {
            Ok(()) | Err(Error::InUse { .. }) => {}
            Err(error) => return Err(error),
        }
        self.drop_ended_sessions()?;
        if self.config.directory.is_dir() {
            let _quiet = self.parts.verifier.quiet()?;
            self.parts.layers.drop_broken(&self.parts.trash)?;
        }
        self.parts.settle.wake();
        self.parts.read.wake();
        self.parts.trash.delete();
        self.parts.session_trash.delete();
        Ok(())
    }
}

fn lock_base_in(directory: &Path, sharing: Sharing) -> Result<Lock, Error> {
    let base = directory.join(BASE);
    match Lock::attempt(&base, sharing)? {
        Attempt::Locked(lock) => Ok(lock),
        Attempt::Busy => Err(Error::InUse { path: base }),
        Attempt::Missing => Err(Error::NoBase {
            directory: directory.to_owned(),
        }),
    }
}

fn warn(error: &Error, what: &'static str) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, "{what}");
}
