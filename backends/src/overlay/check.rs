use std::fs::DirBuilder;
use std::path::Path;
use std::sync::Arc;

use sandbox::{Exit, Launcher, Network};

use super::overlay;
use crate::lock::make_locked_directory;
use crate::trash::Trash;
use crate::{Config, Error, directory, host};

/// A mount that succeeds proves nothing: without `userxattr` removing a directory below fails.
const SCRIPT: &str = "rmdir /removed && test ! -e /removed && mkdir /removed && touch /removed/new";

/// Tries an overlay in a session on the file system that sessions use.
pub(crate) fn check(launcher: &Arc<Launcher>, config: &Config) -> Result<(), Error> {
    let sessions = &config.sessions;
    directory::make_private_all(sessions).map_err(Error::io("make directory", sessions))?;
    let (path, _lock) = make_locked_directory(sessions, "check-")?;
    let tried = try_overlay(launcher, &path);
    Trash::new(sessions.join(".trash"), Arc::clone(launcher)).put(&path)?;
    let (exit, said) = tried?;
    if exit.success() {
        return Ok(());
    }
    Err(Error::Overlay {
        directory: sessions.to_owned(),
        said,
    })
}

fn try_overlay(launcher: &Launcher, path: &Path) -> Result<(Exit, String), Error> {
    let [lower, changes, scratch] = ["lower", "changes", "scratch"].map(|name| path.join(name));
    DirBuilder::new()
        .recursive(true)
        .create(lower.join("removed"))
        .and_then(|()| directory::make_private(&path.join("root")))
        .and_then(|()| directory::make_open_to_all(&changes))
        .and_then(|()| directory::make_open_to_all(&scratch))
        .map_err(Error::io("make directories in", path))?;
    let root = overlay(&[lower], &changes.join("upper"), &scratch);
    let spec = host::spec(&path.join("root"), root);
    let session = launcher.begin(&spec)?;
    let script = ["/bin/sh", "-c", SCRIPT].map(str::to_owned);
    let path = ("PATH", "/usr/bin:/bin");
    let process = host::process(script.to_vec(), &[path], Network::None);
    let mut said = String::new();
    let exit = host::run(session, &process, &mut |line| {
        said.push_str(&String::from_utf8_lossy(line));
    })?;
    Ok((exit, said.trim().to_owned()))
}
