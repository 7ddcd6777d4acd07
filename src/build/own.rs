//! The packager's own repository as a build's apt would see it: it changes with every installed package, but only
//! some of its packages matter to a build.
use std::collections::BTreeSet;
use std::io::Read as _;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use sha2::{Digest as _, Sha256};

use super::sources::{self, IndexFile, digest};
use super::steps::Build;
use super::stop::Stop;
use super::upgraded::{LONGEST_RELEASE, fetch_all, read_sources};
use crate::chroots::Session;
use crate::deb::hexadecimal;
use crate::deb::sources_list::Source;
use crate::deb::{Paragraph, relation};
use crate::fetch::{self, Client};

/// How often, and how long between, a packager is asked whose port is closed.
const MOST_TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);
/// Of an index, compressed or not.
const LONGEST_INDEX: usize = 256 << 20;
/// Fields of a Release file that apt's policy looks at (apt_preferences(5)).
const POLICY: [&str; 9] = [
    "Origin",
    "Label",
    "Suite",
    "Codename",
    "Version",
    "Components",
    "NotAutomatic",
    "ButAutomaticUpgrades",
    "No-Support-for-Architecture-all",
];
/// Packages that apt may install unasked.
const UNASKED: [&str; 3] = ["Essential", "Important", "Protected"];

pub(super) struct Own {
    all: Vec<Source>,
    /// Those of `all` that hold packages: apt need not be told of the others.
    pub(super) sources: Vec<Source>,
    /// Release files of `all`.
    releases: Vec<String>,
    /// Digest of what all indices hold.
    indices: String,
    /// `None` where the indices could not be read.
    stanzas: Option<Vec<Stanza>>,
}

/// What an index says of one package.
struct Stanza {
    /// After where it stands: apt's policy is about dists.
    text: String,
    /// Its own and those that it provides.
    names: Vec<String>,
    is_unasked: bool,
}

impl Own {
    /// Fetches what the packager publishes now.
    pub(super) fn fetch(build: &Build) -> Result<Own, Stop> {
        let architecture = &build.assignment.request.subject.architecture;
        let all = read_sources(build)?.own;
        let urls: Vec<String> = all.iter().map(Source::release_url).collect();
        let packager = build.packager()?;
        let releases: Vec<String> = fetch_releases(build, &packager, &urls)?
            .iter()
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect();
        let with_releases = || all.iter().zip(&releases);
        let sources = with_releases()
            .filter(|(source, release)| !sources::is_empty(source, release, architecture))
            .map(|(source, _)| source.clone())
            .collect();
        let files: Vec<IndexFile> = with_releases()
            .flat_map(|(source, release)| sources::index_files(source, release, architecture))
            .collect();
        let digests: Vec<String> = with_releases()
            .map(|(source, release)| sources::index_digest(source, release, architecture))
            .collect();
        Ok(Own {
            stanzas: stanzas(&packager, &files),
            indices: digest(&digests),
            all,
            sources,
            releases,
        })
    }

    /// What apt's policy is made of.
    pub(super) fn policy(&self) -> String {
        let fields = self.releases.iter().flat_map(|release| {
            release.lines().filter(|line| {
                line.split_once(':')
                    .is_some_and(|(name, _)| POLICY.contains(&name))
            })
        });
        fields.fold(sources::list(&self.all), |policy, field| {
            policy + field + "\n"
        })
    }

    /// Digest of all packages that are, or provide, one of these names.
    pub(super) fn relevant(&self, names: &BTreeSet<String>) -> String {
        let Some(stanzas) = &self.stanzas else {
            return self.indices.clone();
        };
        let mut relevant: Vec<&str> = stanzas
            .iter()
            .filter(|stanza| {
                stanza.is_unasked || stanza.names.iter().any(|name| names.contains(name))
            })
            .map(|stanza| stanza.text.as_str())
            .collect();
        relevant.sort_unstable();
        relevant.dedup();
        digest(&relevant)
    }

    /// Tells whether apt in this session read the same indices.
    pub(super) fn is_what_apt_read(&self, build: &Build, session: &Session) -> bool {
        let architecture = &build.assignment.request.subject.architecture;
        let read = self
            .all
            .iter()
            .zip(&self.releases)
            .map(|(source, release)| {
                let mut text = String::new();
                let file = session.open(sources::release_file(source).as_ref()).ok();
                match file.map(|file| file.take(LONGEST_RELEASE as u64).read_to_string(&mut text)) {
                    Some(Ok(_)) => sources::index_digest(source, &text, architecture),
                    // apt was not told of it.
                    None if !self.sources.contains(source) => {
                        sources::index_digest(source, release, architecture)
                    }
                    Some(Err(_)) | None => String::new(),
                }
            });
        digest(&read.collect::<Vec<_>>()) == self.indices
    }
}

