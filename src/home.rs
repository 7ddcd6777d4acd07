//! The home directory: every path below it is joined here and nowhere else.
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::deb::{Architecture, Codename, FileName};
use crate::model::repository::Identity;
use crate::model::{BuildKey, Diststr, PackageKey, Timecode};

const PUBLIC: u32 = 0o755;
const PRIVATE: u32 = 0o700;

#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

/// Held while a daemon works on a home; the kernel frees it when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("can't make directory {path}")]
    Make {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is in use by another mini-buildd daemon (pid {pid})")]
    InUse { path: PathBuf, pid: String },
    #[error("can't lock {path}")]
    Lock {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("can't look for {path}")]
    Look {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "{path} is the database of mini-buildd 2, which `mini-buildd import` will take over; \
         importing is not available yet and nothing was touched"
    )]
    Stock { path: PathBuf },
}

/// What could not be done with a file or directory.
#[derive(Debug, thiserror::Error)]
#[error("can't {action} {path}")]
pub struct FileError {
    pub action: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

impl FileError {
    /// Names the file that an `io::Error` is about.
    pub fn of(action: &'static str, path: &Path) -> impl Fn(io::Error) -> FileError + use<> {
        let path = path.to_owned();
        move |source| FileError {
            action,
            path: path.clone(),
            source,
        }
    }
}

impl Home {
    pub fn new(root: impl Into<PathBuf>) -> Home {
        Home { root: root.into() }
    }
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Makes all directories, with their modes; refuses a home of the stock program.
    pub fn create(&self) -> Result<(), Error> {
        self.refuse_stock()?;
        if let Some(parent) = self.root.parent() {
            fs::create_dir_all(parent).map_err(|source| Error::Make {
                path: parent.into(),
                source,
            })?;
        }
        for (path, mode) in self.directories() {
            make(&path, mode).map_err(|source| Error::Make { path, source })?;
        }
        Ok(())
    }
    /// Refuses a home that holds the stock program's database.
    pub fn refuse_stock(&self) -> Result<(), Error> {
        let path = self.root.join("config.sqlite");
        match path.try_exists() {
            Ok(false) => Ok(()),
            Ok(true) => Err(Error::Stock { path }),
            Err(source) => Err(Error::Look { path, source }),
        }
    }
    /// Parents before children; what is private lets in the daemon only.
    fn directories(&self) -> Vec<(PathBuf, u32)> {
        vec![
            (self.root.clone(), PUBLIC),
            (self.root.join("etc"), PUBLIC),
            (self.event_hooks(), PUBLIC),
            (self.keys(), PRIVATE),
            (self.keys().join("by-fingerprint"), PRIVATE),
            (self.incoming(), PRIVATE),
            (self.repositories(), PUBLIC),
            (self.root.join("var"), PUBLIC),
            (self.events(), PUBLIC),
            (self.builds(), PUBLIC),
            (self.log(), PUBLIC),
            (self.chroots(), PRIVATE),
            (self.sessions(), PRIVATE),
            (self.trash(), PRIVATE),
            (self.debs(), PRIVATE),
            (self.quarantine(), PRIVATE),
        ]
    }
    /// Refuses a second daemon.
    pub fn lock(&self) -> Result<Lock, Error> {
        let path = self.root.join(".lock");
        let failed = |source| Error::Lock {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(failed)?;
                return Err(Error::InUse {
                    path: self.root.clone(),
                    pid: pid.trim().into(),
                });
            }
            Err(fault) => return Err(failed(fault.into())),
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(Lock { _file: file })
    }
    pub fn database(&self) -> PathBuf {
        self.root.join("mini-buildd.sqlite")
    }
    /// Staging directories of FTP connections, one each.
    pub fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }
    pub fn staging(&self, name: &str) -> PathBuf {
        self.incoming().join(name)
    }
    pub fn repositories(&self) -> PathBuf {
        self.root.join("repositories")
    }
    pub fn repository(&self, identity: &Identity) -> PathBuf {
        self.repositories().join(identity.as_str())
    }
    /// Where a snapshot of a distribution is published.
    pub fn snapshot(&self, dist: &Diststr, name: &FileName) -> PathBuf {
        self.repository(&dist.repository)
            .join("dists")
            .join(dist.to_string())
            .join("snapshots")
            .join(name.as_str())
    }
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }
    pub fn signing_key(&self) -> PathBuf {
        self.keys().join("signing.asc")
    }
    /// A key beside the signing key, to come or retired; the fingerprint is one of ours.
    pub fn other_key(&self, fingerprint: &str) -> PathBuf {
        let name = format!("by-fingerprint/{fingerprint}.asc");
        self.keys().join(name)
    }
    /// Which key takes the place of the signing key, and which ones were it.
    pub fn rollover(&self) -> PathBuf {
        self.keys().join("rollover.json")
    }
    /// Of the certificate that `mini-buildd self-signed-certificate` makes.
    pub fn certificate_key(&self) -> PathBuf {
        self.keys().join("tls.key")
    }
    pub fn certificate(&self) -> PathBuf {
        self.root.join("etc/tls.crt")
    }
    pub fn dput_cf(&self) -> PathBuf {
        self.root.join("etc/dput.cf")
    }
    pub fn event_hooks(&self) -> PathBuf {
        self.root.join("etc/event-hooks")
    }
    pub fn events(&self) -> PathBuf {
        self.root.join("var/events")
    }
    /// `SOURCE/VERSION/TIMECODE/ARCHITECTURE` below events.
    pub fn event_directory(&self, key: &BuildKey) -> PathBuf {
        self.events().join(key.to_string())
    }
    pub fn package_events(&self, key: &PackageKey) -> PathBuf {
        self.events().join(key.to_string())
    }
    /// What a builder sent for one architecture, while it is being installed.
    pub fn unpacked(&self, key: &BuildKey) -> PathBuf {
        self.event_directory(key).join(".unpacked")
    }
    pub fn builds(&self) -> PathBuf {
        self.root.join("var/builds")
    }
    /// Directories of all builds that there are.
    pub fn build_directories(&self) -> io::Result<Vec<PathBuf>> {
        // SOURCE/VERSION/TIMECODE/ARCHITECTURE
        below(self.builds(), 4)
    }
    /// Directories of the events of all uploads that there are.
    pub fn event_directories(&self) -> io::Result<Vec<PathBuf>> {
        // SOURCE/VERSION/TIMECODE
        below(self.events(), 3)
    }
    pub fn build_directory(&self, key: &BuildKey) -> PathBuf {
        self.builds().join(key.to_string())
    }
    pub fn chroots(&self) -> PathBuf {
        self.root.join("var/chroots")
    }
    pub fn chroot(&self, codename: &Codename, architecture: &Architecture) -> PathBuf {
        self.chroots()
            .join(codename.as_str())
            .join(architecture.as_str())
    }
    pub fn sessions(&self) -> PathBuf {
        self.root.join("var/sessions")
    }
    pub fn trash(&self) -> PathBuf {
        self.root.join("var/trash")
    }
    pub fn debs(&self) -> PathBuf {
        self.root.join("var/debs")
    }
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("var/quarantine")
    }
    /// Where a refused message is kept, under names of our own.
    pub fn quarantined(&self, arrival: &Timecode) -> PathBuf {
        self.quarantine().join(arrival.as_str())
    }
    pub fn log(&self) -> PathBuf {
        self.root.join("var/log")
    }
    /// Process and URLs of the running daemon.
    pub fn running(&self) -> PathBuf {
        self.root.join("var/running.json")
    }
    pub fn access_log(&self) -> PathBuf {
        self.log().join("access.log")
    }
}

