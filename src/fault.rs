//! Points just before something on disk changes: tests have faults happen there; the real program has none.
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rusqlite::ffi;

#[cfg(test)]
mod injected;
#[cfg(test)]
pub(crate) use injected::{during, point};

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "it fails in tests")]
pub(crate) fn point(_: &'static str, _: &Path) -> io::Result<()> {
    Ok(())
}

/// A point whose fault is told as SQLite tells it.
pub(crate) fn in_database(action: &'static str, path: &Path) -> rusqlite::Result<()> {
    point(action, path).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::StorageFull => ffi::SQLITE_FULL,
            _ => ffi::SQLITE_IOERR,
        };
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    })
}

/// Writes all; its point is after the first half.
pub(crate) fn write(file: &mut File, path: &Path, content: &[u8]) -> io::Result<()> {
    let middle = if cfg!(test) { content.len() / 2 } else { 0 };
    file.write_all(&content[..middle])?;
    point("write", path)?;
    file.write_all(&content[middle..])
}
