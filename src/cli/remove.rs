//! `mini-buildd remove`: takes an instance away, its chroots included, whose files belong to other ids.
use std::io;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use sandbox::{IdMap, Launcher};

use super::{Failure, confirm};
use crate::build::supervisor;
use crate::chroots::Chroots;
use crate::command;
use crate::home::Home;
use crate::model::{Chroot, Item as _};
use crate::store::{Store, items};

/// How long a running build has to end.
const GRACE: Duration = Duration::from_secs(20);

/// Removes an instance: repositories, keys, logs and chroots, all of its directory; or one chroot of it.
///
/// Files of chroots belong to subordinate ids, which rm alone can't delete for an ordinary user.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Directory of the instance.
    #[arg(short = 'H', long, value_name = "DIR")]
    home: PathBuf,
    /// Remove this chroot alone, base and layers; `mini-buildd up` makes it anew.
    #[arg(long, value_name = "CODENAME:ARCHITECTURE")]
    chroot: Option<String>,
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{path} holds no instance; nothing was removed", path = .0.display())]
    NoInstance(PathBuf),
    #[error("{path} has no chroot {name}; it has: {known}", path = path.display())]
    NoChroot {
        path: PathBuf,
        name: String,
        known: String,
    },
    #[error("nothing was removed; to remove {path} without being asked, add --yes", path = .0.display())]
    Unconfirmed(PathBuf),
    #[error("can't delete {path}", path = path.display())]
    Delete { path: PathBuf, source: io::Error },
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let directory = std::path::absolute(&options.home)?;
    let home = Home::new(&directory);
    home.refuse_stock()?;
    if !home.database().is_file() {
        return Err(Error::NoInstance(directory).into());
    }
    // A running daemon keeps its home.
    let lock = home.lock()?;
    if let Some(name) = &options.chroot {
        return remove_chroot(&home, name);
    }
    let question = format!(
        "Remove {} with all its repositories, keys and logs?",
        home.root().display()
    );
    if !(options.yes || confirm::is_confirmed(&question)) {
        return Err(Error::Unconfirmed(directory).into());
    }
    // Builds go on without a daemon.
    for build in home.build_directories().unwrap_or_default() {
        supervisor::cancel(&build, GRACE)?;
    }
    let launcher = Launcher {
        helper: std::env::current_exe()?,
        ids: IdMap::of_caller()?,
    };
    let mut rm = launcher.storage_command("rm");
    rm.args(["-rf", "--"]).arg(&directory).stdin(Stdio::null());
    command::run(&mut rm)?;
    drop(lock);
    // Its parent may not be ours to change: then the empty directory stays.
    match std::fs::remove_dir(&directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Delete {
            path: directory,
            source,
        }
        .into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Nothing is lost that can't be made again, so nobody is asked.
fn remove_chroot(home: &Home, name: &str) -> Result<ExitCode, Failure> {
    let items = Store::open(&home.database())?.read(items::all::<Chroot>)?;
    let chroots: Vec<Chroot> = items.into_iter().map(|(chroot, _)| chroot).collect();
    let Some(chroot) = chroots.iter().find(|chroot| chroot.name() == name) else {
        let known: Vec<String> = chroots.iter().map(Chroot::name).collect();
        return Err(Error::NoChroot {
            path: home.root().to_owned(),
            name: name.to_owned(),
            known: known.join(", "),
        }
        .into());
    };
    let backend = Chroots::of_caller(home.clone())?.backend(chroot);
    backend.remove()?;
    backend.clean()?;
    Ok(ExitCode::SUCCESS)
}
