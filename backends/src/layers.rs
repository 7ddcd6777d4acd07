//! What layers exist, their parents, when they were made and last used; dropping.
//!
//! ```text
//! layers/KEY/…       what the kind of storage keeps of it
//! layers/KEY/layer   its `Record`; modified when it was last used
//! layers/KEY/synced  there once all of it is on disk
//! locks/KEY          held by the process that makes the layer
//! ```
//! A layer is used at once and synced later. Until then it counts in the boot it was made in only:
//! what a killed process wrote is in the kernel's hands, what a crashed kernel had is lost.
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::digests::size;
use crate::lock::{Attempt, Lock, Sharing};
use crate::trash::Trash;
use crate::{Error, Layer, LayerKey, directory, tool};

const RECORD: &str = "layer";
const SYNCED: &str = "synced";
/// A session takes 60 lower directories.
const DEEPEST: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    parent: Option<LayerKey>,
    made: SystemTime,
    /// The boot it was made in (random(4), boot_id).
    boot: String,
}

/// A layer as it is on disk.
#[derive(Clone, Debug)]
struct Found {
    record: Record,
    used: SystemTime,
    synced: bool,
}

/// The layers of one base.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    directory: PathBuf,
    locks: PathBuf,
}

/// Layers that stay as long as this value does, topmost first.
#[derive(Debug, Default)]
pub(crate) struct Stack {
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) locks: Vec<Lock>,
}

/// Whether a layer must be made.
#[derive(Debug)]
pub enum Claim {
    /// There is one to open.
    Whole,
    /// The caller makes it; others that claim it wait until this is dropped.
    Make(Making),
}

/// The right to make one layer.
#[derive(Debug)]
pub struct Making {
    path: PathBuf,
    _lock: Lock,
}

impl Drop for Making {
    fn drop(&mut self) {
        // Those who wait see that the file is another one, and begin again.
        let _ = fs::remove_file(&self.path);
    }
}

impl Layers {
    /// The layers below `parent`.
    pub(crate) fn new(parent: &Path) -> Layers {
        Layers {
            directory: parent.join("layers"),
            locks: parent.join("locks"),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn list(&self) -> Result<Vec<Layer>, Error> {
        let all = self.all()?;
        let whole = all.iter().filter(|(key, _)| is_whole(&all, key));
        Ok(whole
            .map(|(key, found)| Layer {
                key: key.clone(),
                parent: found.record.parent.clone(),
                made: found.record.made,
                used: found.used,
                size: size(&self.directory.join(&key.0)),
            })
            .collect())
    }

    /// Waits while another makes the layer, then tells whether it is there.
    pub(crate) fn claim(&self, key: &LayerKey) -> Result<Claim, Error> {
        if self.exists(key)? {
            return Ok(Claim::Whole);
        }
        directory::make_private_all(&self.locks)
            .map_err(Error::io("make directory", &self.locks))?;
        let path = self.locks.join(valid(key)?);
        let making = Making {
            _lock: Lock::wait(&path)?,
            path,
        };
        if self.exists(key)? {
            return Ok(Claim::Whole);
        }
        Ok(Claim::Make(making))
    }

    /// Keeps the layer and those below it from being dropped.
    pub(crate) fn stack(&self, layer: &LayerKey) -> Result<Stack, Error> {
        let missing = || Error::NoLayer {
            layer: layer.clone(),
        };
        let mut stack = Stack::default();
        if !self.exists(layer)? {
            return Err(missing());
        }
        let mut next = Some(layer.clone());
        while let Some(key) = next {
            let path = self.path(&key)?;
            let Attempt::Locked(lock) = Lock::attempt(&path, Sharing::Shared)? else {
                return Err(missing());
            };
            let record = self.find(&key)?.ok_or_else(missing)?.record;
            mark_used(&path)?;
            stack.locks.push(lock);
            stack.directories.push(path);
            next = record.parent;
        }
        Ok(stack)
    }

    /// The layer and those below it, topmost first.
    pub(crate) fn chain(&self, layer: Option<&LayerKey>) -> Result<Vec<LayerKey>, Error> {
        let mut chain = Vec::new();
        let mut next = layer.cloned();
        while let Some(key) = next.filter(|_| chain.len() < DEEPEST) {
            let found = self.find(&key)?;
            next = found.and_then(|found| found.record.parent);
            chain.push(key);
        }
        Ok(chain)
    }

    /// Takes a layer out of use, also from under its sessions; it goes away when they have ended.
    pub(crate) fn set_aside(&self, key: &LayerKey) -> Result<(), Error> {
        let path = self.path(key)?;
        let mut number = 0u64;
        loop {
            // No key has such a name.
            let aside = self.directory.join(format!("damaged-{number}-{key}"));
            match renameat_with(CWD, &path, CWD, &aside, RenameFlags::NOREPLACE) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::EXIST) => number += 1,
                Err(errno) => return Err(Error::io("set aside", &path)(errno.into())),
            }
        }
    }

