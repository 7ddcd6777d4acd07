use std::fs::DirBuilder;
use std::path::Path;

use sandbox::{Exit, Network};

use super::{Parts, snapshot};
use crate::lock::make_locked_directory;
use crate::{Error, directory, host};

/// A mount that succeeds proves nothing: without `userxattr` removing a directory below fails.
const SCRIPT: &str = "rmdir /removed && test ! -e /removed && mkdir /removed && touch /removed/new";

/// Tries an overlay in a session on the file system that sessions use.
pub(super) fn overlay(parts: &Parts, sessions: &Path) -> Result<(), Error> {
    directory::make_private_all(sessions).map_err(Error::io("make directory", sessions))?;
    let (path, _lock) = make_locked_directory(sessions, "check-")?;
    let tried = try_overlay(parts, &path);
    parts.throw_away(&path)?;
    let (exit, said) = tried?;
    if exit.success() {
        return Ok(());
    }
    Err(Error::Overlay {
        directory: sessions.to_owned(),
        said,
    })
}

fn try_overlay(parts: &Parts, path: &Path) -> Result<(Exit, String), Error> {
    let lower = path.join("lower");
    DirBuilder::new()
        .recursive(true)
        .create(lower.join("removed"))
        .and_then(|()| snapshot::make_directories(path))
        .map_err(Error::io("make directories in", path))?;
    let root = snapshot::mount(path, &[lower]);
    let spec = host::spec(&path.join("root"), root);
    let session = parts.launcher.begin(&spec)?;
    let script = ["/bin/sh", "-c", SCRIPT].map(str::to_owned);
    let path = ("PATH", "/usr/bin:/bin");
    let process = host::process(script.to_vec(), &[path], Network::None);
    let mut said = String::new();
    let exit = host::run(session, &process, &mut |line| {
        said.push_str(&String::from_utf8_lossy(line));
    })?;
    Ok((exit, said.trim().to_owned()))
}
