//! apt-ftparchive, which looks at the pool only, says of it what our indices say.
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::read_to_string;
use std::process::Command;

use flate2::read::GzDecoder;
use mini_buildd::deb::Paragraph;

use crate::repository::{COMPONENTS, Repository, Stanza, architectures};
use crate::sample::run;

/// Fields that one of the two does not have; what both have must be the same.
struct Allowed {
    theirs_only: &'static [&'static str],
    ours_only: &'static [&'static str],
}

const OF_PACKAGES: Allowed = Allowed {
    // SHA256 is enough for every client.
    theirs_only: &["SHA512"],
    ours_only: &[],
};
const OF_SOURCES: Allowed = Allowed {
    theirs_only: &["Checksums-Sha512"],
    // apt-ftparchive has them from an override file, and finds none in a .dsc.
    ours_only: &["Priority", "Section"],
};

/// Runs over the pool, from where paths in indices begin.
fn scan(repository: &Repository, arguments: &[&str]) -> String {
    run(Command::new("apt-ftparchive")
        .args(arguments)
        .env("APT_CONFIG", "/dev/null")
        .current_dir(repository.archive.directory()))
}

type ByKey = BTreeMap<String, BTreeMap<String, String>>;

/// Fields of each stanza, by its field `key`.
fn by_key<'a>(stanzas: impl IntoIterator<Item = &'a Paragraph>, key: &str) -> ByKey {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    stanzas
        .into_iter()
        .map(|stanza| {
            let fields = stanza.fields().map(owned).collect();
            (stanza.get(key).unwrap().to_owned(), fields)
        })
        .collect()
}

/// Compares stanzas of ours and theirs, field by field.
fn assert_same(ours: &[Stanza], theirs: &str, key: &str, allowed: &Allowed) {
    let mut ours = by_key(ours.iter().map(|stanza| &stanza.paragraph), key);
    let mut theirs = by_key(&Paragraph::parse_all(theirs).unwrap(), key);
    let without = |stanzas: &mut ByKey, others: &ByKey, fields: &[&str]| {
        for (key, stanza) in stanzas {
            let other = others.get(key);
            let is_theirs = |name: &String| other.is_some_and(|other| other.contains_key(name));
            stanza.retain(|name, _| is_theirs(name) || !fields.contains(&name.as_str()));
        }
    };
    without(&mut ours, &theirs, allowed.ours_only);
    without(&mut theirs, &ours, allowed.theirs_only);
    assert!(!ours.is_empty());
    assert_eq!(ours, theirs);
}

#[test]
fn packages_are_what_apt_ftparchive_finds_in_the_pool() {
    let repository = Repository::with_packages();
    let theirs = scan(&repository, &["packages", "pool"]);
    let ours = repository.stanzas("Packages");
    assert_same(&ours, &theirs, "Filename", &OF_PACKAGES);
}

#[test]
fn sources_are_what_apt_ftparchive_finds_in_the_pool() {
    let repository = Repository::with_packages();
    let theirs = scan(&repository, &["sources", "pool"]);
    let ours = repository.stanzas("Sources");
    assert_same(&ours, &theirs, "Package", &OF_SOURCES);
}

/// Paths, and names of the packages that have them.
fn contents(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut contents: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (path, locations) = line.rsplit_once(char::is_whitespace).unwrap();
        let names = locations.split(',').map(|location| {
            // apt-ftparchive has sections from an override file only.
            let name = location.rsplit_once('/').map_or(location, |(_, name)| name);
            name.to_owned()
        });
        contents
            .entry(path.trim_end().to_owned())
            .or_default()
            .extend(names);
    }
    contents
}

#[test]
fn contents_are_what_apt_ftparchive_finds_in_the_pool() {
    let repository = Repository::with_packages();
    for architecture in architectures() {
        let theirs = scan(&repository, &["--arch", architecture, "contents", "pool"]);
        // Theirs knows no components.
        let ours = COMPONENTS.map(|component| {
            let path = format!("{component}/Contents-{architecture}.gz");
            let path = repository.dist().join(path);
            read_to_string(GzDecoder::new(File::open(path).unwrap())).unwrap()
        });
        let ours = contents(&ours.concat());
        assert!(ours.len() >= 2, "{ours:?}");
        assert_eq!(ours, contents(&theirs), "{architecture}");
    }
}
