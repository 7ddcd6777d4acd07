//! Published files against what is to be in them.
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;

use crate::cause::with_causes;
use crate::deb::release::IndexFile;
use crate::pgp::Keyring;

use super::super::digests::{Digests, Kind, Sums};
use super::super::disk;
use super::super::pieces::Form;

const BUFFER: usize = 64 << 10;
/// Largest Release that is read.
const MAX_RELEASE: u64 = 64 << 20;

/// A published file that has the content that it should have: its sums at offsets.
pub(super) fn examine(path: &Path, listed: &IndexFile) -> Result<Vec<u8>, String> {
    let mut file = disk::open_regular(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "is missing".to_owned(),
        _ => format!("can't be read: {error}"),
    })?;
    let kind = match listed.sha512 {
        Some(_) => Kind::WithSha512,
        None => Kind::Usual,
    };
    let (sums, states) =
        digest(&mut file, kind).map_err(|error| format!("can't be read: {error}"))?;
    for (what, listed, actual) in [
        ("size", listed.size.to_string(), sums.size.to_string()),
        ("SHA-256", listed.sha256.clone(), sums.sha256),
        ("MD5", listed.md5.clone(), sums.md5),
        (
            "SHA-512",
            listed.sha512.clone().unwrap_or_default(),
            sums.sha512.unwrap_or_default(),
        ),
    ] {
        if listed != actual {
            return Err(format!(
                "has another {what}: listed {listed}, file {actual}"
            ));
        }
    }
    Ok(states)
}

fn digest(reader: &mut dyn Read, kind: Kind) -> io::Result<(Sums, Vec<u8>)> {
    let mut digests = Digests::new(kind);
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(digests.finish()),
            read => digests.update(&buffer[..read]),
        }
    }
}

/// The text of a form, while it is read.
pub(super) fn decoded<'a>(form: Form, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match form {
        Form::Plain => Box::new(reader),
        Form::Gz => Box::new(MultiGzDecoder::new(reader)),
        Form::Xz => Box::new(XzDecoder::new(reader)),
        Form::Zst => Box::new(zstd::Decoder::new(reader)?),
    })
}

/// Tells what is wrong with the text that a file holds in a form.
pub(super) fn decode(path: &Path, form: Form, plain: &IndexFile) -> Result<(), String> {
    let sums = disk::open_regular(path)
        .and_then(|file| digest(&mut decoded(form, file)?, Kind::Usual))
        .map_err(|error| format!("can't be decompressed: {error}"))?
        .0;
    if (sums.size, &sums.sha256) == (plain.size, &plain.sha256) {
        return Ok(());
    }
    Err("has another text than the uncompressed file".to_owned())
}

/// The text of Release, if both signatures are good; else the file and what is wrong with it.
pub(super) fn signed(directory: &Path, keys: &Keyring) -> Result<String, (&'static str, String)> {
    let read = |name| {
        disk::open_regular(&directory.join(name))
            .and_then(|file| disk::read_bounded(&file, MAX_RELEASE))
            .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => (name, "is missing".to_owned()),
                _ => (name, format!("can't be read: {error}")),
            })
    };
    let release = read("Release")?;
    keys.verify_detached(release.as_bytes(), &read("Release.gpg")?)
        .map_err(|fault| ("Release.gpg", with_causes(&fault)))?;
    let verified = keys
        .verify(read("InRelease")?.as_bytes())
        .map_err(|fault| ("InRelease", with_causes(&fault)))?;
    // Blanks at line ends are not signed there.
    let lines = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    };
    if lines(&verified.text) != lines(&release) {
        return Err(("InRelease", "has another text than Release".to_owned()));
    }
    Ok(release)
}

/// Tells whether there is a directory, a link to one not taken for it.
pub(super) fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// Tells whether there is a regular file, no link taken for one.
pub(super) fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}
