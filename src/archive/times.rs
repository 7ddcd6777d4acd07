//! Dists as they were at a time: times/DIST@TIME, made when first asked for, forgotten when many are.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::model::Diststr;
use crate::pgp::SigningKeys;

use super::disk::{self, Doing};
use super::moment::{self, Moment};
use super::state::{self, State};
use super::view::View;
use super::{ArchiveDir, Error, dist};

/// So many are kept.
const MOST: usize = 24;
/// So many are made in [`WHILE`].
const MADE: usize = 12;
const WHILE: Duration = Duration::from_secs(60);

/// What a dist was, as an apt source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// The change that the asked time is at or after.
    pub moment: Moment,
    /// `DIST@TIME`, the name that apt is best given.
    pub name: String,
    pub directory: PathBuf,
}

/// A time that is there.
struct Made {
    path: PathBuf,
    at: SystemTime,
    /// When it was asked for last.
    used: SystemTime,
}

/// The change that shows a dist as it was at a time.
pub(super) fn find(archive: &ArchiveDir, diststr: &Diststr, at: Timestamp) -> Result<Time, Error> {
    let moment = archive.store.read(|tx| {
        let dist = dist::get(tx, &archive.repository, diststr)?;
        moment::of_dist(tx, &archive.repository, dist.id, at)
    })?;
    let moment = moment.ok_or_else(|| Error::NoState {
        diststr: diststr.clone(),
        at,
    })?;
    let name = format!("{diststr}@{}", moment.name());
    Ok(Time {
        directory: archive.directory.join("times").join(&name),
        name,
        moment,
    })
}

/// Makes a time an apt source, where it isn't one yet.
pub(super) fn publish(
    archive: &ArchiveDir,
    diststr: &Diststr,
    at: Timestamp,
    keys: &SigningKeys,
    now: Timestamp,
) -> Result<Time, Error> {
    let time = find(archive, diststr, at)?;
    let times = archive.directory.join("times");
    let _lock = disk::lock(&times)?;
    if !state::is_there(&time.directory) {
        make_room(archive, &times, SystemTime::from(now))?;
        archive.store.read(|tx| {
            let dist = dist::get(tx, &archive.repository, diststr)?;
            let state = State {
                view: View::at(dist.id, time.moment.id),
                dist: &dist,
                suite: time.name.clone(),
            };
            state::write(archive, tx, &state, &time.directory, keys, now)
        })?;
    }
    disk::date(&time.directory, SystemTime::from(now)).doing("date", &time.directory)?;
    Ok(time)
}

/// Refuses what comes too often; gives up those that were not asked for longest.
fn make_room(archive: &ArchiveDir, times: &Path, now: SystemTime) -> Result<(), Error> {
    let mut made = list(times)?;
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

fn list(times: &Path) -> Result<Vec<Made>, Error> {
    let mut made = Vec::new();
    for entry in fs::read_dir(times).doing("list", times)? {
        let path = entry.doing("list", times)?.path();
        let release = path.join("InRelease");
        let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
        if let (Ok(at), Ok(used)) = (modified(&release), modified(&path)) {
            made.push(Made { path, at, used });
        }
    }
    Ok(made)
}

/// Gives up all: they are signed by keys that no longer sign.
pub(super) fn forget(archive: &ArchiveDir) -> Result<(), Error> {
    let times = archive.directory.join("times");
    let _lock = disk::lock(&times)?;
    list(&times)?
        .iter()
        .try_for_each(|made| state::remove(archive, &made.path))
}
