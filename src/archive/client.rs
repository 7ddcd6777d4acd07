//! A client that trusts nothing, for tests: InRelease, then indices by hash, then the pool.
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::deb::{Checksums, Paragraph};

/// What a client sees of a dist.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Path and SHA-256 of what InRelease lists.
    pub(super) listed: BTreeMap<String, String>,
    /// `NAME VERSION` of Packages and Sources, by path of the index.
    pub(super) packages: BTreeMap<String, Vec<String>>,
}

impl Client {
    /// Reads InRelease once, and all that it lists by hash; the fault names the file.
    pub(super) fn read(root: &Path, dist: &str) -> Result<Client, String> {
        Client::read_at(root, &root.join("dists").join(dist))
    }

    /// As [`Client::read`], by hash only where InRelease offers that.
    pub(super) fn read_at(root: &Path, directory: &Path) -> Result<Client, String> {
        let signed = read(&directory.join("InRelease"))?;
        let signed = String::from_utf8(signed).map_err(|error| error.to_string())?;
        let mut client = Client {
            listed: BTreeMap::new(),
            packages: BTreeMap::new(),
        };
        let listed = signed
            .split_once("\nSHA256:\n")
            .ok_or("no SHA256 in InRelease")?
            .1;
        for line in listed.lines().take_while(|line| line.starts_with(' ')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [sha256, size, path] = words[..] else {
                return Err(format!("{line:?}"));
            };
            client.listed.insert(path.to_owned(), sha256.to_owned());
            let file = directory.join(path);
            if path.ends_with("/Release") {
                continue;
            }
            let hashed = file.parent().ok_or("no parent")?.join("by-hash/SHA256");
            let content = if signed.contains("\nAcquire-By-Hash: yes\n") {
                read(&hashed.join(sha256))?
            } else {
                read(&file)?
            };
            let actual = checksums(&content);
            if actual.sha256 != sha256 || actual.size.to_string() != size {
                return Err(format!("{path} has other content than InRelease says"));
            }
            let packages = packages(root, path, &content)?;
            client.packages.insert(path.to_owned(), packages);
        }
        Ok(client)
    }

    /// Tells whether all plain names have what InRelease lists.
    pub(super) fn check_plain(&self, root: &Path, dist: &str) {
        for (path, sha256) in &self.listed {
            let content = read(&root.join("dists").join(dist).join(path)).unwrap();
            assert_eq!(checksums(&content).sha256, *sha256, "{dist}/{path}");
        }
    }
}

fn packages(root: &Path, path: &str, content: &[u8]) -> Result<Vec<String>, String> {
    let text = unpack(path, content);
    if path.contains("Contents") {
        return Ok(text.lines().map(str::to_owned).collect());
    }
    let stanzas = Paragraph::parse_all(&text).map_err(|error| error.to_string())?;
    let mut packages = Vec::new();
    for stanza in stanzas {
        let field = |name| stanza.get(name).unwrap_or_default().to_owned();
        if path.contains("Translation") {
            packages.push(format!("{} {}", field("Package"), field("Description-md5")));
            continue;
        }
        if let Some(directory) = stanza.get("Directory") {
            for line in field("Checksums-Sha256").lines().skip(1) {
                let words: Vec<&str> = line.split_whitespace().collect();
                in_pool(&root.join(directory).join(words[2]), words[1], words[0])?;
            }
        } else {
            let file = root.join(field("Filename"));
            in_pool(&file, &field("Size"), &field("SHA256"))?;
        }
        packages.push(format!("{} {}", field("Package"), field("Version")));
    }
    Ok(packages)
}

fn in_pool(file: &Path, size: &str, sha256: &str) -> Result<(), String> {
    let actual = checksums(&read(file)?);
    if actual.sha256 == sha256 && actual.size.to_string() == size {
        return Ok(());
    }
    Err(format!("{} has other content", file.display()))
}

pub(super) fn unpack(path: &str, content: &[u8]) -> String {
    let mut text = String::new();
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    if extension == Some("gz") {
        let mut reader = flate2::read::MultiGzDecoder::new(content);
        reader.read_to_string(&mut text).unwrap();
    } else if extension == Some("xz") {
        let mut reader = liblzma::read::XzDecoder::new(content);
        reader.read_to_string(&mut text).unwrap();
    } else if extension == Some("zst") {
        text = String::from_utf8(zstd::decode_all(content).unwrap()).unwrap();
    } else {
        text = String::from_utf8(content.to_vec()).unwrap();
    }
    text
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn checksums(content: &[u8]) -> Checksums {
    let mut content = content;
    Checksums::of(&mut content).unwrap()
}

/// Names in a directory, sorted.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| PathBuf::from(entry.unwrap().file_name()))
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}
