//! `mini-buildd up`: makes a working instance, unless there is one, and runs its daemon.
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::progress::Progress;
use super::{Failure, daemon, preflight};
use crate::chroots::Chroots;
use crate::endpoint::ServerEndpoint;
use crate::home::Home;
use crate::model::daemon::check_identity;
use crate::model::{Chroot, Daemon, Diststr, Item as _, Source, version_scheme};
use crate::pgp::{self, Keyring};
use crate::setup;
use crate::store::catalog::Catalog;
use crate::store::{Store, items};

/// Makes a working instance, unless there is one, and runs its daemon.
///
/// The instance has one repository, `test`, for this machine's own release, built from the archive that its apt uses.
/// What is there already is kept, so it may be run again and again.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    daemon: daemon::Options,
    /// FTP endpoint of a new instance [default: the port after the first HTTP endpoint's].
    #[arg(long, value_name = "ENDPOINT")]
    ftp_endpoint: Option<ServerEndpoint>,
    /// Name of a new instance in keys and configuration of others [default: the short host name].
    #[arg(long, value_name = "NAME", value_parser = identity)]
    identity: Option<String>,
    /// File with an armored public key that may upload; may be repeated.
    ///
    /// An instance that is there already takes it too; a file of the same name replaces the key.
    #[arg(short = 'k', long = "uploader-key", value_name = "FILE")]
    uploader_keys: Vec<PathBuf>,
    /// Install missing Debian packages without asking (as root).
    #[arg(short, long)]
    yes: bool,
    /// Make the instance only.
    #[arg(long)]
    no_start: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("can't read key {path}", path = path.display())]
    Key { path: PathBuf, source: io::Error },
    #[error("{path} holds no armored public key; make one with: gpg --armor --export ADDRESS", path = path.display())]
    NoKey { path: PathBuf, source: pgp::Error },
    #[error("{home} has no {what}", home = home.display())]
    Incomplete { home: PathBuf, what: &'static str },
}

/// What is not this machine's to decide.
pub(super) struct Wanted {
    pub(super) yes: bool,
    pub(super) hostname: String,
    pub(super) setup: setup::Wishes,
}

/// A working instance.
pub(super) struct Made {
    pub(super) chroot: Chroot,
    /// Where new packages enter.
    pub(super) diststr: Diststr,
    /// What their versions end with.
    pub(super) version_suffix: String,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let home = options.daemon.home.home()?;
    let mut progress = Progress::new();
    let ftp_endpoint = match &options.ftp_endpoint {
        Some(endpoint) => endpoint.clone(),
        None => beside(&options.daemon.http_endpoints[0])?,
    };
    let keys = options.uploader_keys.iter().cloned().map(read_key);
    let wanted = Wanted {
        yes: options.yes,
        hostname: options.daemon.hostname(),
        setup: setup::Wishes {
            identity: options.identity.clone(),
            ftp_endpoint,
            max_parallel_builds: None,
            uploaders: keys.collect::<Result<_, _>>()?,
        },
    };
    make(&home, &wanted, &mut progress)?;
    if !options.no_start {
        daemon::run(&options.daemon)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn identity(text: &str) -> Result<String, &'static str> {
    check_identity(text).map(|()| text.to_owned())
}

/// Where stock's FTP server is: the port after HTTP's.
fn beside(http: &ServerEndpoint) -> Result<ServerEndpoint, Failure> {
    let port = match http.port {
        0 => 0,
        port => port.checked_add(1).ok_or("port 65535 has none after it")?,
    };
    Ok(ServerEndpoint {
        port,
        ..http.clone()
    })
}

fn read_key(path: PathBuf) -> Result<(String, String), Error> {
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let key = match fs::read_to_string(&path) {
        Ok(key) => key,
        Err(source) => return Err(Error::Key { path, source }),
    };
    match Keyring::default().add(key.as_bytes()) {
        Ok(()) => Ok((name, key)),
        Err(source) => Err(Error::NoKey { path, source }),
    }
}

/// Makes what is missing of an instance: packages of the host, items, keys, chroots.
pub(super) fn make(home: &Home, wanted: &Wanted, progress: &mut Progress) -> Result<Made, Failure> {
    home.refuse_stock()?;
    progress.begin("preflight", "Looking at this machine");
    preflight::pass(home, wanted.yes)?;
    home.create()?;
    progress.end("nothing is missing");

    let store = Store::open(&home.database())?;
    let existing = store.read(|tx| items::get::<Daemon>(tx, "daemon"))?;
    if existing.is_none() {
        progress.begin(
            "instance",
            &format!("Making an instance in {}", home.root().display()),
        );
        let facts = setup::host_facts()?;
        let items = setup::items(&facts, &wanted.setup)?;
        setup::create(home, &wanted.hostname, &items)?;
        progress.end(&format!(
            "repository {} for {}",
            items.repository.identity,
            items.chroot.name()
        ));
    } else if !wanted.setup.uploaders.is_empty() {
        setup::add_uploaders(&store, &wanted.setup.uploaders)?;
    }
    let made = made(home, &store)?;
    bootstrap(home, &store, &made.chroot, progress)?;
    Ok(made)
}

fn made(home: &Home, store: &Store) -> Result<Made, Failure> {
    let incomplete = |what| Error::Incomplete {
        home: home.root().to_owned(),
        what,
    };
    let catalog = store.read(Catalog::load)?;
    let chroot = catalog.chroots().next().ok_or(incomplete("chroot"))?;
    let (diststr, version_suffix) =
        uploadable(&catalog, chroot).ok_or(incomplete("uploadable distribution"))?;
    Ok(Made {
        chroot: chroot.clone(),
        diststr,
        version_suffix,
    })
}

/// Where new packages enter: the suite of the keyring package; and what their versions end with.
fn uploadable(catalog: &Catalog, chroot: &Chroot) -> Option<(Diststr, String)> {
    let (repository, layout) = catalog.repositories().next()?;
    let suite = layout
        .suites
        .iter()
        .find(|suite| suite.build_keyring_package)?;
    let source = catalog.source(&chroot.source)?;
    let suffix = version_scheme::default_version(
        layout,
        suite,
        repository.identity.as_str(),
        &source.codeversion,
    );
    Some((repository.dist(&chroot.codename, &suite.suite), suffix))
}

fn bootstrap(
    home: &Home,
    store: &Store,
    chroot: &Chroot,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let chroots = Chroots::of_caller(home.clone())?;
    if chroots.exists(chroot) {
        return Ok(());
    }
    let catalog = store.read(Catalog::load)?;
    let source = catalog.source(&chroot.source).ok_or(Error::Incomplete {
        home: home.root().to_owned(),
        what: "source of its chroot",
    })?;
    let distribution = catalog.distribution(&chroot.codename);
    let extra = distribution.iter().flat_map(|found| &found.extra_sources);
    let extra: Vec<(Source, i32)> = extra
        .filter_map(|extra| Some((catalog.source(&extra.source)?.clone(), extra.priority)))
        .collect();
    progress.begin("bootstrap", &format!("Bootstrapping {}", chroot.name()));
    chroots.bootstrap(chroot, source, &extra, &mut |line| {
        progress.detail(line.trim_start_matches("I: "));
    })?;
    progress.end("kept for all builds");
    Ok(())
}
