//! What trees are known by, whole or file by file: the state, which costs a look at each file and tells
//! of every write through the file system, and the content, which costs reading all and also tells of
//! what a disk forgot.
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::{Error, tool};

const BLOCK: usize = 128 << 10;

/// What a tree is known by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) hash: String,
    /// On disk, in bytes.
    pub(crate) size: u64,
}

/// Runs a tree command on `trees`; the digest of each.
pub(crate) fn ask(mut command: Command, trees: &[PathBuf]) -> Result<Vec<Digest>, Error> {
    let said = tool::output(command.args(trees))?;
    let digests = said.lines().map(|line| {
        let (hash, size) = line.split_once(' ').unwrap_or((line, ""));
        Digest {
            hash: hash.to_owned(),
            size: size.parse().unwrap_or(0),
        }
    });
    Ok(digests.collect())
}

/// Writes the digest of each tree to standard output, one a line.
pub(crate) fn tell(of: fn(&Path) -> io::Result<Digest>, trees: &[OsString]) -> io::Result<()> {
    let digests: Vec<_> = thread::scope(|scope| {
        let threads = trees.iter().map(|tree| {
            scope.spawn(move || {
                of(Path::new(tree)).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", tree.display()))
                })
            })
        });
        let threads: Vec<_> = threads.collect();
        let joined = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
        });
        joined.collect::<io::Result<_>>()
    })?;
    let mut stdout = io::stdout().lock();
    for Digest { hash, size } in &digests {
        writeln!(stdout, "{hash} {size}")?;
    }
    stdout.flush()
}

/// By what changes with every write: no program can set a file's ctime.
pub(crate) fn state(tree: &Path) -> io::Result<Digest> {
    walk(tree, |metadata, _, digest| {
        for number in [metadata.ino(), metadata.ctime().cast_unsigned()] {
            digest.update(number.to_le_bytes());
        }
        digest.update(metadata.ctime_nsec().to_le_bytes());
        Ok(())
    })
}

/// By all that is in the files, and beside their content their attributes.
pub(crate) fn content(tree: &Path) -> io::Result<Digest> {
    let mut block = vec![0; BLOCK];
    walk(tree, |metadata, path, digest| {
        attributes(path, &mut block, digest)?;
        if metadata.is_symlink() {
            digest.update(fs::read_link(path)?.as_os_str().as_bytes());
        }
        if !metadata.is_file() {
            return Ok(());
        }
        let mut file = File::open(path)?;
        loop {
            match file.read(&mut block)? {
                0 => return Ok(()),
                count => digest.update(&block[..count]),
            }
        }
    })
}

fn attributes(path: &Path, buffer: &mut [u8], digest: &mut Sha256) -> io::Result<()> {
    let length = match llistxattr(path, &mut *buffer) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(errno) => return Err(errno.into()),
    };
    let mut names: Vec<Vec<u8>> = buffer[..length]
        .split_inclusive(|byte| *byte == 0)
        .map(<[u8]>::to_vec)
        .collect();
    names.sort_unstable();
    for name in names {
        let length = lgetxattr(path, name.strip_suffix(&[0]).unwrap_or(&name), &mut *buffer)?;
        digest.update(&name);
        digest.update(&buffer[..length]);
    }
    Ok(())
}

/// Digests names, kinds, modes, owners, sizes and times, and what `more` adds, in one order.
fn walk(
    tree: &Path,
    mut more: impl FnMut(&Metadata, &Path, &mut Sha256) -> io::Result<()>,
) -> io::Result<Digest> {
    let mut digest = Sha256::new();
    let mut size = 0;
    let mut waiting = vec![(tree.to_owned(), fs::symlink_metadata(tree)?)];
    while let Some((path, metadata)) = waiting.pop() {
        let name = path.strip_prefix(tree).unwrap_or(&path);
        digest.update(name.as_os_str().as_bytes());
        digest.update([0]);
        digest.update(numbers(&metadata));
        // In blocks of 512 bytes (stat(2)).
        size += metadata.blocks() * 512;
        more(&metadata, &path, &mut digest)?;
        if metadata.is_dir() {
            // An entry's own metadata: the way to it is not walked again.
            let children = fs::read_dir(&path)?.map(|entry| {
                let entry = entry?;
                Ok((entry.path(), entry.metadata()?))
            });
            let mut children = children.collect::<io::Result<Vec<_>>>()?;
            children.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
            waiting.append(&mut children);
        }
    }
    let mut hash = String::new();
    for byte in digest.finalize() {
        let _ = write!(hash, "{byte:02x}");
    }
    Ok(Digest { hash, size })
}

fn numbers(metadata: &Metadata) -> Vec<u8> {
    // The size of a directory is the file system's matter.
    let size = if metadata.is_dir() {
        0
    } else {
        metadata.size()
    };
    let numbers = [
        metadata.mode().into(),
        metadata.uid().into(),
        metadata.gid().into(),
        size,
        metadata.rdev(),
        metadata.mtime().cast_unsigned(),
        metadata.mtime_nsec().cast_unsigned(),
    ];
    numbers.into_iter().flat_map(u64::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_flipped_byte_shows_even_where_the_time_was_put_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "content").unwrap();
        let time = SystemTime::UNIX_EPOCH;
        let put_back = || {
            let file = File::options().write(true).open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(time)).unwrap();
        };
        put_back();
        let digests = || {
            (
                state(directory.path()).unwrap(),
                content(directory.path()).unwrap(),
            )
        };
        let before = digests();
        assert_eq!(digests(), before);
        fs::write(&path, "cOntent").unwrap();
        put_back();
        let after = digests();

        assert_ne!(after.0, before.0);
        assert_ne!(after.1, before.1);
        fs::write(&path, "content").unwrap();
        put_back();
        assert_eq!(digests().1, before.1);
    }
}
