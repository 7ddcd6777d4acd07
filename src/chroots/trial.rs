//! A package is installed in a throw-away session and tried.
use std::io::Read as _;
use std::path::Path;

use sandbox::Network;

use super::quirks::configure_apt;
use super::tree::Tree;
use super::{Chroots, Error, Session, apt, failed, process};
use crate::deb::PackageName;
use crate::deb::sources_list::Source;
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
    /// Tells what keeps builds from beginning: a base that is gone or not what it was, a session that can't begin in it,
    /// an apt that finds no packages.
    pub fn check_base(&self, chroot: &Chroot) -> Result<(), Error> {
        let backend = self.backend(chroot);
        backend.verify(None).map_err(failed("verify", chroot))?;
        let session = self.begin(chroot, backend.as_ref(), None, Network::Host)?;
        let mut tree = Tree::default();
        configure_apt(&mut tree, &self.quirks(chroot));
        apt::reach(&mut tree, &self.proxies, (&sources(&session)?, &[]), "");
        session.unpack(&tree)?;
        session.succeed(&apt::get(Network::Host, &["update", apt::ERROR_ON_ANY]))?;
        session.close()?;
        Ok(())
    }

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
        configure_apt(&mut tree, &self.quirks(chroot));
        tree.text("/etc/apt/sources.list.d/mini-buildd.sources", trial.sources)
            .text(Trial::KEY, trial.key);
        let own = Source::parse_deb822(trial.sources).unwrap_or_default();
        apt::reach(&mut tree, &self.proxies, (&sources(&session)?, &own), "");
        session.unpack(&tree)?;
        progress("apt-get update");
        session.succeed(&apt::get(Network::Host, &["update", apt::ERROR_ON_ANY]))?;
        progress(&format!("apt-get install {}", trial.package));
        session.succeed(&apt::get(
            Network::Host,
            &["install", trial.package.as_str()],
        ))?;
        progress(&trial.command.join(" "));
        let output = run(&session, trial.command)?;
        session.close()?;
        Ok(output)
    }
}

/// What the base was bootstrapped from.
fn sources(session: &Session) -> Result<Vec<Source>, Error> {
    let mut text = String::new();
    let file = session.open(Path::new(apt::SOURCES_FILE))?;
    file.take(OUTPUT)
        .read_to_string(&mut text)
        .map_err(Error::Pipe)?;
    Ok(Source::parse_list(&text).unwrap_or_default())
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
