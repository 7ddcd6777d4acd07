//! FTP client: sends the files of a .changes into /incoming, the .changes last.
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{0:?} is not an FTP URL")]
    Url(String),
    #[error("can't read {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{url}: {action}")]
    Ftp {
        url: String,
        action: String,
        source: suppaftp::FtpError,
    },
    #[error("{url}: no answer within {seconds} s")]
    TimedOut { url: String, seconds: u64 },
}

/// Uploads anonymously to `ftp://HOST[:PORT]`: `files` in order, then `changes`.
pub async fn upload(_url: &str, _files: &[PathBuf], _changes: &Path) -> Result<(), Error> {
    todo!()
}
