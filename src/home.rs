//! The home directory: every path below it is joined here and nowhere else.
use std::path::{Path, PathBuf};

use crate::deb::{Architecture, Codename};
use crate::model::repository::Identity;
use crate::model::{BuildKey, PackageKey, Timecode};

#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

/// Held while a daemon works on a home; the kernel frees it when the process ends.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] std::fs::File);

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
    #[error("{path} belongs to the stock program; it is not touched")]
    Stock { path: PathBuf },
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
        todo!()
    }
    /// Refuses a second daemon.
    pub fn lock(&self) -> Result<Lock, Error> {
        todo!()
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
    pub fn signing_key(&self) -> PathBuf {
        self.root.join("keys/signing.asc")
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
    pub fn build_directory(&self, key: &BuildKey) -> PathBuf {
        self.builds().join(key.to_string())
    }
    pub fn chroot(&self, codename: &Codename, architecture: &Architecture) -> PathBuf {
        self.root
            .join("var/chroots")
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
    pub fn access_log(&self) -> PathBuf {
        self.log().join("access.log")
    }
}

/// Replaces a file so that readers, and a crash, see either the old content or the new one.
pub fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let new = directory.join(name);
    let mut file = std::fs::File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    std::fs::File::open(directory)?.sync_all()
}
