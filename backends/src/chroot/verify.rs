//! Whether base and layers still are what they were when they were made.
//!
//! ```text
//! layers/KEY/digests, base/digests   noted once the tree is on disk
//! base/damaged                       it is not what it was: it must be made anew
//! reading                            locked while the background reads one of them
//! ```
//! Before use, the state of each tree is compared, which notices every write through the file system. What differs is
//! read as a whole: if only times or inode numbers changed, as after a restore, it stays. In the
//! background, everything is read once a boot and once a week, which also notices what a disk forgot.
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sandbox::Launcher;

use crate::digest::{self, Digest};
use crate::digests::{DIGESTS, Digests};
use crate::layers::{Layers, boot};
use crate::lock::{Attempt, Lock, Sharing};
use crate::storage::Storage;
use crate::tree_command::{self, Role};
use crate::{Error, LayerKey};

const DAMAGED: &str = "damaged";

/// A base or a layer.
#[derive(Clone, Debug)]
struct Part {
    /// `None`: the base.
    key: Option<LayerKey>,
    directory: PathBuf,
    tree: PathBuf,
}

pub(super) struct Verifier {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) launcher: Arc<Launcher>,
    pub(super) layers: Layers,
    pub(super) base: PathBuf,
    pub(super) reading: PathBuf,
    /// Directories that this process found as they were.
    pub(super) verified: Mutex<BTreeSet<PathBuf>>,
}

impl Verifier {
    /// Compares the base, `layer` and those below it, each once; `false`: the layer was damaged and is gone.
    pub(super) fn verify(&self, layer: Option<&LayerKey>) -> Result<bool, Error> {
        let mut parts = vec![self.base_part()?];
        for key in self.layers.chain(layer)? {
            parts.push(self.layer_part(&key)?);
        }
        parts.retain(|part| !self.verified().contains(&part.directory));
        let known = parts.into_iter().filter_map(|part| {
            let digests = Digests::read(&part.directory)?;
            Some((part, digests))
        });
        let (parts, known): (Vec<Part>, Vec<Digests>) = known.unzip();
        let trees: Vec<PathBuf> = parts.iter().map(|part| part.tree.clone()).collect();
        if trees.is_empty() {
            return self.is_there(layer);
        }
        let command = tree_command::command(&self.launcher, Role::State);
        let states = digest::ask(command, &trees)?;
        for ((part, digests), state) in parts.iter().zip(known).zip(states) {
            if state.hash == digests.state {
                self.verified().insert(part.directory.clone());
            } else {
                self.read_whole(part, &digests, tree_command::command)?;
            }
        }
        self.is_there(layer)
    }

    fn is_there(&self, layer: Option<&LayerKey>) -> Result<bool, Error> {
        if self.base.join(DAMAGED).exists() {
            return Err(Error::Damaged {
                path: self.base.clone(),
            });
        }
        layer.map_or(Ok(true), |layer| self.layers.exists(layer))
    }

    /// Notes the digests of trees that have none yet.
    pub(super) fn note_new(&self) -> Result<(), Error> {
        for part in self.parts()? {
            let _reading = self.quiet()?;
            let Some(_lock) = lock(&part)? else {
                continue;
            };
            if Digests::read(&part.directory).is_none() {
                self.note(&part)?;
            }
        }
        Ok(())
    }

    /// Reads all of what was not read in this boot, or for long, without being in anybody's way.
    pub(super) fn read_old(&self) -> Result<(), Error> {
        let boot = boot()?;
        for part in self.parts()? {
            let _reading = self.quiet()?;
            let Some(_lock) = lock(&part)? else {
                continue;
            };
            if let Some(digests) = Digests::read(&part.directory)
                && digests.are_old(SystemTime::now(), &boot)
            {
                self.read_whole(&part, &digests, tree_command::idle_command)?;
            }
        }
        Ok(())
    }

    /// Waits until the background reads nothing; it does not begin while the lock is held.
    ///
    /// What changes or drops base or layers takes it first: reading is a use, but nobody's.
    pub(super) fn quiet(&self) -> Result<Lock, Error> {
        Lock::wait(&self.reading)
    }

    /// Forgets what is known of the base, which is going to change.
    pub(super) fn forget_base(&self) -> Result<(), Error> {
        self.verified().remove(&self.base);
        for name in [DIGESTS, DAMAGED] {
            let path = self.base.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn parts(&self) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        if self.base.is_dir() {
            parts.push(self.base_part()?);
        }
        for layer in self.layers.list()? {
            parts.push(self.layer_part(&layer.key)?);
        }
        Ok(parts)
    }

    fn base_part(&self) -> Result<Part, Error> {
        Ok(Part {
            key: None,
            tree: self.storage.kept_base(&self.base)?,
            directory: self.base.clone(),
        })
    }

    fn layer_part(&self, key: &LayerKey) -> Result<Part, Error> {
        let directory = self.layers.path(key)?;
        Ok(Part {
            key: Some(key.clone()),
            tree: self.storage.kept_layer(&directory)?,
            directory,
        })
    }

    fn note(&self, part: &Part) -> Result<(), Error> {
        // First the state: what changes meanwhile shows.
        let state = one(
            tree_command::idle_command(&self.launcher, Role::State),
            part,
        )?;
        let content = one(
            tree_command::idle_command(&self.launcher, Role::Content),
            part,
        )?;
        Digests::now(state, content)?.write(&part.directory)
    }

    /// Keeps what holds what it held, and sets aside what does not.
    fn read_whole(
        &self,
        part: &Part,
        known: &Digests,
        command: fn(&Launcher, Role) -> Command,
    ) -> Result<(), Error> {
        let state = one(command(&self.launcher, Role::State), part)?;
        let content = one(command(&self.launcher, Role::Content), part)?;
        if content.hash == known.content {
            self.verified().insert(part.directory.clone());
            return Digests::now(state, content)?.write(&part.directory);
        }
        tracing::warn!(
            path = %part.directory.display(),
            "it is not what it was when it was made, and is made anew"
        );
        if let Some(key) = &part.key {
            return self.layers.set_aside(key);
        }
        let mark = self.base.join(DAMAGED);
        fs::write(&mark, "").map_err(Error::io("make", &mark))
    }

    fn verified(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` while somebody changes or drops it.
fn lock(part: &Part) -> Result<Option<Lock>, Error> {
    match Lock::attempt(&part.directory, Sharing::Shared)? {
        Attempt::Locked(lock) => Ok(Some(lock)),
        Attempt::Busy | Attempt::Missing => Ok(None),
    }
}

fn one(command: Command, part: &Part) -> Result<Digest, Error> {
    let digests = digest::ask(command, std::slice::from_ref(&part.tree))?;
    Ok(digests.into_iter().next().unwrap_or_default())
}
