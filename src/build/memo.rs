//! What earlier builds found out, in small files beside a chroot's layers: from a digest of everything that an answer
//! depends on to the answer. Losing one costs time only.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Files that a directory may hold before old ones go.
const MOST: usize = 512;
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Clone, Debug)]
pub(super) struct Memo {
    directory: PathBuf,
}

impl Memo {
    pub(super) fn new(directory: PathBuf) -> Memo {
        Memo { directory }
    }

    pub(super) fn get(&self, kind: &str, digest: &str) -> Option<String> {
        fs::read_to_string(self.path(kind, digest)).ok()
    }

    /// As [`Memo::get`], unless it is older than `age`.
    pub(super) fn get_fresh(&self, kind: &str, digest: &str, age: Duration) -> Option<String> {
        let modified = fs::metadata(self.path(kind, digest))
            .ok()?
            .modified()
            .ok()?;
        // A clock that was put back makes it old.
        let fresh = SystemTime::now()
            .duration_since(modified)
            .is_ok_and(|past| past < age);
        if fresh { self.get(kind, digest) } else { None }
    }

    pub(super) fn put(&self, kind: &str, digest: &str, answer: &str) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        self.drop_old()?;
        let new = self.directory.join(format!(".new.{}", std::process::id()));
        fs::write(&new, answer)?;
        fs::rename(&new, self.path(kind, digest))
    }

    fn path(&self, kind: &str, digest: &str) -> PathBuf {
        self.directory.join(format!("{kind}-{digest}"))
    }

    fn drop_old(&self) -> io::Result<()> {
        let entries = fs::read_dir(&self.directory)?.collect::<io::Result<Vec<_>>>()?;
        if entries.len() < MOST {
            return Ok(());
        }
        for path in entries.iter().map(fs::DirEntry::path) {
            if is_old(&path) {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn is_old(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|past| past > OLD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_again_while_fresh() {
        let directory = tempfile::tempdir().unwrap();
        let memo = Memo::new(directory.path().join("memo"));
        assert_eq!(memo.get("release", "00"), None);
        memo.put("release", "00", "text").unwrap();
        let hour = Duration::from_secs(3600);
        assert_eq!(
            memo.get_fresh("release", "00", hour).as_deref(),
            Some("text")
        );
        assert_eq!(memo.get_fresh("release", "00", Duration::ZERO), None);
        assert_eq!(memo.get("release", "00").as_deref(), Some("text"));
    }
}
