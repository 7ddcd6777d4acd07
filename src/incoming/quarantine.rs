//! Refused messages, kept for a while under names of our own and never served.
use std::fmt::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use super::directory::Directory;
use crate::deb::FileName;
use crate::home::{self, Home};
use crate::model::Timecode;

const MOST_MESSAGES: usize = 200;
const MOST_BYTES: u64 = 1 << 30;
const LONGEST: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const MOST_FILES: usize = 100;

/// Keeps a message: `changes`, then its files as `1`, `2`, …, and `reason`, which has the real names.
pub fn keep(
    home: &Home,
    arrival: &Timecode,
    staging: &Directory,
    changes: &FileName,
    files: &[FileName],
    reason: &str,
) -> io::Result<()> {
    let path = home.quarantined(arrival);
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&path)?;
    let directory = Directory::open(&path)?;
    let mut text = format!("{reason}\nchanges: {changes}\n");
    pass_missing(staging.link(changes, &directory, "changes"))?;
    for (number, name) in files.iter().take(MOST_FILES).enumerate() {
        let number = number + 1;
        pass_missing(staging.link(name, &directory, &number.to_string()))?;
        let _ = writeln!(text, "{number}: {name}");
    }
    home::replace(&path.join("reason"), text.as_bytes())
}

fn pass_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Deletes the oldest messages until the rest is within the bounds.
pub fn prune(home: &Home, now: SystemTime) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(home.quarantine())? {
        let entry = entry?;
        let modified = entry.metadata()?.modified()?;
        kept.push(Kept {
            modified,
            bytes: bytes_in(&entry.path())?,
            path: entry.path(),
        });
    }
    for path in beyond_bounds(kept, now) {
        fs::remove_dir_all(path)?;
    }
    Ok(())
}

struct Kept {
    modified: SystemTime,
    bytes: u64,
    path: PathBuf,
}

fn bytes_in(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn beyond_bounds(mut kept: Vec<Kept>, now: SystemTime) -> Vec<PathBuf> {
    kept.sort_by_key(|message| std::cmp::Reverse(message.modified));
    let mut bytes = 0;
    let mut beyond = Vec::new();
    for (number, message) in kept.into_iter().enumerate() {
        bytes += message.bytes;
        let age = now.duration_since(message.modified).unwrap_or_default();
        if number >= MOST_MESSAGES || bytes > MOST_BYTES || age > LONGEST {
            beyond.push(message.path);
        }
    }
    beyond
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(age_hours: u64, bytes: u64, name: &str) -> Kept {
        Kept {
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
                - Duration::from_secs(age_hours * 3600),
            bytes,
            path: name.into(),
        }
    }

    fn pruned(kept: Vec<Kept>) -> Vec<PathBuf> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        beyond_bounds(kept, now)
    }

    #[test]
    fn old_messages_go() {
        let kept = vec![message(1, 1, "young"), message(24 * 15, 1, "old")];
        assert_eq!(pruned(kept), [PathBuf::from("old")]);
    }

    #[test]
    fn oldest_go_when_there_is_too_much() {
        let kept = vec![
            message(3, 1 << 29, "third"),
            message(1, 1 << 29, "first"),
            message(2, 1 << 29, "second"),
        ];
        assert_eq!(pruned(kept), [PathBuf::from("third")]);
    }

    #[test]
    fn number_of_messages_is_bounded() {
        let kept = (0..=MOST_MESSAGES as u64).map(|age| message(age, 1, "m"));
        assert_eq!(pruned(kept.collect()).len(), 1);
    }
}
