//! Which ids exist inside a session, and which host ids they are.
mod subordinate;

use std::fs;
use std::path::Path;

use nix::unistd::{Gid, Uid, User, getegid, geteuid};
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

/// user or group, each with its file of subordinate ids
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Uid,
    Gid,
}

impl Kind {
    pub(crate) fn subordinate_file(self) -> &'static Path {
        Path::new(match self {
            Kind::Uid => "/etc/subuid",
            Kind::Gid => "/etc/subgid",
        })
    }

    fn outer_map(self) -> &'static Path {
        Path::new(match self {
            Kind::Uid => "/proc/self/uid_map",
            Kind::Gid => "/proc/self/gid_map",
        })
    }
}

impl IdMap {
    /// Finds the subordinate ids of the calling user (subuid(5), subgid(5)).
    ///
    /// Root without an entry there gets ids that no entry names.
    pub fn of_caller() -> Result<IdMap, Error> {
        let user = caller()?;
        Ok(IdMap {
            uids: map_of(Kind::Uid, &user, geteuid().as_raw())?,
            gids: map_of(Kind::Gid, &user, getegid().as_raw())?,
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
        gid: Gid::current(),
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

fn map_of(kind: Kind, user: &User, own: u32) -> Result<Vec<IdRange>, Error> {
    let file = kind.subordinate_file();
    let subordinate = match fs::read_to_string(file) {
        Ok(text) => subordinate::parse(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(read_error(file, source)),
    };
    let outer_file = kind.outer_map();
    let outer_text =
        fs::read_to_string(outer_file).map_err(|source| read_error(outer_file, source))?;
    let wanted = Wanted {
        name: &user.name,
        id: user.uid.as_raw(),
        own,
        is_root: user.uid == Uid::from_raw(0),
    };
    let range = subordinate::choose(
        &wanted,
        &subordinate,
        &subordinate::parse_outer(&outer_text),
    )
    .map_err(|reason| Error::SubordinateIds {
        file: file.to_path_buf(),
        user: user.name.clone(),
        reason,
    })?;
    Ok(inside(range))
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
