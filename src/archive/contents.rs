//! Contents-ARCH: which package has a file (repository format).
use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::store::{During, Transaction};

use super::Error;

pub(super) fn render(tx: &Transaction<'_>, packages: &[i64]) -> Result<String, Error> {
    let mut lists = Vec::new();
    for package in packages {
        let list: (String, String) = tx
            .sql()
            .prepare_cached("SELECT section || '/' || name, file_list FROM package WHERE id = ?")
            .and_then(|mut query| query.query_row([package], |row| Ok((row.get(0)?, row.get(1)?))))
            .during("read the files of a package")?;
        lists.push(list);
    }
    Ok(format(&lists))
}

/// From (`section/name`, paths by line) to one line a path: path, white space, locations.
fn format(lists: &[(String, String)]) -> String {
    let mut locations: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (location, paths) in lists {
        for path in paths.lines() {
            locations.entry(path).or_default().push(location);
        }
    }
    locations
        .iter()
        .fold(String::new(), |mut text, (path, locations)| {
            writeln!(text, "{path:<55} {}", locations.join(","))
                .expect("a String takes everything");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_listed_once_with_all_that_have_it() {
        let lists = [
            ("net/a".to_owned(), "usr/bin/a\nusr/share/common".to_owned()),
            ("net/b".to_owned(), "usr/share/common".to_owned()),
            ("net/empty".to_owned(), String::new()),
        ];
        let text = format(&lists);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines,
            [
                vec!["usr/bin/a", "net/a"],
                vec!["usr/share/common", "net/a,net/b"]
            ]
        );
    }
}
