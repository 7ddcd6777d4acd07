//! What the indices of another archive manager's repository list, held against its Release files.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::deb::{Checksums, Component, Indexed, Paragraph};
use crate::model::Diststr;
use crate::model::snapshot::SnapshotName;

use super::super::Error;
use super::super::disk::{self, Doing};
use super::super::prepare::Kind;

/// Bytes of a Release file, and of an index unpacked; Debian's largest has some 50 MiB.
const MAX_RELEASE: u64 = 64 << 20;
const MAX_INDEX: u64 = 1 << 30;
/// Forms of an index, the cheapest first.
const FORMS: [&str; 3] = ["", ".gz", ".xz"];

/// A repository directory: `dists` and `pool`.
pub struct Stock {
    pub(super) root: PathBuf,
    pub(super) entries: Vec<Entry>,
    /// By dist; snapshots stand in the order of their time before what their dist is now.
    pub states: Vec<State>,
}

/// A package, whichever dists list it.
pub(super) struct Entry {
    pub(super) component: Component,
    pub(super) kind: Kind,
    pub(super) indexed: Indexed,
}

/// A dist, or a snapshot of it.
pub struct State {
    pub diststr: Diststr,
    pub snapshot: Option<SnapshotName>,
    /// Date of its Release file.
    pub created: Timestamp,
    /// Numbers of entries.
    pub(super) entries: BTreeSet<usize>,
}

impl State {
    pub fn packages(&self) -> usize {
        self.entries.len()
    }
}

impl Entry {
    pub(super) fn index_name(&self) -> String {
        self.kind.index_name(&self.indexed.architecture)
    }

    /// `hello 1.0 amd64`, for people.
    pub(super) fn title(&self) -> String {
        let Indexed {
            name,
            version,
            architecture,
            ..
        } = &self.indexed;
        format!("{name} {version} {architecture}")
    }
}

impl Stock {
    /// Reads all indices of the dists that are wanted; a state that can't be read is told and left out.
    pub fn read(
        root: &Path,
        is_wanted: impl Fn(&Diststr) -> bool,
        fault: &mut dyn FnMut(Error),
    ) -> Result<Stock, Error> {
        let mut reader = Reader {
            stock: Stock {
                root: root.to_owned(),
                entries: Vec::new(),
                states: Vec::new(),
            },
            numbers: HashMap::new(),
        };
        let dists = root.join("dists");
        for (name, directory) in directories(&dists)? {
            let diststr: Diststr = match name.parse() {
                Ok(diststr) => diststr,
                Err(malformed) => {
                    fault(faulty(&directory, &malformed));
                    continue;
                }
            };
            if !is_wanted(&diststr) {
                continue;
            }
            let mut states = Vec::new();
            for (name, directory) in directories(&directory.join("snapshots"))? {
                let state = name
                    .parse()
                    .map_err(|malformed: String| faulty(&directory, &malformed))
                    .and_then(|name| reader.state(&diststr, Some(name), &directory));
                match state {
                    Ok(state) => states.push(state),
                    Err(error) => fault(error),
                }
            }
            states.sort_by_key(|state| state.created);
            match reader.state(&diststr, None, &directory) {
                Ok(state) => states.push(state),
                Err(error) => fault(error),
            }
            reader.stock.states.extend(states);
        }
        Ok(reader.stock)
    }
}

struct Reader {
    stock: Stock,
    /// By the path and the digest of an entry's first file.
    numbers: HashMap<(String, String), usize>,
}

impl Reader {
    fn state(
        &mut self,
        diststr: &Diststr,
        snapshot: Option<SnapshotName>,
        directory: &Path,
    ) -> Result<State, Error> {
        let path = directory.join("Release");
        let release = read(&path, MAX_RELEASE)?;
        let release: Paragraph = String::from_utf8_lossy(&release)
            .parse()
            .map_err(|malformed: crate::deb::Error| faulty(&path, &malformed))?;
        let created = date(&release).map_err(|error| faulty(&path, &error))?;
        let mut entries = BTreeSet::new();
        for (index, files) in indices(&release) {
            let path = directory.join(&index.path);
            let text = index_text(directory, &files)?;
            for stanza in text
                .split("\n\n")
                .filter(|stanza| !stanza.trim().is_empty())
            {
                let entry = index
                    .entry(stanza)
                    .map_err(|malformed| faulty(&path, &malformed))?;
                entries.insert(self.number(entry));
            }
        }
        Ok(State {
            diststr: diststr.clone(),
            snapshot,
            created,
            entries,
        })
    }

    fn number(&mut self, entry: Entry) -> usize {
        let first = &entry.indexed.files[0];
        let digest = first.sha256.as_ref().or(first.md5.as_ref());
        let key = (
            format!("{}/{}", entry.indexed.directory, first.name),
            digest.cloned().unwrap_or_default(),
        );
        let entries = &mut self.stock.entries;
        *self.numbers.entry(key).or_insert_with(|| {
            entries.push(entry);
            entries.len() - 1
        })
    }
}

