//! The indices of a dist: which there are, what each is made of, and its text in entries.
//!
//! An entry is what stands together: all versions of a package, or the packages that have a path. Entries are sorted
//! by their keys, so that a change of one is a change of one place in the file.
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Row;

use crate::deb::Version;
use crate::store::{During, Transaction};

use super::view::View;
use super::{DistSettings, Error, contents, stanza};

/// Another number makes all indices anew.
const RENDERING: u32 = 4;

/// No name is behind it.
const LAST: &str = "\u{10ffff}";

/// One list of packages, in all forms.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// Below the dist, without extension: `main/binary-amd64/Packages`.
    pub(super) path: String,
    pub(super) kind: Kind,
    components: Vec<String>,
    /// Names of the slots' indices that it holds.
    members: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Packages or Sources.
    Stanzas,
    Contents,
    Translation,
}

/// What stands together in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// A package's name, or a path.
    pub(super) key: String,
    pub(super) text: String,
}

/// A package of an index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) id: i64,
    version: String,
}

/// Packages that came to a dist, or left it, since it was published.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<(String, String), BTreeMap<String, Packages>>);

/// Of one name.
#[derive(Debug, Default)]
struct Packages {
    added: Vec<i64>,
    removed: Vec<i64>,
}

impl Index {
    /// What its files are made of beside the packages; where it is other than it was, they are made anew.
    pub(super) fn input(&self) -> String {
        format!(
            "{RENDERING} {} {}",
            self.components.join(" "),
            self.members.join(" ")
        )
    }

    /// Names of what changed in it, sorted.
    pub(super) fn changed(&self, changes: &Changes) -> BTreeSet<String> {
        self.of(changes)
            .flat_map(|names| names.keys().cloned())
            .collect()
    }

    /// Packages that came and that left.
    pub(super) fn came_and_left(&self, changes: &Changes) -> [BTreeSet<i64>; 2] {
        let mut sides = [BTreeSet::new(), BTreeSet::new()];
        for packages in self.of(changes).flat_map(BTreeMap::values) {
            sides[0].extend(&packages.added);
            sides[1].extend(&packages.removed);
        }
        sides
    }

    fn of<'a>(
        &'a self,
        changes: &'a Changes,
    ) -> impl Iterator<Item = &'a BTreeMap<String, Packages>> {
        self.places().filter_map(|(component, member)| {
            changes.0.get(&(component.to_owned(), member.to_owned()))
        })
    }

    fn places(&self) -> impl Iterator<Item = (&str, &str)> {
        self.components.iter().flat_map(|component| {
            let members = self.members.iter();
            members.map(move |member| (component.as_str(), member.as_str()))
        })
    }

    /// Its packages with names from `first` on, before `end`; sorted by name, then version.
    pub(super) fn packages(
        &self,
        tx: &Transaction<'_>,
        view: &View,
        first: &str,
        end: Option<&str>,
    ) -> Result<Vec<Package>, Error> {
        let mut packages = Vec::new();
        let sql = format!(
            "SELECT slot.name, package.id, package.version
             FROM slot CROSS JOIN package ON package.id = slot.package
             WHERE {} AND slot.component = ? AND slot.index_name = ?
               AND slot.name >= ? AND slot.name < ?",
            view.condition()
        );
        let mut query = tx
            .sql()
            .prepare_cached(&sql)
            .during("read the packages of an index")?;
        for (component, member) in self.places() {
            let found: Vec<Package> = query
                .query_map((component, member, first, end.unwrap_or(LAST)), package)
                .and_then(Iterator::collect)
                .during("read the packages of an index")?;
            packages.extend(found);
        }
        packages.sort();
        for same in packages.chunk_by_mut(|one, other| one.name == other.name) {
            if same.len() > 1 {
                same.sort_by_cached_key(|package| package.version.parse::<Version>().ok());
            }
        }
        Ok(packages)
    }

    /// The text of packages, given in their order.
    pub(super) fn entries(
        &self,
        tx: &Transaction<'_>,
        packages: &[Package],
        take: &mut dyn FnMut(Entry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.kind == Kind::Contents {
            let ids = packages.iter().map(|package| package.id);
            return contents::entries(tx, ids, take);
        }
        for same in packages.chunk_by(|one, other| one.name == other.name) {
            let mut entry = Entry {
                key: same[0].name.clone(),
                text: String::new(),
            };
            for package in same {
                let text = stanza(tx, package.id)?;
                let text = match self.kind {
                    Kind::Stanzas | Kind::Contents => text,
                    Kind::Translation => stanza::translation(&text),
                };
                // In a Translation, a package is once for all architectures.
                let is_there = self.kind == Kind::Translation && entry.text.contains(&text);
                if !(text.is_empty() || is_there) {
                    entry.text.push_str(&text);
                    entry.text.push('\n');
                }
            }
            if !entry.text.is_empty() {
                take(entry)?;
            }
        }
        Ok(())
    }
}