    /// Makes the directory `tree` a layer.
    pub(crate) fn add(
        &self,
        tree: &Path,
        key: &LayerKey,
        parent: Option<&LayerKey>,
    ) -> Result<Added, Error> {
        let path = self.path(key)?;
        let record = Record {
            parent: parent.cloned(),
            made: SystemTime::now(),
            boot: boot()?,
        };
        write_record(&tree.join(RECORD), &record)?;
        fs::set_permissions(tree, Permissions::from_mode(0o700))
            .map_err(Error::io("change the mode of", tree))?;
        match renameat_with(CWD, tree, CWD, &path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Added::Layer),
            Err(Errno::EXIST) => Ok(Added::Exists),
            Err(Errno::XDEV) => Ok(Added::OtherFileSystem),
            Err(errno) => Err(Error::io("make layer", &path)(errno.into())),
        }
    }

    /// Drops a layer and those that stand on it.
    pub(crate) fn drop_with_children(&self, key: &LayerKey, trash: &Trash) -> Result<(), Error> {
        let all = self.all()?;
        if !all.contains_key(key) {
            return Err(Error::NoLayer { layer: key.clone() });
        }
        self.drop_unused(&standing_on(&all, key), trash)
    }

    pub(crate) fn drop_all(&self, trash: &Trash) -> Result<(), Error> {
        let keys: Vec<_> = self.all()?.into_keys().collect();
        self.drop_unused(&keys, trash)
    }

    /// Takes away what no session may start from: half, lost or without its parent.
    pub(crate) fn drop_broken(&self, trash: &Trash) -> Result<(), Error> {
        for name in self.names()? {
            let path = self.directory.join(&name);
            if self.is_whole(&name)? {
                continue;
            }
            if let Attempt::Locked(_lock) = Lock::attempt(&path, Sharing::Exclusive)?
                && !self.is_whole(&name)?
            {
                trash.put(&path)?;
            }
        }
        Ok(())
    }

    fn is_whole(&self, name: &OsStr) -> Result<bool, Error> {
        let key = LayerKey(name.to_string_lossy().into_owned());
        Ok(valid(&key).is_ok() && self.exists(&key)?)
    }

    /// Brings the layers to disk that are not yet.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let mut unsynced = Vec::new();
        // Of layers that count: what a crash of the machine left must not become trusted.
        for (key, found) in self.all()? {
            if found.synced {
                continue;
            }
            let path = self.path(&key)?;
            match open_directory(&path) {
                Ok(descriptor) => unsynced.push((path, descriptor)),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::io("open", &path)(errno.into())),
            }
        }
        if unsynced.is_empty() {
            return Ok(());
        }
        sync_file_system(&self.directory)?;
        for (path, descriptor) in unsynced {
            // By descriptor: the layer may have been dropped, and another made in its place.
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            openat(&descriptor, SYNCED, flags, Mode::RUSR | Mode::WUSR)
                .map_err(|errno| Error::io("mark as synced", &path)(errno.into()))?;
        }
        Ok(())
    }

    fn drop_unused(&self, keys: &[LayerKey], trash: &Trash) -> Result<(), Error> {
        let mut locks = Vec::new();
        for key in keys {
            let path = self.path(key)?;
            match Lock::attempt(&path, Sharing::Exclusive)? {
                Attempt::Locked(lock) => locks.push((path, lock)),
                Attempt::Missing => {}
                Attempt::Busy => return Err(Error::InUse { path }),
            }
        }
        for (path, _lock) in &locks {
            trash.put(path)?;
        }
        Ok(())
    }

    /// Tells whether a session may start from the layer.
    pub(crate) fn exists(&self, key: &LayerKey) -> Result<bool, Error> {
        let mut next = Some(key.clone());
        for _ in 0..DEEPEST {
            let Some(key) = next else {
                return Ok(true);
            };
            let Some(found) = self.find(&key)? else {
                return Ok(false);
            };
            next = found.record.parent;
        }
        Ok(false)
    }

    fn all(&self) -> Result<BTreeMap<LayerKey, Found>, Error> {
        let mut all = BTreeMap::new();
        for name in self.names()? {
            let Ok(key) = name.into_string().map(LayerKey) else {
                continue;
            };
            if valid(&key).is_ok()
                && let Some(found) = self.find(&key)?
            {
                all.insert(key, found);
            }
        }
        Ok(all)
    }

    /// The layer's record, if it counts in this boot.
    fn find(&self, key: &LayerKey) -> Result<Option<Found>, Error> {
        let path = self.path(key)?;
        let record_path = path.join(RECORD);
        let file = match File::open(&record_path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &record_path)(error)),
        };
        let used = file
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map_err(Error::io("look at", &record_path))?;
        // After a crash of the machine a file may be there without its content.
        let Ok(record) = serde_json::from_reader::<_, Record>(BufReader::new(file)) else {
            return Ok(None);
        };
        let found = Found {
            record,
            used,
            synced: path.join(SYNCED).exists(),
        };
        Ok(counts(&found, &boot()?).then_some(found))
    }

    fn names(&self) -> Result<Vec<OsString>, Error> {
        directory::names_if_any(&self.directory).map_err(Error::io("list", &self.directory))
    }

    pub(crate) fn path(&self, key: &LayerKey) -> Result<PathBuf, Error> {
        Ok(self.directory.join(valid(key)?))
    }
}

