//! Downloaded .debs by the digest of their content, shared by all builds.
//!
//! Sessions never see the directory: files are copied in, and what comes out is stored under the digest that is
//! computed here. So a session can't give another one a package that this one's archive didn't name.
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

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
        downloads: &'a [Download],
    ) -> Result<Vec<&'a Download>, Error> {
        let mut tree = Tree::default();
        let mut missing = Vec::new();
        for download in downloads {
            let path = self.path(download);
            if fs::metadata(&path).is_ok_and(|found| found.len() == download.size) {
                tree.file(&inside(download), Owner::Root, &path);
            } else {
                missing.push(download);
            }
        }
        session.unpack(&tree)?;
        Ok(missing)
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

/// Lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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
    fn anything_else_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let debs = Debs::new(directory.path().to_owned());
        for other in [&b"another"[..], b"content and more", b"cont"] {
            debs.keep(other, &download(b"content")).unwrap();
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
