//! A directory held by its descriptor, so that names below it lead nowhere else.
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::deb::FileName;

pub struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub fn open(path: &Path) -> io::Result<Directory> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        Ok(Directory {
            descriptor: rustix::fs::open(path, flags, Mode::empty())?,
            path: path.into(),
        })
    }

    pub fn create(path: &Path) -> io::Result<Directory> {
        fs::create_dir_all(path)?;
        Directory::open(path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a regular file; links are not followed.
    pub fn file(&self, name: &FileName) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.descriptor, name.as_str(), flags, Mode::empty())?;
        let file = File::from(opened);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(file)
    }

    /// Reads a whole file; `None`: it is longer than `limit`.
    pub fn read(&self, name: &FileName, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let mut content = Vec::new();
        self.file(name)?.take(limit + 1).read_to_end(&mut content)?;
        Ok((content.len() as u64 <= limit).then_some(content))
    }

    /// Gives a file a second name in `to`, which replaces another file there; may be repeated.
    pub fn link(&self, name: &FileName, to: &Directory, new_name: &str) -> io::Result<()> {
        let link = || {
            rustix::fs::linkat(
                &self.descriptor,
                name.as_str(),
                &to.descriptor,
                new_name,
                AtFlags::empty(),
            )
        };
        match link() {
            Err(rustix::io::Errno::EXIST) => {
                rustix::fs::unlinkat(&to.descriptor, new_name, AtFlags::empty())?;
                Ok(link()?)
            }
            other => Ok(other?),
        }
    }

    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.descriptor)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", place.path().join("link")).unwrap();
        let directory = Directory::open(place.path()).unwrap();
        assert!(directory.file(&"link".parse().unwrap()).is_err());
    }

    #[test]
    fn linking_twice_is_linking_once() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a"), "1").unwrap();
        let from = Directory::open(place.path()).unwrap();
        let to = Directory::create(&place.path().join("to")).unwrap();
        let name = "a".parse().unwrap();
        from.link(&name, &to, "b").unwrap();
        from.link(&name, &to, "b").unwrap();
        assert_eq!(fs::read(to.path().join("b")).unwrap(), b"1");
    }

    #[test]
    fn long_file_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a"), "123").unwrap();
        let directory = Directory::open(place.path()).unwrap();
        let name = "a".parse().unwrap();
        assert_eq!(directory.read(&name, 2).unwrap(), None);
        assert_eq!(directory.read(&name, 3).unwrap(), Some(b"123".to_vec()));
    }
}
