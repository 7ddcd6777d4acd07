//! Chooses one range of host ids from subuid(5) or subgid(5) and the map that the caller lives in.
use std::ops::RangeInclusive;

/// Most ids that a session gets.
const MOST: u32 = 65536;
/// Debian's system users end at 999; the build user and nobody come on top.
const FEWEST: u32 = 1002;
/// What systemd keeps for containers, where nothing else hands out ids (systemd's UIDS-GIDS).
const CONTAINERS: (u32, u32) = (0x0008_0000, 0x6FFF_FFFF);
/// Above the users that people have, below Debian's reserved ids and nobody (Policy 9.2.2).
const SMALL: (u32, u32) = (10000, 59999);

/// Host ids from `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) count: u32,
}

impl Range {
    pub(super) fn last(self) -> u32 {
        self.first + (self.count - 1)
    }

    fn between(first: u32, last: u32) -> Option<Range> {
        let count = last.checked_sub(first)?.checked_add(1)?;
        Some(Range { first, count })
    }

    fn common(self, other: Range) -> Option<Range> {
        Range::between(self.first.max(other.first), self.last().min(other.last()))
    }

    /// What is left and right of `other`.
    fn without(self, other: Range) -> Vec<Range> {
        if self.common(other).is_none() {
            return vec![self];
        }
        let left = other
            .first
            .checked_sub(1)
            .and_then(|last| Range::between(self.first, last));
        let right = other
            .last()
            .checked_add(1)
            .and_then(|first| Range::between(first, self.last()));
        left.into_iter().chain(right).collect()
    }

    fn shortened(self) -> Range {
        Range {
            first: self.first,
            count: self.count.min(MOST),
        }
    }

    fn ids(self) -> RangeInclusive<u32> {
        self.first..=self.last()
    }
}

/// One line of subuid(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    owner: String,
    range: Range,
}

/// Who needs ids.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) id: u32,
    /// Own uid or gid, never handed to a session.
    pub(super) own: u32,
    pub(super) is_root: bool,
}

impl Wanted<'_> {
    fn owns(&self, entry: &Entry) -> bool {
        entry.owner == self.name || entry.owner == self.id.to_string()
    }
}

/// Why there are no ids for sessions; `free` ones exist here and are in nobody's entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoIds {
    #[error("there is no entry")]
    NoEntry { free: Option<RangeInclusive<u32>> },
    /// There are entries, but too few of their ids exist in the user namespace the caller lives in.
    #[error(
        "of the ids in the entry only {usable} exist in this user namespace, {FEWEST} are needed"
    )]
    NotInOuterMap {
        usable: u32,
        free: Option<RangeInclusive<u32>>,
    },
    #[error("the largest range has {count} ids, {FEWEST} are needed")]
    TooFew {
        count: u32,
        free: Option<RangeInclusive<u32>>,
    },
    /// Root without an entry, in a user namespace with no room.
    #[error("no entry, and no {FEWEST} free ids in a row in this user namespace")]
    NoRoom,
}

/// Reads subuid(5); lines that make no sense are skipped, as newuidmap does.
pub(super) fn parse(text: &str) -> Vec<Entry> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let first: u32 = fields.next()?.parse().ok()?;
            let count: u32 = fields.next()?.parse().ok()?;
            if fields.next().is_some() || owner.is_empty() {
                return None;
            }
            let last = first.checked_add(count.checked_sub(1)?)?;
            Some(Entry {
                owner: owner.to_owned(),
                range: Range::between(first, last)?,
            })
        })
        .collect()
}

/// Reads uid_map of the caller: the ids that exist here (user_namespaces(7)).
pub(super) fn parse_outer(text: &str) -> Vec<Range> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let first: u32 = fields.next()?.parse().ok()?;
            let count: u32 = fields.nth(1)?.parse().ok()?;
            let last = first.saturating_add(count.checked_sub(1)?);
            // The highest 32-bit id means "no id".
            Range::between(first, last.min(u32::MAX - 1))
        })
        .collect()
}

