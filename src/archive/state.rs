//! A dist as it was, in a directory of its own: all files of a moment, signed, never changed again.
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::deb::release::IndexFile;
use crate::pgp::SigningKeys;
use crate::store::Transaction;

use super::assembly::{Assembly, Memory};
use super::digests::{self, Digests};
use super::disk::{self, Doing, Scratch, Unsynced};
use super::dist::Dist;
use super::pieces::Form;
use super::publish::{elsewhere, pieces};
use super::view::View;
use super::{ArchiveDir, Error, index, release};

/// Beginning of the names of directories in which states are made.
pub(super) const SCRATCH_PREFIX: &str = ".state-";

/// What is written, and how it is called.
pub(super) struct State<'a> {
    pub(super) dist: &'a Dist,
    pub(super) view: View,
    /// Suite of its Release, which clients ask for; the codename is the dist's.
    pub(super) suite: String,
}

/// Writes a state; the directory is there as a whole or not at all.
pub(super) fn write(
    archive: &ArchiveDir,
    tx: &Transaction<'_>,
    state: &State<'_>,
    to: &Path,
    keys: &SigningKeys,
    now: Timestamp,
) -> Result<(), Error> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let scratch = Scratch::fresh(archive.directory.join(format!("{SCRATCH_PREFIX}{name}")))?;
    let root = scratch.path().join("dist");
    let mut unsynced = Unsynced::default();
    unsynced.directory(&root)?;
    let settings = &state.dist.settings;
    let sums = if settings.sha512 {
        digests::Kind::WithSha512
    } else {
        digests::Kind::Usual
    };
    let mut memory = Memory::default();
    let mut files = Vec::new();
    let listed = |path: String, sums: digests::Sums| IndexFile {
        path,
        size: sums.size,
        md5: sums.md5,
        sha256: sums.sha256,
        sha512: sums.sha512,
    };
    for index in index::indices(settings) {
        let mut find = |digest: &[u8; 32]| elsewhere(archive, tx, digest);
        let name = scratch.path().join("index");
        let mut assembly = Assembly::begin(&name, sums, None, &mut memory, &mut find)?;
        assembly.cut_as(pieces(tx, state.dist.id, &index.path)?);
        let packages = index.packages(tx, &state.view, "", None)?;
        index.entries(tx, &packages, &mut |entry| assembly.add(&entry))?;
        let assembled = assembly.finish()?;
        for (form, (file, sums, _)) in Form::ALL.into_iter().zip(assembled.files) {
            let path = format!("{}{}", index.path, form.extension());
            let to = root.join(&path);
            unsynced.directory(to.parent().unwrap_or(&root))?;
            disk::rename(&file, &to).doing("put in place", &to)?;
            unsynced.add(&to);
            files.push(listed(path, sums));
        }
    }
    for (path, text) in release::of_indices(settings) {
        let to = root.join(&path);
        unsynced.directory(to.parent().unwrap_or(&root))?;
        disk::write_new(&to, text.as_bytes()).doing("write", &to)?;
        unsynced.add(&to);
        files.push(listed(path, Digests::of(sums, text.as_bytes())));
    }
    let text = release::state(settings, &state.suite, keys, now, files);
    let failed = |source| Error::Sign {
        dist: state.suite.clone(),
        source,
    };
    for (name, content) in [
        ("Release", text.clone()),
        (
            "Release.gpg",
            keys.detach_sign(text.as_bytes()).map_err(failed)?,
        ),
        ("InRelease", keys.clearsign(&text).map_err(failed)?),
    ] {
        let path = root.join(name);
        disk::write_new_dated(&path, content.as_bytes(), SystemTime::from(now))
            .doing("write", &path)?;
        unsynced.add(&path);
    }
    unsynced.sync(&archive.directory)?;
    let parent = to.parent().unwrap_or(&archive.directory);
    unsynced.directory(parent)?;
    disk::remove_tree(to).doing("remove", to)?;
    disk::rename(&root, to).doing("put in place", to)?;
    unsynced.add(parent);
    unsynced.sync(&archive.directory)
}

/// Takes a state away.
pub(super) fn remove(archive: &ArchiveDir, directory: &Path) -> Result<(), Error> {
    // Aside first: nobody finds a half of it.
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let scratch = Scratch::fresh(archive.directory.join(format!("{SCRATCH_PREFIX}{name}")))?;
    match disk::rename(directory, &scratch.path().join("dist")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.doing("remove", directory),
    }
}

/// Tells whether a state is there.
pub(super) fn is_there(directory: &Path) -> bool {
    fs::metadata(directory.join("InRelease")).is_ok()
}
