//! Buildrequests and buildresults as files: a signed .changes and, beside it, a tar of what belongs to it.
//!
//! [`tarball`] packs and strictly unpacks the tar; this file signs the .changes.
pub mod tarball;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::cause;
use crate::deb::{self, Checksums, FileName, Paragraph};
use crate::home;
use crate::model::message::list_files;
use crate::pgp::{self, SigningKey};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("can't read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("can't write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("can't sign {path}")]
    Sign { path: PathBuf, source: pgp::Error },
    #[error("{tar}: {member}: {fault}")]
    Member {
        tar: PathBuf,
        member: String,
        fault: String,
    },
}

impl Error {
    /// Tells whether a file is gone or broken: trying again would read nothing either.
    pub fn is_of_the_file(&self) -> bool {
        match self {
            Error::Read { source, .. } => cause::is_lasting(source),
            Error::Member { .. } => true,
            Error::Write { .. } | Error::Sign { .. } => false,
        }
    }
}

/// Signs `paragraph` with its list of `files`, and writes it as `name` into `directory`.
pub fn write(
    directory: &Path,
    name: &FileName,
    mut paragraph: Paragraph,
    files: &[PathBuf],
    key: &SigningKey,
) -> Result<PathBuf, Error> {
    let listed = files
        .iter()
        .map(|path| Ok((file_name(path)?, checksums(path)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    list_files(&mut paragraph, &listed);
    let path = directory.join(name.as_str());
    let signed = key
        .clearsign(&paragraph.to_string())
        .map_err(|source| Error::Sign {
            path: path.clone(),
            source,
        })?;
    home::replace(&path, signed.as_bytes()).map_err(|source| Error::Write {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

pub fn checksums(path: &Path) -> Result<Checksums, Error> {
    File::open(path)
        .and_then(|mut file| Checksums::of(&mut file))
        .map_err(|source| Error::Read {
            path: path.into(),
            source,
        })
}

/// Text of a control file, bounded; waits for no FIFO.
pub fn read_text(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read {
        path: path.into(),
        source,
    };
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    if about.len() > limit {
        return Err(failed(io::Error::other(format!(
            "longer than {limit} bytes"
        ))));
    }
    fs::read(path).map_err(failed)
}

fn file_name(path: &Path) -> Result<FileName, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.parse().map_err(|fault: deb::Error| Error::Read {
        path: path.into(),
        source: io::Error::other(fault),
    })
}