pub(super) fn choose(
    wanted: &Wanted<'_>,
    entries: &[Entry],
    outer: &[Range],
) -> Result<Range, NoIds> {
    let own: Vec<Range> = entries
        .iter()
        .filter(|entry| wanted.owns(entry))
        .map(|entry| entry.range)
        .collect();
    let Some(listed) = largest(&own) else {
        if wanted.is_root {
            return choose_for_root(entries, outer).ok_or(NoIds::NoRoom);
        }
        return Err(NoIds::NoEntry {
            free: unowned(entries, outer),
        });
    };
    if listed.count < FEWEST {
        return Err(NoIds::TooFew {
            count: listed.count,
            free: unowned(entries, outer),
        });
    }
    let existing: Vec<Range> = own
        .iter()
        .flat_map(|range| outer.iter().filter_map(|there| range.common(*there)))
        .collect();
    let forbidden = [
        Range { first: 0, count: 1 },
        Range {
            first: wanted.own,
            count: 1,
        },
    ];
    let usable = largest(&free(&existing, &forbidden)).unwrap_or(Range { first: 0, count: 0 });
    if usable.count < FEWEST {
        return Err(NoIds::NotInOuterMap {
            usable: usable.count,
            free: unowned(entries, outer),
        });
    }
    Ok(usable.shortened())
}

/// Another user whose entry has ids of `range` too.
pub(super) fn shared_with<'a>(
    wanted: &Wanted<'_>,
    range: Range,
    entries: &'a [Entry],
) -> Option<&'a str> {
    let mut others = entries.iter().filter(|entry| !wanted.owns(entry));
    let other = others.find(|entry| entry.range.common(range).is_some())?;
    Some(&other.owner)
}

/// Ids for a new entry: where useradd(8) would put it, else what a small container has.
pub(super) fn unowned(entries: &[Entry], outer: &[Range]) -> Option<RangeInclusive<u32>> {
    let first = next_free(entries);
    let usual = Range::between(first, first.saturating_add(MOST - 1))?;
    if outer.iter().any(|there| there.common(usual) == Some(usual)) {
        return Some(usual.ids());
    }
    largest(&room(SMALL, entries, outer))
        .filter(|range| range.count >= FEWEST)
        .map(Range::ids)
}

/// Where useradd(8) would put the next entry.
fn next_free(entries: &[Entry]) -> u32 {
    const SUB_UID_MIN: u32 = 100_000;
    let above = entries
        .iter()
        .map(|entry| entry.range.last().saturating_add(1));
    above.max().unwrap_or(0).max(SUB_UID_MIN)
}

/// The highest aligned 65,536 ids of the containers' range, else what is free of the small one.
fn choose_for_root(entries: &[Entry], outer: &[Range]) -> Option<Range> {
    let aligned = |range: Range| -> Option<Range> {
        let first = ((range.last() + 1) / MOST - 1) * MOST;
        (first >= range.first).then_some(Range { first, count: MOST })
    };
    room(CONTAINERS, entries, outer)
        .into_iter()
        .filter(|range| range.count >= MOST)
        .filter_map(aligned)
        .max_by_key(|range| range.first)
        .or_else(|| largest(&room(SMALL, entries, outer)).filter(|range| range.count >= FEWEST))
        .map(Range::shortened)
}

/// Ids from the first to the last that exist here and are in no entry.
fn room((first, last): (u32, u32), entries: &[Entry], outer: &[Range]) -> Vec<Range> {
    let taken: Vec<Range> = entries.iter().map(|entry| entry.range).collect();
    let existing: Vec<Range> = outer
        .iter()
        .filter_map(|there| there.common(Range::between(first, last)?))
        .collect();
    free(&existing, &taken)
}

fn free(ranges: &[Range], taken: &[Range]) -> Vec<Range> {
    taken.iter().fold(ranges.to_vec(), |left, taken| {
        left.iter()
            .flat_map(|range| range.without(*taken))
            .collect()
    })
}

