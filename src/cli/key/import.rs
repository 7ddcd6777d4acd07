//! `mini-buildd key import`
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::Args;
use jiff::Timestamp;

use crate::cli::{Failure, home};
use crate::pgp::{Refused, SigningKey};

use super::Window;

/// Takes a secret key that gpg exported in the place of ours: as rotate, but with this key.
///
/// Export it with: gpg --armor --export-secret-keys FINGERPRINT. A key that signs already is replaced by this copy of
/// it, as when its expiry changed.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    home: home::Options,
    #[command(flatten)]
    window: Window,
    /// What gpg exported.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// File whose first line is the key's passphrase.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Without a window: our key signs no more, for clients know the imported one only.
    #[arg(long, conflicts_with = "days")]
    at_once: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("can't read {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}", path = path.display())]
    Refused { path: PathBuf, source: Refused },
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let home = options.home.own()?;
    let exported = read(&options.file)?;
    let passphrase = match &options.passphrase_file {
        Some(path) => Some(first_line(&read(path)?)),
        None => None,
    };
    let key =
        SigningKey::import(&exported, passphrase.as_deref()).map_err(|source| Error::Refused {
            path: options.file.clone(),
            source,
        })?;
    let now = Timestamp::now();
    let until = if options.at_once {
        now
    } else {
        options.window.end(now)
    };
    super::begin(&home, &key, until)?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })
}

fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().next().unwrap_or_default().to_owned()
}
