//! The buildrequest's apt sources: foreign archives, which change now and then and make a layer, and the packager's own
//! repository, which changes with every package and does not.
use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::deb::hexadecimal;
use crate::deb::sources_list::Source;
use crate::deb::{self, Architecture};

/// The sources of one buildrequest in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sources {
    pub(super) foreign: Vec<Source>,
    pub(super) own: Vec<Source>,
}

impl Sources {
    /// Reads .config/apt_sources.list; `packager` is the HTTP URL of the instance that asks.
    pub(super) fn parse(text: &str, packager: &str) -> Result<Sources, deb::Error> {
        let own = format!("{}/repositories/", packager.trim_end_matches('/'));
        let binary = Source::parse_list(text)?
            .into_iter()
            .filter(|source| source.types.iter().any(|kind| kind == "deb"));
        let (own, foreign) = binary.partition(|source| source.uri.starts_with(&own));
        Ok(Sources { foreign, own })
    }
}

/// Text of a sources.list.
pub(super) fn list(sources: &[Source]) -> String {
    sources.iter().fold(String::new(), |list, source| {
        list + source.to_string().trim_end() + "\n"
    })
}

/// Where apt keeps the Release file of a source (apt's URItoFileName).
pub(super) fn release_file(source: &Source) -> String {
    let url = source.release_url();
    let place = url
        .split_once("://")
        .map_or(url.as_str(), |(_, place)| place);
    let place = place.split_once('@').map_or(place, |(_, place)| place);
    let mut name = String::from("/var/lib/apt/lists/");
    for letter in place.chars() {
        match letter {
            '/' => name.push('_'),
            letter if r#"\|{}[]<>"^~_=!@#$%&*"#.contains(letter) => {
                let _ = write!(name, "%{:02x}", u32::from(letter));
            }
            letter => name.push(letter),
        }
    }
    name
}

/// Digest of what apt would see of a source: the same while its package indices are, whatever the Release's date.
///
/// The text is unverified: it says only which layer is looked for. Layers are made by apt, which verifies.
pub(super) fn index_digest(source: &Source, release: &str, architecture: &Architecture) -> String {
    let mut indices = indices(source, release, architecture);
    indices.sort_unstable();
    if indices.is_empty() {
        return digest(&[release]);
    }
    let lines: Vec<String> = indices.iter().map(|index| index.concat()).collect();
    digest(&lines)
}

/// A Packages file in one of its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexFile {
    /// URL of the directory with the Release file.
    pub(super) dist: String,
    pub(super) url: String,
    pub(super) sha256: String,
    /// Of its compression; empty for none.
    pub(super) extension: String,
}

/// What to fetch to know all packages of a source: of each index the shortest form that everybody can read.
pub(super) fn index_files(
    source: &Source,
    release: &str,
    architecture: &Architecture,
) -> Vec<IndexFile> {
    let by_hash = release.lines().any(|line| line == "Acquire-By-Hash: yes");
    let url = source.release_url();
    let directory = url.trim_end_matches("InRelease");
    let mut shortest: BTreeMap<&str, (u64, IndexFile)> = BTreeMap::new();
    for [sha256, size, path] in indices(source, release, architecture) {
        let Some((parent, extension)) = path.rsplit_once("Packages") else {
            continue;
        };
        let Ok(size) = size.parse() else { continue };
        if !["", ".gz", ".xz"].contains(&extension) {
            continue;
        }
        let name = if by_hash {
            format!("{parent}by-hash/SHA256/{sha256}")
        } else {
            path.to_owned()
        };
        let file = IndexFile {
            dist: directory.to_owned(),
            url: format!("{directory}{name}"),
            sha256: sha256.to_owned(),
            extension: extension.to_owned(),
        };
        match shortest.get(parent) {
            Some((found, _)) if *found <= size => {}
            Some(_) | None => _ = shortest.insert(parent, (size, file)),
        }
    }
    shortest.into_values().map(|(_, file)| file).collect()
}

/// Tells whether a source has indices, but no package in any of them.
pub(super) fn is_empty(source: &Source, release: &str, architecture: &Architecture) -> bool {
    let indices = indices(source, release, architecture);
    let mut plain = indices
        .iter()
        .filter(|[_, _, path]| path.ends_with("Packages"));
    plain.clone().count() > 0 && plain.all(|[_, size, _]| *size == "0")
}