/// The first of the largest.
fn largest(ranges: &[Range]) -> Option<Range> {
    ranges.iter().rev().copied().max_by_key(|range| range.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: &str = "         0          0 4294967295\n";

    fn ordinary(entries: &str, outer: &str) -> Result<(u32, u32), NoIds> {
        let wanted = Wanted {
            name: "mbd",
            id: 1001,
            own: 1001,
            is_root: false,
        };
        choose(&wanted, &parse(entries), &parse_outer(outer)).map(|r| (r.first, r.count))
    }

    fn root(entries: &str, outer: &str) -> Result<(u32, u32), NoIds> {
        let wanted = Wanted {
            name: "root",
            id: 0,
            own: 0,
            is_root: true,
        };
        choose(&wanted, &parse(entries), &parse_outer(outer)).map(|r| (r.first, r.count))
    }

    #[test]
    fn user_is_found_by_name_and_by_number() {
        assert_eq!(
            ordinary("other:1:5\nmbd:100000:65536\n", EVERYTHING),
            Ok((100_000, 65536))
        );
        assert_eq!(
            ordinary("1001:100000:65536\n", EVERYTHING),
            Ok((100_000, 65536))
        );
    }

    #[test]
    fn largest_range_is_taken_and_cut_to_65536_ids() {
        assert_eq!(
            ordinary("mbd:100000:2000\nmbd:200000:100000\n", EVERYTHING),
            Ok((200_000, 65536))
        );
    }

    #[test]
    fn broken_lines_are_skipped() {
        assert_eq!(
            ordinary("mbd\nmbd:x:1\nmbd:1:0\nmbd:4294967295:2\n#\n\n", EVERYTHING),
            Err(NoIds::NoEntry {
                free: Some(100_000..=165_535)
            })
        );
    }

    #[test]
    fn own_id_and_root_are_cut_out_of_a_range() {
        assert_eq!(ordinary("mbd:0:65536\n", EVERYTHING), Ok((1002, 64534)));
    }

    #[test]
    fn range_with_too_few_ids_is_refused() {
        assert_eq!(
            ordinary("mbd:100000:500\n", EVERYTHING),
            Err(NoIds::TooFew {
                count: 500,
                free: Some(100_500..=166_035)
            })
        );
    }

    #[test]
    fn range_outside_of_the_container_is_told_apart() {
        assert_eq!(
            ordinary("mbd:100000:65536\n", "0 524288 65536\n"),
            Err(NoIds::NotInOuterMap {
                usable: 0,
                free: Some(10000..=59999)
            })
        );
    }

    #[test]
    fn container_with_one_id_has_none_for_an_entry() {
        assert_eq!(
            ordinary("", "0 1000 1\n"),
            Err(NoIds::NoEntry { free: None })
        );
    }

    #[test]
    fn entries_of_two_users_that_overlap_are_found() {
        let wanted = Wanted {
            name: "mbd",
            id: 1001,
            own: 1001,
            is_root: false,
        };
        let range = Range {
            first: 100_000,
            count: 65536,
        };
        let other = |entries| {
            let entries = parse(entries);
            shared_with(&wanted, range, &entries).map(str::to_owned)
        };
        assert_eq!(
            other("mbd:100000:65536\nother:165535:10\n").as_deref(),
            Some("other")
        );
        assert_eq!(
            other("mbd:100000:65536\n1001:100000:9\nother:165536:10\n"),
            None
        );
    }

    #[test]
    fn range_inside_a_small_container_works() {
        assert_eq!(
            ordinary("mbd:10000:40000\n", "0 524288 65536\n"),
            Ok((10000, 40000))
        );
    }

    #[test]
    fn root_uses_its_entry() {
        assert_eq!(
            root("root:300000:65536\n", EVERYTHING),
            Ok((300_000, 65536))
        );
    }

    #[test]
    fn root_without_entry_gets_the_top_of_the_containers_range() {
        assert_eq!(root("", EVERYTHING), Ok((0x6FFF_0000, 65536)));
    }

    #[test]
    fn root_without_entry_keeps_off_the_entries_of_others() {
        assert_eq!(
            root("mbd:1879000000:1000\n", EVERYTHING),
            Ok((0x6FFE_0000, 65536))
        );
    }

    #[test]
    fn root_of_a_small_container_gets_ids_above_its_users() {
        assert_eq!(root("", "0 524288 65536\n"), Ok((10000, 50000)));
        assert_eq!(
            root("mbd:10000:40000\n", "0 524288 65536\n"),
            Ok((50000, 10000))
        );
    }

    #[test]
    fn root_of_a_container_with_one_id_has_no_room() {
        assert_eq!(root("", "0 1000 1\n"), Err(NoIds::NoRoom));
    }
}
