//! Standard output, closed early by whoever reads it or not.
use std::io::{self, Write as _};

#[derive(Debug, thiserror::Error)]
#[error("can't write to standard output")]
pub(super) struct Error(#[source] io::Error);

/// Writes a text; that the reader went away is no error.
pub(super) fn write(text: &str) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error),
    }
}
