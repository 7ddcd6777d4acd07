//! Dists as they were at a time: times/DIST@TIME, made when first asked for, given up when many are.
//!
//! apt wants to find the name that it was given in Release, so each spelling of a time has Release files of its own, in
//! times/DIST@TIME/spellings/SPELLING.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::model::Diststr;
use crate::pgp::SigningKeys;

use super::disk::{self, Doing};
use super::moment::Moment;
use super::state::{self, State};
use super::view::View;
use super::{ArchiveDir, Error, dist};

/// So many are kept, and so many spellings of each.
const MOST: usize = 24;
/// So many are made in [`WHILE`].
const MADE: usize = 12;
/// Within it, what was asked for is not given up for others.
const WHILE: Duration = Duration::from_secs(60);

/// A dist at a time, as clients name it: `sid-test-unstable@2026-11-22T05:40Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistTime {
    pub diststr: Diststr,
    pub at: Timestamp,
    /// The time as it was written; may name a file, and stand in a Release.
    spelling: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no distribution at a time (DIST@2026-11-22T05:40Z)")]
pub struct Malformed(String);

impl FromStr for DistTime {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<DistTime, Malformed> {
        let malformed = || Malformed(text.to_owned());
        let (diststr, spelling) = text.split_once('@').ok_or_else(malformed)?;
        // jiff reads more than these, a time zone in brackets for one.
        let is_plain = |c: char| c.is_ascii_digit() || "-+:.TZ".contains(c);
        if spelling.len() > 40 || !spelling.chars().all(is_plain) {
            return Err(malformed());
        }
        Ok(DistTime {
            diststr: diststr.parse().map_err(|_| malformed())?,
            at: spelling.parse().map_err(|_| malformed())?,
            spelling: spelling.to_owned(),
        })
    }
}

/// What a dist was, as an apt source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// The change that the asked time is at or after.
    pub moment: Moment,
    /// All files, under the name of the moment.
    pub directory: PathBuf,
    /// InRelease, Release and Release.gpg under the name that was asked for.
    pub releases: PathBuf,
}

impl Time {
    /// Name that Release files in its directory have: `DIST@TIME`, the time in full.
    pub fn name(&self) -> String {
        let name = self.directory.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// What is there of a kind, times or spellings.
struct Made {
    path: PathBuf,
    at: SystemTime,
    /// When it was asked for last.
    used: SystemTime,
}

/// The change that shows a dist as it was at a time.
fn find(archive: &ArchiveDir, asked: &DistTime) -> Result<Time, Error> {
    let moment = archive
        .store
        .read(|tx| archive.moment(tx, &asked.diststr, asked.at))?;
    let name = format!("{}@{}", asked.diststr, moment.name());
    let directory = archive.directory.join("times").join(&name);
    let releases = if asked.spelling == moment.name() {
        directory.clone()
    } else {
        directory.join("spellings").join(&asked.spelling)
    };
    Ok(Time {
        moment,
        directory,
        releases,
    })
}

/// A time that is an apt source already.
pub(super) fn present(
    archive: &ArchiveDir,
    asked: &DistTime,
    now: Timestamp,
) -> Result<Option<Time>, Error> {
    let time = find(archive, asked)?;
    if !(state::is_there(&time.directory) && state::is_there(&time.releases)) {
        return Ok(None);
    }
    match note_use(&time, now) {
        // It was given up meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        noted => noted.doing("date", &time.directory).map(|()| Some(time)),
    }
}

/// Makes a time an apt source, where it isn't one yet.
pub(super) fn publish(
    archive: &ArchiveDir,
    asked: &DistTime,
    keys: &SigningKeys,
    now: Timestamp,
) -> Result<Time, Error> {
    let time = find(archive, asked)?;
    let times = archive.directory.join("times");
    let _lock = disk::lock(&times)?;
    if !state::is_there(&time.directory) {
        make_room(archive, &times, now)?;
        archive.store.read(|tx| {
            let dist = dist::get(tx, &archive.repository, &asked.diststr)?;
            // Asked again: it may be forgotten by now.
            let moment = archive.moment(tx, &asked.diststr, time.moment.at)?;
            let state = State {
                view: View::at(dist.id, moment.id),
                dist: &dist,
                suite: time.name(),
                // A second making is to differ in nothing.
                date: time.moment.at,
            };
            state::write(archive, tx, &state, &time.directory, keys, now)
        })?;
    }
    if !state::is_there(&time.releases) {
        make_room(archive, &time.directory.join("spellings"), now)?;
        let path = time.directory.join("Release");
        let text = fs::read_to_string(&path).doing("read", &path)?;
        let suite = format!("{}@{}", asked.diststr, asked.spelling);
        let text = text.replacen(
            &format!("\nSuite: {}\n", time.name()),
            &format!("\nSuite: {suite}\n"),
            1,
        );
        state::write_releases(archive, &suite, &text, &time.releases, keys, now)?;
    }
    note_use(&time, now).doing("date", &time.directory)?;
    Ok(time)
}

fn note_use(time: &Time, now: Timestamp) -> io::Result<()> {
    for directory in [&time.releases, &time.directory] {
        disk::date(directory, SystemTime::from(now))?;
    }
    Ok(())
}

/// Refuses what comes too often; gives up those that were not asked for longest.
fn make_room(archive: &ArchiveDir, directory: &Path, now: Timestamp) -> Result<(), Error> {
    let mut made = list(directory)?;
    let now = SystemTime::from(now);
    let ago = |time: SystemTime| now.duration_since(time).unwrap_or_default();
    if made.iter().filter(|made| ago(made.at) < WHILE).count() >= MADE {
        return Err(Error::TooMany {
            limit: MADE,
            seconds: WHILE.as_secs(),
        });
    }
    made.sort_by_key(|made| made.used);
    let many = made.len().saturating_sub(MOST - 1);
    made.iter()
        .take(many)
        .try_for_each(|made| state::remove(archive, &made.path))
}

fn list(directory: &Path) -> Result<Vec<Made>, Error> {
    let mut made = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(made),
        entries => entries.doing("list", directory)?,
    };
    for entry in entries {
        let path = entry.doing("list", directory)?.path();
        let release = path.join("InRelease");
        let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
        if let (Ok(at), Ok(used)) = (modified(&release), modified(&path)) {
            made.push(Made { path, at, used });
        }
    }
    Ok(made)
}

/// Gives up those whose moment is forgotten.
pub(super) fn clean(archive: &ArchiveDir) -> Result<(), Error> {
    remove_where(archive, |name| {
        let Ok(asked) = name.parse::<DistTime>() else {
            return Ok(true);
        };
        match find(archive, &asked) {
            Ok(time) => Ok(time.name() != name),
            Err(Error::NoState { .. } | Error::UnknownDist { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    })
}

/// Gives up all: they are signed by keys that no longer sign.
pub(super) fn forget(archive: &ArchiveDir) -> Result<(), Error> {
    remove_where(archive, |_| Ok(true))
}

fn remove_where(
    archive: &ArchiveDir,
    is_superfluous: impl Fn(&str) -> Result<bool, Error>,
) -> Result<(), Error> {
    let times = archive.directory.join("times");
    if !times.exists() {
        return Ok(());
    }
    let _lock = disk::lock(&times)?;
    for made in list(&times)? {
        let name = made.path.file_name().unwrap_or_default();
        if is_superfluous(&name.to_string_lossy())? {
            state::remove(archive, &made.path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