/// Lines `DIGEST SIZE PATH` of the field SHA256 that are about Packages files, compressed or not, that apt would read.
fn indices<'a>(
    source: &Source,
    release: &'a str,
    architecture: &Architecture,
) -> Vec<[&'a str; 3]> {
    let wanted: Vec<String> = source
        .components
        .iter()
        .flat_map(|component| {
            [architecture.as_str(), "all"]
                .map(|architecture| format!("{component}/binary-{architecture}/Packages"))
        })
        .collect();
    let is_wanted = |path: &str| {
        let plain = path.rsplit_once("Packages");
        plain.is_some_and(|(directory, _)| wanted.contains(&format!("{directory}Packages")))
    };
    let lines = release.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some([words.next()?, words.next()?, words.next()?])
    });
    lines
        .filter(|[digest, _, path]| digest.len() == 64 && is_wanted(path))
        .collect()
}

/// Digest over parts, each with its length, so that none can run into the next.
pub(super) fn digest<T: AsRef<str>>(parts: &[T]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    hexadecimal(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        let text = "deb [check-valid-until=yes] http://mirror.example.org/debian/ trixie main contrib\n\
                    deb [] http://buildd.example.org:8066/repositories/test trixie-test-unstable main\n";
        Sources::parse(text, "http://buildd.example.org:8066").unwrap()
    }

    fn release(date: &str, digit: &str) -> String {
        format!(
            "Date: {date}\nMD5Sum:\n {} 7 main/binary-amd64/Packages\nSHA256:\n {} 7 main/binary-amd64/Packages\n \
             {} 9 main/binary-arm64/Packages.xz\n",
            "1".repeat(32),
            digit.repeat(64),
            "3".repeat(64),
        )
    }

    fn digest_of(release: &str) -> String {
        index_digest(&sources().foreign[0], release, &"amd64".parse().unwrap())
    }

    #[test]
    fn the_packagers_repository_is_its_own() {
        let sources = sources();
        let names = |sources: &[Source]| -> Vec<String> {
            sources.iter().map(|source| source.suite.clone()).collect()
        };
        assert_eq!(names(&sources.foreign), ["trixie"]);
        assert_eq!(names(&sources.own), ["trixie-test-unstable"]);
    }

    #[test]
    fn release_is_found_where_apt_keeps_it() {
        let source = sources().own.remove(0);
        assert_eq!(
            release_file(&source),
            "/var/lib/apt/lists/buildd.example.org:8066_repositories_test_dists_trixie-test-unstable_InRelease"
        );
    }

    #[test]
    fn date_and_other_architectures_do_not_matter() {
        assert_eq!(
            digest_of(&release("today", "2")),
            digest_of(&release("tomorrow", "2"))
        );
        assert_eq!(
            digest_of(&release("today", "2")),
            digest_of(&release("today", "2").replace(&"3".repeat(64), &"4".repeat(64)))
        );
    }

    #[test]
    fn a_repository_without_packages_is_empty() {
        let source = &sources().foreign[0];
        let architecture = "amd64".parse().unwrap();
        let full = release("today", "2");
        assert!(!is_empty(source, &full, &architecture));
        assert!(is_empty(source, &full.replace(" 7 ", " 0 "), &architecture));
        assert!(!is_empty(source, "Date: today\n", &architecture));
    }

    #[test]
    fn an_index_is_fetched_in_its_shortest_form() {
        let line =
            |digit: &str, size: u32, path: &str| format!(" {} {size} {path}\n", digit.repeat(64));
        let plain = format!(
            "SHA256:\n{}{}{}{}{}",
            line("1", 900, "main/binary-amd64/Packages"),
            line("2", 300, "main/binary-amd64/Packages.gz"),
            line("3", 200, "main/binary-amd64/Packages.zst"),
            line("4", 20, "main/binary-all/Packages"),
            line("5", 32, "main/binary-all/Packages.xz"),
        );
        let urls = |release: &str| -> Vec<String> {
            let files = index_files(&sources().own[0], release, &"amd64".parse().unwrap());
            files.into_iter().map(|file| file.url).collect()
        };
        let dist =
            "http://buildd.example.org:8066/repositories/test/dists/trixie-test-unstable/main";
        assert_eq!(
            urls(&plain),
            [
                format!("{dist}/binary-all/Packages"),
                format!("{dist}/binary-amd64/Packages.gz")
            ]
        );
        assert_eq!(
            urls(&format!("Acquire-By-Hash: yes\n{plain}")),
            [
                format!("{dist}/binary-all/by-hash/SHA256/{}", "4".repeat(64)),
                format!("{dist}/binary-amd64/by-hash/SHA256/{}", "2".repeat(64))
            ]
        );
    }

    #[test]
    fn package_indices_matter() {
        assert_ne!(
            digest_of(&release("today", "2")),
            digest_of(&release("today", "5"))
        );
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }
}