/// An index, by its path without an extension.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Index {
    path: String,
    component: Component,
    kind: Kind,
}

impl Index {
    /// `main/binary-amd64/Packages`, `main/debian-installer/binary-amd64/Packages`, `main/source/Sources`
    fn of(path: &str) -> Option<Index> {
        let words: Vec<&str> = path.split('/').collect();
        let (component, kind) = match *words.as_slice() {
            [component, "source", "Sources"] => (component, Kind::Dsc),
            [component, binary, "Packages"] if binary.starts_with("binary-") => {
                (component, Kind::Deb)
            }
            [component, "debian-installer", binary, "Packages"]
                if binary.starts_with("binary-") =>
            {
                (component, Kind::Udeb)
            }
            _ => return None,
        };
        Some(Index {
            path: path.to_owned(),
            component: component.parse().ok()?,
            kind,
        })
    }

    fn entry(&self, stanza: &str) -> Result<Entry, crate::deb::Error> {
        let stanza: Paragraph = stanza.parse()?;
        let indexed = match self.kind {
            Kind::Dsc => Indexed::source(&stanza)?,
            Kind::Deb | Kind::Udeb => Indexed::binary(stanza)?,
        };
        Ok(Entry {
            component: self.component.clone(),
            kind: self.kind,
            indexed,
        })
    }
}

/// A file that Release lists.
struct Listed {
    path: String,
    digest: String,
    size: u64,
}

/// The indices of packages, each in all forms that Release lists.
fn indices(release: &Paragraph) -> BTreeMap<Index, Vec<Listed>> {
    let list = release.get("SHA256").or(release.get("MD5Sum"));
    let mut indices: BTreeMap<Index, Vec<Listed>> = BTreeMap::new();
    for line in list.unwrap_or_default().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[digest, size, path] = words.as_slice() else {
            continue;
        };
        for form in FORMS {
            let index = path.strip_suffix(form).and_then(Index::of);
            if let (Some(index), Ok(size)) = (index, size.parse()) {
                indices.entry(index).or_default().push(Listed {
                    path: path.to_owned(),
                    digest: digest.to_ascii_lowercase(),
                    size,
                });
            }
        }
    }
    indices
}

/// The text of an index, in the first form that is there.
fn index_text(directory: &Path, files: &[Listed]) -> Result<String, Error> {
    for form in FORMS {
        let is_form = |file: &&Listed| file.path.ends_with(&format!("s{form}"));
        let Some(listed) = files.iter().find(is_form) else {
            continue;
        };
        let path = directory.join(&listed.path);
        if !path.exists() {
            continue;
        }
        let bytes = read(&path, MAX_INDEX)?;
        let sums = Checksums::of(&mut &bytes[..]).doing("read", &path)?;
        if sums.size != listed.size || ![sums.sha256, sums.md5].contains(&listed.digest) {
            return Err(faulty(&path, &"has other content than Release says"));
        }
        return unpack(form, &bytes).doing("unpack", &path);
    }
    let path = directory.join(&files[0].path);
    Err(faulty(&path, &"is in Release, but missing in all forms"))
}

fn unpack(form: &str, bytes: &[u8]) -> io::Result<String> {
    let reader: &mut dyn Read = match form {
        ".gz" => &mut flate2::read::MultiGzDecoder::new(bytes),
        ".xz" => &mut liblzma::read::XzDecoder::new_multi_decoder(bytes),
        _ => &mut &*bytes,
    };
    let mut text = String::new();
    reader.take(MAX_INDEX).read_to_string(&mut text)?;
    Ok(text)
}

fn date(release: &Paragraph) -> Result<Timestamp, String> {
    let text = release.get("Date").unwrap_or_default();
    DateTime::strptime("%a, %d %b %Y %H:%M:%S UTC", text)
        .and_then(|time| time.to_zoned(TimeZone::UTC))
        .map(|time| time.timestamp())
        .map_err(|error| format!("field Date: {text:?}: {error}"))
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let file = File::open(path).doing("open", path)?;
    disk::read_bounded(&file, limit).doing("read", path)
}

/// Names and paths of directories in one that may be missing, sorted; links are left out.
fn directories(directory: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.doing("list", directory)?,
    };
    let mut directories = Vec::new();
    for entry in entries {
        let entry = entry.doing("list", directory)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            directories.push((name, entry.path()));
        }
    }
    directories.sort();
    Ok(directories)
}

fn faulty(path: &Path, fault: &dyn std::fmt::Display) -> Error {
    Error::Fault {
        file: path.display().to_string(),
        fault: fault.to_string(),
    }
}
