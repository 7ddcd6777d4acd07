//! Contents-ARCH: which package has a file (repository format).
//!
//! An entry is a line: path, white space, locations (`SECTION/NAME`) with commas between. As a location names its
//! package, what a package adds and takes away can be told without the other packages of the path.
use std::collections::{BTreeMap, BTreeSet};

use crate::store::{During, Transaction};

use super::Error;
use super::index::Entry;

/// By path, then location: whether it is to be there.
pub(super) type Delta = BTreeMap<String, BTreeMap<String, bool>>;

/// Lines of all these packages.
pub(super) fn entries(
    tx: &Transaction<'_>,
    packages: impl Iterator<Item = i64>,
    take: &mut dyn FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    // Numbers, for each location stands at many paths.
    let mut locations: Vec<String> = Vec::new();
    let mut places: Vec<(Box<str>, usize)> = Vec::new();
    for package in packages {
        let (location, paths) = files(tx, package)?;
        if !paths.is_empty() {
            let paths = paths
                .lines()
                .map(|path| (key(path).into(), locations.len()));
            places.extend(paths);
            locations.push(location);
        }
    }
    places.sort_unstable();
    for same in places.chunk_by(|one, other| one.0 == other.0) {
        let here: BTreeSet<&str> = same
            .iter()
            .map(|(_, number)| locations[*number].as_str())
            .collect();
        take(line(&same[0].0, here))?;
    }
    Ok(())
}

/// What changes when packages came and others left; `stay` are those of the same names that were there and still are.
pub(super) fn delta(
    tx: &Transaction<'_>,
    came: &BTreeSet<i64>,
    left: &BTreeSet<i64>,
    stay: &BTreeSet<i64>,
) -> Result<Delta, Error> {
    let mut delta = Delta::new();
    let is_there = [(left, false), (came, true), (stay, true)];
    for (packages, is_there) in is_there {
        for package in packages {
            let (location, paths) = files(tx, *package)?;
            for path in paths.lines() {
                delta
                    .entry(key(path).to_owned())
                    .or_default()
                    .insert(location.clone(), is_there);
            }
        }
    }
    Ok(delta)
}

/// The lines of a text as they are to be after a change; both in the order of their paths.
pub(super) fn apply(text: &str, delta: &Delta) -> Vec<Entry> {
    let mut lines: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((path, locations)) = line.rsplit_once(' ') {
            lines.insert(path.trim_end(), locations.split(',').collect());
        }
    }
    for (path, locations) in delta {
        let line = lines.entry(path).or_default();
        for (location, is_there) in locations {
            if *is_there {
                line.insert(location);
            } else {
                line.remove(location.as_str());
            }
        }
    }
    lines
        .into_iter()
        .filter(|(_, locations)| !locations.is_empty())
        .map(|(path, locations)| line(path, locations))
        .collect()
}

/// White space at the end of a path can't be told from what follows.
fn key(path: &str) -> &str {
    path.trim_end()
}

fn line(path: &str, locations: BTreeSet<&str>) -> Entry {
    let locations: Vec<&str> = locations.into_iter().collect();
    Entry {
        key: path.to_owned(),
        text: format!("{path:<55} {}\n", locations.join(",")),
    }
}

/// Location of a package, and its paths by line.
fn files(tx: &Transaction<'_>, package: i64) -> Result<(String, String), Error> {
    Ok(tx
        .sql()
        .prepare_cached("SELECT section || '/' || name, file_list FROM package WHERE id = ?")
        .and_then(|mut query| query.query_row([package], |row| Ok((row.get(0)?, row.get(1)?))))
        .during("read the files of a package")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(entries: &[Entry]) -> Vec<Vec<&str>> {
        let lines = entries.iter().map(|entry| entry.text.trim_end());
        lines
            .map(|line| line.split_whitespace().collect())
            .collect()
    }

    fn delta(changes: &[(&str, &str, bool)]) -> Delta {
        let mut delta = Delta::new();
        for (path, location, is_there) in changes {
            delta
                .entry((*path).to_owned())
                .or_default()
                .insert((*location).to_owned(), *is_there);
        }
        delta
    }

    #[test]
    fn a_path_is_listed_once_with_all_that_have_it() {
        let text = "usr/bin/a          net/a\nusr/share/common  net/a,net/b\n";
        let changes = [
            ("usr/bin/a", "net/a", false),
            ("usr/bin/c", "net/c", true),
            ("usr/share/common", "net/a", false),
            ("usr/share/common", "net/c", true),
        ];
        let entries = apply(text, &delta(&changes));
        assert_eq!(
            words(&entries),
            [
                vec!["usr/bin/c", "net/c"],
                vec!["usr/share/common", "net/b,net/c"]
            ]
        );
        assert_eq!(entries[0].key, "usr/bin/c");
    }

    #[test]
    fn a_path_may_have_spaces() {
        let entries = apply("", &delta(&[("usr/a b c", "x/y", true)]));
        let again = apply(&entries[0].text, &Delta::new());
        assert_eq!(again, entries);
        assert_eq!(again[0].key, "usr/a b c");
    }
}
