//! Downloaded .debs by the digest of their content, shared by all builds.
//!
//! Sessions never see the directory: files are copied in, and what comes out is stored under the digest that is
//! computed here. So a session can't give another one a package that this one's archive didn't name.
//! Who is about to download something holds a lock on its digest: others wait, and find it here.
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use digest_io::IoWrapper;
use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;
use sha2::{Digest, Sha256};

use crate::deb::hexadecimal;

use super::apt::Download;
use super::tree::{Owner, Tree};
use super::{Error, Session};

/// Where apt looks for .debs before it downloads them.
const ARCHIVES: &str = "/var/cache/apt/archives";

#[derive(Clone, Debug)]
pub struct Debs {
    directory: PathBuf,
}

impl Debs {
    pub fn new(directory: PathBuf) -> Debs {
        Debs { directory }
    }

    /// Copies what is there into the session's apt; returns what is missing.
    pub fn give<'a>(
        &self,
        session: &Session,
        downloads: impl IntoIterator<Item = &'a Download>,
    ) -> Result<Vec<&'a Download>, Error> {
        let mut tree = Tree::default();
        let mut missing = Vec::new();
        for download in downloads {
            let path = self.path(download);
            let whole = self.is_whole(download).map_err(|source| Error::Keep {
                path: path.clone(),
                source,
            })?;
            if whole {
                tree.file(&inside(download), Owner::Root, &path);
            } else {
                missing.push(download);
            }
        }
        session.unpack(&tree)?;
        Ok(missing)
    }

    /// Waits for those who are downloading some of these, and keeps others from beginning to.
    pub fn claim(&self, downloads: &[&Download]) -> Result<Vec<Claim>, Error> {
        // All in one order: no two can wait for each other.
        let mut digests: Vec<&str> = downloads.iter().map(|deb| deb.sha256.as_str()).collect();
        digests.sort_unstable();
        digests.dedup();
        let claims = digests.into_iter().map(|digest| {
            let path = self.directory.join(format!(".{digest}.lock"));
            Claim::wait(&path).map_err(|source| Error::Keep { path, source })
        });
        claims.collect()
    }

    /// Removes what no session got for that long; what it removed.
    pub fn expire(&self, unused: Duration, now: SystemTime) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let used = fs::symlink_metadata(&path).and_then(|found| found.modified());
            let old = used.is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > unused));
            if old {
                fs::remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Tells whether the package is here as the archive has it; a damaged one goes away.
    fn is_whole(&self, download: &Download) -> io::Result<bool> {
        let path = self.path(download);
        let mut file = match File::options().read(true).append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut digest = IoWrapper(Sha256::new());
        io::copy(&mut file, &mut digest)?;
        if hexadecimal(&digest.0.finalize()) == download.sha256 {
            // Tells when it was used last.
            file.set_modified(SystemTime::now())?;
            return Ok(true);
        }
        fs::remove_file(&path)?;
        Ok(false)
    }

    /// Keeps what the session's apt downloaded; what is not what was asked for is left.
    pub fn take(&self, session: &Session, downloads: &[&Download]) -> Result<(), Error> {
        for download in downloads {
            let file = session.open(Path::new(&inside(download)))?;
            self.keep(file, download).map_err(|source| Error::Keep {
                path: self.path(download),
                source,
            })?;
        }
        Ok(())
    }

    fn keep(&self, mut from: impl Read, download: &Download) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let mut new = tempfile_in(&self.directory, &download.sha256)?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 128 << 10];
        let mut left = download.size;
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 || left < count as u64 {
                break;
            }
            left -= count as u64;
            digest.update(&buffer[..count]);
            new.file.write_all(&buffer[..count])?;
        }
        if left == 0 && hexadecimal(&digest.finalize()) == download.sha256 {
            fs::rename(&new.path, self.path(download))?;
        }
        Ok(())
    }

    fn path(&self, download: &Download) -> PathBuf {
        self.directory.join(format!("{}.deb", download.sha256))
    }
}

/// The right to download one package; dropped, others may.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    file: File,
}

impl Claim {
    fn wait(path: &Path) -> io::Result<Claim> {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        loop {
            let mut options = File::options();
            let file = options.create(true).append(true).open(path)?;
            retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
            // Its former holder may have removed it.
            let locked = file.metadata()?.ino();
            if fs::metadata(path).is_ok_and(|there| there.ino() == locked) {
                return Ok(Claim {
                    path: path.to_owned(),
                    file,
                });
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What stays behind is removed with what is old; those who wait see that it is another file.
        let _ = fs::remove_file(&self.path);
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// A file in the making; dropped, it goes away unless it was renamed.
struct New {
    path: PathBuf,
    file: File,
}

impl Drop for New {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn tempfile_in(directory: &Path, name: &str) -> io::Result<New> {
    let path = directory.join(format!(".{name}.{}", std::process::id()));
    let file = File::create(&path)?;
    Ok(New { path, file })
}

fn inside(download: &Download) -> String {
    format!("{ARCHIVES}/{}", download.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn download(content: &[u8]) -> Download {
        Download {
            name: "a_1_all.deb".to_owned(),
            size: content.len() as u64,
            sha256: hexadecimal(&Sha256::digest(content)),
        }
    }

    #[test]
    fn what_was_asked_for_is_kept_under_its_digest() {
        let directory = tempfile::tempdir().unwrap();
        let debs = Debs::new(directory.path().to_owned());
        let asked = download(b"content");
        debs.keep(&b"content"[..], &asked).unwrap();
        assert_eq!(fs::read(debs.path(&asked)).unwrap(), b"content");
    }

    #[test]
    fn a_damaged_one_goes_away() {
        let directory = tempfile::tempdir().unwrap();
        let debs = Debs::new(directory.path().to_owned());
        let asked = download(b"content");
        debs.keep(&b"content"[..], &asked).unwrap();
        assert!(debs.is_whole(&asked).unwrap());
        fs::write(debs.path(&asked), b"cOntent").unwrap();
        assert!(!debs.is_whole(&asked).unwrap());
        assert!(!debs.path(&asked).exists());
    }

    #[test]
    fn one_downloads_while_others_wait_and_find_it() {
        let directory = tempfile::tempdir().unwrap();
        let debs = Debs::new(directory.path().to_owned());
        let (one, two) = (download(b"one"), download(b"two"));
        let claims = debs.claim(&[&two, &one]).unwrap();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let _claims = debs.claim(&[&one]).unwrap();
                debs.is_whole(&one).unwrap()
            });
            debs.keep(&b"one"[..], &one).unwrap();
            drop(claims);
            assert!(other.join().unwrap());
        });
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_not_used_for_long_goes() {
        let directory = tempfile::tempdir().unwrap();
        let debs = Debs::new(directory.path().to_owned());
        let asked = download(b"content");
        debs.keep(&b"content"[..], &asked).unwrap();
        let (day, now) = (Duration::from_secs(24 * 3600), SystemTime::now());
        assert_eq!(debs.expire(day, now).unwrap(), 0);
        assert_eq!(debs.expire(day, now + day * 2).unwrap(), 1);
        assert!(!debs.is_whole(&asked).unwrap());
    }

    #[test]
    fn anything_else_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let debs = Debs::new(directory.path().to_owned());
        for other in [&b"another"[..], b"content and more", b"cont"] {
            debs.keep(other, &download(b"content")).unwrap();
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