/// Fetches from the packager, whose daemon may be between an end and a start.
fn fetch_releases(build: &Build, packager: &Client, urls: &[String]) -> Result<Vec<Vec<u8>>, Stop> {
    let mut tries = 0;
    loop {
        tries += 1;
        match fetch_all(packager, urls, LONGEST_RELEASE) {
            Err(Stop::Unreachable {
                source: fetch::Error::Unconnected { .. },
                ..
            }) if tries < MOST_TRIES => {
                build.check_cancelled()?;
                std::thread::sleep(PAUSE);
            }
            fetched => return fetched,
        }
    }
}

/// Reads all of them; `None` where one is not to be had or not what its Release file says.
fn stanzas(packager: &Client, files: &[IndexFile]) -> Option<Vec<Stanza>> {
    let urls: Vec<String> = files.iter().map(|file| file.url.clone()).collect();
    let contents = fetch_all(packager, &urls, LONGEST_INDEX).ok()?;
    let mut stanzas = Vec::new();
    for (file, content) in files.iter().zip(contents) {
        if hexadecimal(&Sha256::digest(&content)) != file.sha256 {
            return None;
        }
        stanzas.extend(parse(&file.dist, &unpack(file, content)?)?);
    }
    Some(stanzas)
}

fn unpack(file: &IndexFile, content: Vec<u8>) -> Option<String> {
    let limit = LONGEST_INDEX as u64;
    let mut text = String::new();
    match file.extension.as_str() {
        "" => return String::from_utf8(content).ok(),
        ".gz" => MultiGzDecoder::new(content.as_slice())
            .take(limit)
            .read_to_string(&mut text),
        ".xz" => XzDecoder::new(content.as_slice())
            .take(limit)
            .read_to_string(&mut text),
        _ => return None,
    }
    .ok()?;
    Some(text)
}

fn parse(dist: &str, index: &str) -> Option<Vec<Stanza>> {
    index
        .split("\n\n")
        .map(str::trim_end)
        .filter(|text| !text.is_empty())
        .map(|text| Stanza::parse(dist, text))
        .collect()
}

impl Stanza {
    fn parse(dist: &str, text: &str) -> Option<Stanza> {
        let paragraph: Paragraph = text.parse().ok()?;
        let provided = relation::names(paragraph.get("Provides").unwrap_or_default());
        Some(Stanza {
            names: [paragraph.get("Package")?]
                .into_iter()
                .chain(provided)
                .map(str::to_owned)
                .collect(),
            is_unasked: UNASKED
                .iter()
                .any(|field| paragraph.get(field) == Some("yes")),
            text: format!("{dist}\n{text}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(index: &str) -> Own {
        Own {
            all: Vec::new(),
            sources: Vec::new(),
            releases: Vec::new(),
            indices: String::new(),
            stanzas: parse("unstable", index),
        }
    }

    fn relevant(index: &str) -> String {
        let names = ["libfoo-dev", "mail-transport-agent"].map(str::to_owned);
        own(index).relevant(&names.into())
    }

    #[test]
    fn a_package_that_nothing_reaches_does_not_matter() {
        let libfoo = "Package: libfoo-dev\nVersion: 1\n\n";
        let more = format!("Package: hello\nVersion: 1\nDepends: libfoo-dev\n\n{libfoo}");
        assert_eq!(relevant(libfoo), relevant(&more));
        assert_ne!(relevant(libfoo), relevant(""));
    }

    #[test]
    fn another_version_of_a_reached_package_matters() {
        assert_ne!(
            relevant("Package: libfoo-dev\nVersion: 1\n\n"),
            relevant("Package: libfoo-dev\nVersion: 2\n\n")
        );
    }

    #[test]
    fn the_same_package_in_another_dist_matters() {
        let names: BTreeSet<String> = ["libfoo-dev".to_owned()].into();
        let of = |dist: &str| {
            let own = Own {
                stanzas: parse(dist, "Package: libfoo-dev\nVersion: 1\n\n"),
                ..own("")
            };
            own.relevant(&names)
        };
        assert_ne!(of("unstable"), of("experimental"));
    }

    #[test]
    fn a_new_provider_of_a_reached_name_matters() {
        let post = "Package: post\nVersion: 1\nProvides: mda,\n mail-transport-agent (= 2)\n\n";
        assert_ne!(relevant(""), relevant(post));
        assert_eq!(
            relevant(""),
            relevant(&post.replace("transport", "sorting"))
        );
    }

    #[test]
    fn an_essential_package_matters_always() {
        assert_ne!(
            relevant(""),
            relevant("Package: new\nVersion: 1\nEssential: yes\n\n")
        );
    }

    #[test]
    fn what_could_not_be_read_matters_as_a_whole() {
        let unread = |indices: &str| Own {
            indices: indices.to_owned(),
            ..own("Version: 1\n\n")
        };
        assert!(unread("").stanzas.is_none());
        let names = BTreeSet::new();
        assert_ne!(unread("1").relevant(&names), unread("2").relevant(&names));
    }
}
