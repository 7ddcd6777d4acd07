//! Which ids exist inside a session, and which host ids they are.
mod subordinate;

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use nix::unistd::{User, getegid, geteuid};
use serde::{Deserialize, Serialize};

use crate::Error;
pub use subordinate::NoIds;
use subordinate::{Range, Wanted};

/// One line of uid_map: `count` ids from `inside` are host ids from `outside` (user_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// The ids that exist inside a session; host id 0 and the caller's own id are never among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    pub uids: Vec<IdRange>,
    pub gids: Vec<IdRange>,
}

/// Kind of id, each with its file of subordinate ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subordinate {
    Uid,
    Gid,
}

impl Subordinate {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Subordinate::Uid => "subordinate uids",
            Subordinate::Gid => "subordinate gids",
        }
    }

    pub(crate) fn file(self) -> &'static Path {
        Path::new(match self {
            Subordinate::Uid => "/etc/subuid",
            Subordinate::Gid => "/etc/subgid",
        })
    }

    fn outer_map(self) -> &'static Path {
        Path::new(match self {
            Subordinate::Uid => "/proc/self/uid_map",
            Subordinate::Gid => "/proc/self/gid_map",
        })
    }

    pub(crate) fn of_caller(self) -> Result<Vec<IdRange>, Error> {
        self.choose().map(|(range, _)| inside(range))
    }

    /// Another user who has some of the same ids.
    pub(crate) fn shared_with(self) -> Result<Option<Overlap>, Error> {
        self.choose().map(|(_, overlap)| overlap)
    }

    fn choose(self) -> Result<(Range, Option<Overlap>), Error> {
        let user = caller()?;
        let file = self.file();
        let entries = match fs::read_to_string(file) {
            Ok(text) => subordinate::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(read_error(file, source)),
        };
        let outer_file = self.outer_map();
        let outer =
            fs::read_to_string(outer_file).map_err(|source| read_error(outer_file, source))?;
        let outer = subordinate::parse_outer(&outer);
        let wanted = Wanted {
            name: &user.name,
            id: user.uid.as_raw(),
            own: match self {
                Subordinate::Uid => geteuid().as_raw(),
                Subordinate::Gid => getegid().as_raw(),
            },
            is_root: user.uid.is_root(),
        };
        let range = subordinate::choose(&wanted, &entries, &outer).map_err(|source| {
            Error::SubordinateIds {
                file: file.to_path_buf(),
                user: user.name.clone(),
                source,
            }
        })?;
        let other = subordinate::shared_with(&wanted, range, &entries);
        let overlap = other.map(|other| Overlap {
            other: other.to_owned(),
            user: user.name.clone(),
            ids: range.first..=range.last(),
            free: subordinate::unowned(&entries, &outer),
        });
        Ok((range, overlap))
    }
}

/// Ids that are in the entries of two users.
#[derive(Debug)]
pub(crate) struct Overlap {
    pub(crate) user: String,
    pub(crate) other: String,
    /// The user's.
    pub(crate) ids: RangeInclusive<u32>,
    /// Ids in nobody's entry.
    pub(crate) free: Option<RangeInclusive<u32>>,
}

impl IdMap {
    /// Finds the subordinate ids of the calling user (subuid(5), subgid(5)).
    ///
    /// Root without an entry there gets ids that no entry names.
    pub fn of_caller() -> Result<IdMap, Error> {
        Ok(IdMap {
            uids: Subordinate::Uid.of_caller()?,
            gids: Subordinate::Gid.of_caller()?,
        })
    }

    /// The same ids, and the caller's own above them.
    pub(crate) fn with_caller(&self) -> Result<IdMap, Error> {
        let uid = geteuid();
        // newgidmap lets users map the group of their passwd entry only.
        let gid = if uid.is_root() {
            getegid()
        } else {
            caller()?.gid
        };
        Ok(IdMap {
            uids: with_one_more(&self.uids, uid.as_raw()),
            gids: with_one_more(&self.gids, gid.as_raw()),
        })
    }
}

fn caller() -> Result<User, Error> {
    let uid = geteuid();
    let unknown = || User {
        name: uid.to_string(),
        passwd: std::ffi::CString::default(),
        uid,
        gid: getegid(),
        gecos: std::ffi::CString::default(),
        dir: std::path::PathBuf::default(),
        shell: std::path::PathBuf::default(),
    };
    let found = User::from_uid(uid).map_err(|errno| Error::User {
        uid: uid.as_raw(),
        source: errno.into(),
    })?;
    Ok(found.unwrap_or_else(unknown))
}

fn read_error(path: &Path, source: std::io::Error) -> Error {
    Error::Read {
        path: path.to_path_buf(),
        source,
    }
}

/// From 0 up; a range that does not reach nobody, 65534, gives its last id for it.
fn inside(range: Range) -> Vec<IdRange> {
    const NOBODY: u32 = 65534;
    if range.count > NOBODY {
        return vec![IdRange {
            inside: 0,
            outside: range.first,
            count: range.count,
        }];
    }
    vec![
        IdRange {
            inside: 0,
            outside: range.first,
            count: range.count - 1,
        },
        IdRange {
            inside: NOBODY,
            outside: range.first + range.count - 1,
            count: 1,
        },
    ]
}

fn with_one_more(ranges: &[IdRange], outside: u32) -> Vec<IdRange> {
    let above = ranges.iter().map(|range| range.inside + range.count).max();
    let mut ranges = ranges.to_vec();
    ranges.push(IdRange {
        inside: above.unwrap_or(0),
        outside,
        count: 1,
    });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inside: u32, outside: u32, count: u32) -> IdRange {
        IdRange {
            inside,
            outside,
            count,
        }
    }

    #[test]
    fn full_range_is_mapped_as_it_is() {
        let map = inside(Range {
            first: 100_000,
            count: 65536,
        });
        assert_eq!(map, [range(0, 100_000, 65536)]);
    }

    #[test]
    fn small_range_still_has_nobody() {
        let map = inside(Range {
            first: 10000,
            count: 40000,
        });
        assert_eq!(map, [range(0, 10000, 39999), range(65534, 49999, 1)]);
    }

    #[test]
    fn own_id_goes_above_all_others() {
        let map = with_one_more(&[range(0, 10000, 39999), range(65534, 49999, 1)], 1000);
        assert_eq!(map.last(), Some(&range(65535, 1000, 1)));
    }
}
