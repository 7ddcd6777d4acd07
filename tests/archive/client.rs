//! A client that fetches by hash and trusts nothing.
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use mini_buildd::deb::{Checksums, Paragraph};
use mini_buildd::pgp::Keyring;

use crate::repository::listed;

pub(crate) struct Client<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) dist: &'a str,
    pub(crate) keyring: Keyring,
}

impl Client<'_> {
    /// Reads InRelease, then, after `pause`, all indices of one form and all files of the pool that they name; the fault
    /// names the file. `number` chooses among the forms.
    pub(crate) fn read(&self, number: usize, pause: impl FnOnce()) -> Result<(), String> {
        let dist = format!("dists/{}", self.dist);
        let signed = self.connect()?.get(&format!("{dist}/InRelease"))?;
        let release = self.keyring.verify(&signed);
        let release = release.map_err(|error| format!("InRelease: {error}"))?;
        let listed = listed(&release.text, "SHA256");
        pause();
        let forms: BTreeSet<&str> = listed.keys().filter_map(|path| form(path)).collect();
        let form_read = forms.iter().nth(number % forms.len()).copied();
        let mut connection = self.connect()?;
        let mut versions = BTreeMap::new();
        for (path, sha256) in listed.iter().filter(|(path, _)| form(path) == form_read) {
            let hashed = Path::new(path).with_file_name("by-hash/SHA256");
            let hashed = format!("{dist}/{}/{sha256}", hashed.display());
            let content = connection.get_checked(&hashed, sha256)?;
            let text = unpacked(path, &content).map_err(|error| format!("{path}: {error}"))?;
            if path.contains("/Packages.") || path.contains("/Sources.") {
                check(&mut connection, &mut versions, &text)
                    .map_err(|fault| format!("{path}: {fault}"))?;
            }
        }
        if versions.is_empty() {
            return Err("there are no packages".to_owned());
        }
        Ok(())
    }

    fn connect(&self) -> Result<Connection, String> {
        let stream = TcpStream::connect(self.address);
        let stream = stream.map_err(|error| format!("can't connect: {error}"))?;
        Ok(Connection(BufReader::new(stream)))
    }
}

/// Reads the files of all packages of an index; a source must have the same version wherever it is.
fn check(
    connection: &mut Connection,
    versions: &mut BTreeMap<String, String>,
    index: &str,
) -> Result<(), String> {
    for stanza in Paragraph::parse_all(index).map_err(|error| error.to_string())? {
        for (file, sha256) in files(&stanza) {
            connection.get_checked(&file, &sha256)?;
        }
        let field = |name| stanza.get(name).map(str::to_owned);
        let source = field("Source").or(field("Package")).ok_or("no name")?;
        let version = field("Version").ok_or("no version")?;
        let known = versions.entry(source).or_insert(version.clone());
        if *known != version {
            return Err(format!("{version} is beside {known}"));
        }
    }
    Ok(())
}

/// How an index is compressed.
fn form(path: &str) -> Option<&str> {
    Some(path.rsplit_once('.')?.1)
}

fn unpacked(path: &str, content: &[u8]) -> std::io::Result<String> {
    let mut text = String::new();
    match form(path) {
        Some("gz") => MultiGzDecoder::new(content).read_to_string(&mut text)?,
        // Of one stream, as apt has it.
        Some("xz") => XzDecoder::new(content).read_to_string(&mut text)?,
        Some("zst") => zstd::Decoder::new(content)?.read_to_string(&mut text)?,
        other => panic!("{path} has the unknown form {other:?}"),
    };
    Ok(text)
}

/// Path and SHA-256 of the files of a package.
fn files(stanza: &Paragraph) -> Vec<(String, String)> {
    let field = |name| stanza.get(name).unwrap_or_default();
    if stanza.get("Filename").is_some() {
        return vec![(field("Filename").to_owned(), field("SHA256").to_owned())];
    }
    let lines = field("Checksums-Sha256").lines().skip(1);
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (
                format!("{}/{}", field("Directory"), words[2]),
                words[0].to_owned(),
            )
        })
        .collect()
}

/// One file after the other.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn get(&mut self, path: &str) -> Result<Vec<u8>, String> {
        let (status, body) = self
            .try_get(path)
            .map_err(|error| format!("{path}: {error}"))?;
        if status.contains(" 200 ") {
            return Ok(body);
        }
        Err(format!("{path}: {status}"))
    }

    fn get_checked(&mut self, path: &str, sha256: &str) -> Result<Vec<u8>, String> {
        let content = self.get(path)?;
        let actual = Checksums::of(&mut content.as_slice()).unwrap().sha256;
        if actual == sha256 {
            return Ok(content);
        }
        Err(format!("{path} has SHA-256 {actual}, not {sha256}"))
    }

    /// Status line and body.
    fn try_get(&mut self, path: &str) -> std::io::Result<(String, Vec<u8>)> {
        let request = format!("GET /repositories/test/{path} HTTP/1.1\r\nHost: h\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut status = String::new();
        self.0.read_line(&mut status)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().map_err(std::io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, body))
    }
}