fn package(row: &Row<'_>) -> Result<Package, rusqlite::Error> {
    Ok(Package {
        name: row.get(0)?,
        id: row.get(1)?,
        version: row.get(2)?,
    })
}

fn stanza(tx: &Transaction<'_>, package: i64) -> Result<String, Error> {
    Ok(tx
        .sql()
        .prepare_cached("SELECT stanza FROM package WHERE id = ?")
        .and_then(|mut query| query.query_row([package], |row| row.get(0)))
        .during("read a package")?)
}

impl Changes {
    /// What changed in a dist after a moment.
    pub(super) fn since(tx: &Transaction<'_>, dist: i64, moment: i64) -> Result<Changes, Error> {
        let mut changes = Changes::default();
        // Two queries, for each has an index of its own.
        for column in ["added", "removed"] {
            let sql = format!(
                "SELECT component, index_name, name, package,
                        added > ?2, removed IS NOT NULL AND removed > ?2
                 FROM slot WHERE dist = ?1 AND {column} IS NOT NULL AND {column} > ?2"
            );
            let mut query = tx.sql().prepare_cached(&sql).during("read what changed")?;
            let mut rows = query.query((dist, moment)).during("read what changed")?;
            while let Some(row) = rows.next().during("read what changed")? {
                changes.note(row).during("read what changed")?;
            }
        }
        Ok(changes)
    }

    fn note(&mut self, row: &Row<'_>) -> Result<(), rusqlite::Error> {
        let place = (row.get(0)?, row.get(1)?);
        let names = self.0.entry(place).or_default();
        let packages: &mut Packages = names.entry(row.get(2)?).or_default();
        let (package, added, removed): (i64, bool, bool) = (row.get(3)?, row.get(4)?, row.get(5)?);
        match (added, removed) {
            (true, false) => packages.added.push(package),
            (false, true) => packages.removed.push(package),
            // What came and left again was never seen.
            (true, true) | (false, false) => {}
        }
        Ok(())
    }
}

/// All indices of a dist: stock's, and Translation-en.
pub(super) fn indices(settings: &DistSettings) -> Vec<Index> {
    let mut indices = Vec::new();
    let mut add = |path: String, kind, components: &[String], members: Vec<String>| {
        indices.push(Index {
            path,
            kind,
            components: components.to_vec(),
            members,
        });
    };
    let all: Vec<String> = settings
        .components
        .iter()
        .map(ToString::to_string)
        .collect();
    let debs = |architecture: &str| vec![format!("binary-{architecture}"), "binary-all".to_owned()];
    for component in &all {
        let own = std::slice::from_ref(component);
        for architecture in &settings.architectures {
            let debs = debs(architecture.as_str());
            let directory = format!("{component}/binary-{architecture}");
            let installer = format!("debian-installer/binary-{architecture}");
            let udebs = vec![installer.clone(), "debian-installer/binary-all".to_owned()];
            add(
                format!("{directory}/Packages"),
                Kind::Stanzas,
                own,
                debs.clone(),
            );
            add(
                format!("{component}/{installer}/Packages"),
                Kind::Stanzas,
                own,
                udebs,
            );
            add(
                format!("{component}/Contents-{architecture}"),
                Kind::Contents,
                own,
                debs,
            );
        }
        let binaries = settings.architectures.iter();
        let mut binaries: Vec<String> = binaries.map(|word| format!("binary-{word}")).collect();
        binaries.push("binary-all".to_owned());
        add(
            format!("{component}/i18n/Translation-en"),
            Kind::Translation,
            own,
            binaries,
        );
        add(
            format!("{component}/source/Sources"),
            Kind::Stanzas,
            own,
            vec!["source".to_owned()],
        );
    }
    for architecture in &settings.architectures {
        add(
            format!("Contents-{architecture}"),
            Kind::Contents,
            &all,
            debs(architecture.as_str()),
        );
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dist_has_the_indices_of_stock_and_descriptions() {
        let settings = DistSettings {
            diststr: "sid-test-unstable".parse().unwrap(),
            origin: "Test".into(),
            components: ["main", "contrib"].map(|word| word.parse().unwrap()).into(),
            architectures: vec!["amd64".parse().unwrap(), "i386".parse().unwrap()],
            not_automatic: true,
            but_automatic_upgrades: true,
            keep: 1,
            valid_days: None,
            sha512: false,
        };
        let of_component = |component: &str| {
            [
                "binary-amd64/Packages",
                "debian-installer/binary-amd64/Packages",
                "Contents-amd64",
                "binary-i386/Packages",
                "debian-installer/binary-i386/Packages",
                "Contents-i386",
                "i18n/Translation-en",
                "source/Sources",
            ]
            .map(|path| format!("{component}/{path}"))
        };
        let mut expected: Vec<String> = ["main", "contrib"].map(of_component).concat();
        expected.extend(["Contents-amd64".into(), "Contents-i386".into()]);
        let paths: Vec<String> = indices(&settings)
            .into_iter()
            .map(|index| index.path)
            .collect();
        assert_eq!(paths, expected);
    }
}
