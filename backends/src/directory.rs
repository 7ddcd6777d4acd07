//! Directories around trees: the daemon's own, entered by nobody else.
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Makes a directory that only its owner may enter.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes a private directory, and the missing ones above it.
pub(crate) fn make_private_all(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

/// Makes a directory, inside a private one, that all ids of a session may use.
pub(crate) fn make_open_to_all(path: &Path) -> io::Result<()> {
    make_private(path)?;
    open_to_all(path)
}

/// Lets all ids of a session use a directory.
pub(crate) fn open_to_all(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o777))
}

/// Names of the entries that are not hidden.
pub(crate) fn names(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if !name.as_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    Ok(names)
}

/// As [`names`]; a missing directory has none.
pub(crate) fn names_if_any(path: &Path) -> io::Result<Vec<OsString>> {
    match names(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names,
    }
}