/// Directories that are so many levels below one.
fn below(directory: PathBuf, levels: u32) -> io::Result<Vec<PathBuf>> {
    let mut directories = vec![directory];
    for _ in 0..levels {
        let mut below = Vec::new();
        for directory in directories {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    below.push(entry.path());
                }
            }
        }
        directories = below;
    }
    Ok(directories)
}

/// Makes a directory with exactly this mode; one that is there keeps its own, unless it must be private.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::metadata(path)?;
            if !metadata.is_dir() {
                return Err(fault);
            }
            if mode == PRIVATE && metadata.permissions().mode() & 0o077 != 0 {
                return fs::set_permissions(path, Permissions::from_mode(mode));
            }
            Ok(())
        }
        Err(fault) => Err(fault),
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Replaces a file so that readers, and a crash, see either the old content or the new one.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let new = directory.join(name);
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_home_has_all_directories_with_their_modes() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path().join("deep/home"));
        home.create().unwrap();
        for (path, expected) in home.directories() {
            assert_eq!(mode(&path), expected, "{}", path.display());
        }
        assert_eq!(mode(home.signing_key().parent().unwrap()), PRIVATE);
        assert_eq!(mode(home.dput_cf().parent().unwrap()), PUBLIC);
    }

    #[test]
    fn making_it_again_keeps_what_is_there_and_closes_what_must_be_private() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path());
        home.create().unwrap();
        let open = |path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        open(home.repositories(), 0o750);
        open(home.incoming(), 0o777);
        fs::write(home.events().join("kept"), "").unwrap();
        home.create().unwrap();
        assert_eq!(mode(&home.repositories()), 0o750);
        assert_eq!(mode(&home.incoming()), PRIVATE);
        assert!(home.events().join("kept").exists());
    }

    #[test]
    fn a_home_of_the_stock_program_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.sqlite"), "").unwrap();
        let fault = Home::new(directory.path()).create().unwrap_err();
        assert!(fault.to_string().contains("mini-buildd import"), "{fault}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_place_of_a_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("var"), "").unwrap();
        let fault = Home::new(directory.path()).create().unwrap_err();
        assert!(fault.to_string().ends_with("/var"), "{fault}");
    }

    #[test]
    fn a_second_lock_is_refused_with_the_pid_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path());
        let lock = home.lock().unwrap();
        match home.lock() {
            Err(Error::InUse { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
            other => panic!("{other:?}"),
        }
        drop(lock);
        home.lock().unwrap();
    }
}