/// The layers to drop: those that were not used for the time `unused`, and of the others the ones that
/// were used the longest ago, until `missing` bytes are won.
pub fn superfluous(
    layers: &[Layer],
    now: SystemTime,
    unused: Duration,
    missing: u64,
) -> Vec<LayerKey> {
    let mut by_use: Vec<&Layer> = layers.iter().collect();
    // Using a layer uses its parents a little later, so they come after it.
    by_use.sort_by_key(|layer| layer.used);
    let mut won = 0;
    let superfluous = by_use.into_iter().filter(|layer| {
        let old = now.duration_since(layer.used).is_ok_and(|age| age > unused);
        let needed = old || won < missing;
        if needed {
            won += layer.size;
        }
        needed
    });
    superfluous.map(|layer| layer.key.clone()).collect()
}

/// What came of a tree that was to be a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Layer,
    /// Something is in its place.
    Exists,
    /// It has to be copied to the layers' file system first.
    OtherFileSystem,
}

/// Waits until all that was written to the file system of `path` is on disk.
///
/// By a process of its own: a thread in syncfs(2) would keep this process from ending.
pub(crate) fn sync_file_system(path: &Path) -> Result<(), Error> {
    tool::run(Command::new("sync").arg("--file-system").arg(path))
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// A key becomes a file name.
fn valid(key: &LayerKey) -> Result<&str, Error> {
    let LayerKey(text) = key;
    let hexadecimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hexadecimal && text.len() <= 128 {
        Ok(text)
    } else {
        Err(Error::LayerKey { key: key.clone() })
    }
}

fn counts(found: &Found, boot: &str) -> bool {
    found.synced || found.record.boot == boot
}

fn is_whole(all: &BTreeMap<LayerKey, Found>, key: &LayerKey) -> bool {
    let mut next = Some(key);
    for _ in 0..DEEPEST {
        let Some(key) = next else { return true };
        let Some(found) = all.get(key) else {
            return false;
        };
        next = found.record.parent.as_ref();
    }
    false
}

/// The layer and all above it, topmost first.
fn standing_on(all: &BTreeMap<LayerKey, Found>, key: &LayerKey) -> Vec<LayerKey> {
    let mut found = vec![key.clone()];
    let mut position = 0;
    while let Some(parent) = found.get(position).cloned() {
        for (child, candidate) in all {
            if candidate.record.parent.as_ref() == Some(&parent) && !found.contains(child) {
                found.push(child.clone());
            }
        }
        position += 1;
    }
    found.reverse();
    found
}

pub(crate) fn boot() -> Result<String, Error> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    Ok(text.trim().to_owned())
}

fn write_record(path: &Path, record: &Record) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer(&mut file, record)?;
        file.flush()
    };
    write().map_err(Error::io("write", path))
}

fn mark_used(layer: &Path) -> Result<(), Error> {
    let path = layer.join(RECORD);
    let now = SystemTime::now();
    File::options()
        .append(true)
        .open(&path)
        .and_then(|file| file.set_modified(now))
        .map_err(Error::io("set the time of", &path))
}

#[cfg(test)]
mod tests;
