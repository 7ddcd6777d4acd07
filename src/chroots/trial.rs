//! A package is installed in a throw-away session and tried.
use sandbox::Network;

use super::tree::Tree;
use super::{Chroots, Error, Session, apt, process};
use crate::deb::PackageName;
use crate::model::Chroot;

/// Most of a command's output that is kept.
const OUTPUT: u64 = 1 << 20;

/// What to install from where, and what to run then.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    /// Stanzas of a .sources file; [`Trial::KEY`] is what Signed-By names.
    pub sources: &'a str,
    /// Armored key that signs the repository.
    pub key: &'a str,
    pub package: &'a PackageName,
    pub command: &'a [&'a str],
}

impl Trial<'_> {
    /// Where the key is inside.
    pub const KEY: &'static str = "/etc/apt/keyrings/mini-buildd.asc";
}

impl Chroots {
    /// Installs a package by apt in a copy of the base, runs a command as an ordinary user, and returns its output.
    ///
    /// The base's own sources stay; `progress` gets the steps.
    pub fn try_package(
        &self,
        chroot: &Chroot,
        trial: &Trial<'_>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<String, Error> {
        let backend = self.backend(chroot);
        let session = self.begin(chroot, backend.as_ref(), None, Network::Host)?;
        let mut tree = Tree::default();
        tree.text(apt::CONFIGURATION_FILE, apt::CONFIGURATION)
            .text("/etc/apt/sources.list.d/mini-buildd.sources", trial.sources)
            .text(Trial::KEY, trial.key);
        session.unpack(&tree)?;
        progress("apt-get update");
        session.succeed(&apt::get(&["update", "--error-on=any"]))?;
        progress(&format!("apt-get install {}", trial.package));
        session.succeed(&apt::get(&["install", trial.package.as_str()]))?;
        progress(&trial.command.join(" "));
        let output = run(&session, trial.command)?;
        session.close()?;
        Ok(output)
    }
}

fn run(session: &Session, command: &[&str]) -> Result<String, Error> {
    let mut process = process::of_build_user(command, "/".as_ref(), &[]);
    // nobody and nogroup (base-passwd).
    (process.user.uid, process.user.gid) = (65534, 65534);
    let (exit, output) = session.output(&process, None, OUTPUT)?;
    if exit.success() {
        return Ok(output);
    }
    Err(Error::Failed {
        command: command.join(" "),
        exit,
        said: output,
    })
}
