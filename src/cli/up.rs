//! `mini-buildd up`: makes a working instance, unless there is one, and runs its daemon.
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::daemon::Running;
use super::progress::Progress;
use super::{Failure, admin, backend, daemon, output, preflight};
use crate::chroots::Chroots;
use crate::deb::Architecture;
use crate::endpoint::ServerEndpoint;
use crate::fetch::{Client, Proxies};
use crate::home::Home;
use crate::model::chroot::Backend;
use crate::model::daemon::check_identity;
use crate::model::limits::Setting;
use crate::model::{Chroot, Daemon, Diststr, Item as _, version_scheme};
use crate::pgp::{self, Keyring};
use crate::setup::distributions::Database;
use crate::setup::{self, Items};
use crate::store::catalog::Catalog;
use crate::store::{self, Store, items};

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
    /// Debian architecture to build for besides this machine's own, like i386 on amd64; may be repeated.
    ///
    /// An instance that is there already gets it too. This machine must run its programs without emulation.
    #[arg(short, long = "architecture", value_name = "ARCH")]
    architectures: Vec<Architecture>,
    #[command(flatten)]
    backend: backend::Options,
    /// Limit of every build, like memory_mib=4096; may be repeated.
    ///
    /// An instance that is there already takes it too, from its next build on.
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<Setting>,
    /// Days after which a chroot's base is made anew, 0 for never; a new instance has 14.
    ///
    /// An instance that is there already takes it too.
    #[arg(long, value_name = "DAYS")]
    renew_chroots_after: Option<u32>,
    /// Install missing Debian packages without asking (as root).
    #[arg(short, long)]
    yes: bool,
    /// Make the instance only.
    #[arg(long)]
    no_start: bool,
    /// Make no chroot: the instance keeps repositories and builds nothing, until `up` is run without this.
    #[arg(long, conflicts_with = "architectures")]
    no_chroot: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("can't read key {path}", path = path.display())]
    Key { path: PathBuf, source: io::Error },
    #[error("{path} holds no armored public key; make one with: gpg --armor --export ADDRESS", path = path.display())]
    NoKey { path: PathBuf, source: pgp::Error },
    #[error("{home} has no {what}", home = home.display())]
    Incomplete { home: PathBuf, what: &'static str },
    #[error(
        "{home} keeps its chroot as {kept}, not as {wanted}; --backend is for new instances: \
         name another --home, or take this one away with: mini-buildd remove --home {home}",
        home = home.display()
    )]
    OtherBackend {
        home: PathBuf,
        kept: Backend,
        wanted: Backend,
    },
}

/// What is not this machine's to decide.
pub(super) struct Wanted {
    pub(super) yes: bool,
    pub(super) hostname: String,
    /// Whether chroots are made.
    pub(super) chroots: bool,
    /// Besides the machine's own.
    pub(super) architectures: Vec<Architecture>,
    /// `None`: the best that works here.
    pub(super) backend: Option<Backend>,
    pub(super) setup: setup::Wishes,
}

/// A working instance.
pub(super) struct Made {
    /// Where packages for all architectures are built.
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
        chroots: !options.no_chroot,
        architectures: options.architectures.clone(),
        backend: options.backend.wanted(),
        setup: setup::Wishes {
            identity: options.identity.clone(),
            ftp_endpoint,
            max_parallel_builds: None,
            uploaders: keys.collect::<Result<_, _>>()?,
        },
    };
    make(&home, &wanted, &mut progress)?;
    if let Some(password) = admin::first(&Store::open(&home.database())?)? {
        let name = admin::NAME;
        let said = format!(
            "Administrator {name}, password {password} (shown only now; to set another: mini-buildd user password {name})\n"
        );
        output::write(&said)?;
    }
    if !options.limits.is_empty() {
        setup::limit_builds(&Store::open(&home.database())?, &options.limits)?;
    }
    if let Some(days) = options.renew_chroots_after {
        setup::renew_chroots_after(&Store::open(&home.database())?, days)?;
    }
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
    let Plan {
        items,
        architectures,
    } = plan(home, wanted)?;
    home.create()?;
    progress.end("nothing needed is missing");

    if let Some(mut items) = items {
        progress.begin("backend", "Looking how chroots can be kept");
        if wanted.chroots {
            let choice = Chroots::of_caller(home.clone())?.choose(wanted.backend)?;
            progress.end(&format!("{}: {}", choice.backend, choice.why));
            items.chroot.backend = choice.backend;
        } else {
            progress.end("none are made now");
            items.chroot.backend = wanted.backend.unwrap_or(items.chroot.backend);
        }
        progress.begin(
            "instance",
            &format!("Making an instance in {}", home.root().display()),
        );
        setup::create(home, &wanted.hostname, &items)?;
        progress.end(&format!(
            "repository {} for {}",
            items.repository.identity,
            items.chroot.name()
        ));
    }
    let store = Arc::new(Store::open(&home.database())?);
    if !wanted.setup.uploaders.is_empty() {
        setup::add_uploaders(&store, &wanted.setup.uploaders)?;
    }
    let catalog = store.read(Catalog::load)?;
    for chroot in catalog.chroots().filter(|_| wanted.chroots) {
        bootstrap(home, &catalog, chroot, progress)?;
    }
    let made = made(home, &catalog)?;
    // Which host a daemon runs as stands in the Release files.
    let hostname = Running::read(home).map(|running| running.hostname);
    let hostname = hostname.as_ref().unwrap_or(&wanted.hostname);
    for architecture in &architectures {
        let chroot = setup::architectures::like(&made.chroot, architecture);
        bootstrap(home, &catalog, &chroot, progress)?;
        setup::architectures::add(home, &store, hostname, &chroot)?;
    }
    Ok(made)
}

/// What is to be made; nothing is, until all of it can be.
struct Plan {
    /// `None`: there is an instance.
    items: Option<Items>,
    /// To be added.
    architectures: Vec<Architecture>,
}

fn plan(home: &Home, wanted: &Wanted) -> Result<Plan, Failure> {
    let catalog = configured(home)?;
    let there = catalog.as_ref().map(|catalog| main_chroot(home, catalog));
    let there = there.transpose()?;
    if let (Some(chroot), Some(wanted)) = (there, wanted.backend)
        && chroot.backend != wanted
    {
        return Err(Box::new(Error::OtherBackend {
            home: home.root().to_owned(),
            kept: chroot.backend,
            wanted,
        }));
    }
    let is_there = |architecture: &Architecture| {
        let chroots = catalog.iter().flat_map(Catalog::chroots);
        let mut alike =
            chroots.filter(|chroot| Some(&chroot.codename) == there.map(|there| &there.codename));
        alike.any(|chroot| chroot.architecture == *architecture)
    };
    let mut architectures: Vec<Architecture> = Vec::new();
    for architecture in &wanted.architectures {
        if !is_there(architecture) && !architectures.contains(architecture) {
            architectures.push(architecture.clone());
        }
    }
    if wanted.chroots {
        preflight::pass(home, &architectures, wanted.yes)?;
    }
    let items = match there {
        Some(_) => None,
        None => Some(setup::items(
            &setup::host_facts(wanted.hostname.clone())?,
            &wanted.setup,
            &Database::of_today(),
        )?),
    };
    if let Some(items) = &items {
        architectures.retain(|architecture| *architecture != items.chroot.architecture);
    }
    let source = match (&items, &catalog, there) {
        (Some(items), ..) => items.sources.first(),
        (None, Some(catalog), Some(chroot)) => catalog.source(&chroot.source),
        (None, ..) => None,
    };
    let source = source.ok_or_else(|| incomplete(home, "source of its chroot"))?;
    if !architectures.is_empty() {
        let client = Client::through(Proxies::of_host()?);
        for architecture in &architectures {
            setup::architectures::check_archive(&client, source, architecture)?;
        }
    }
    Ok(Plan {
        items,
        architectures,
    })
}

/// All that is configured; `None`: there is no instance.
fn configured(home: &Home) -> Result<Option<Catalog>, store::Error> {
    if !home.database().exists() {
        return Ok(None);
    }
    Store::open(&home.database())?.read(|tx| {
        let daemon = items::get::<Daemon>(tx, "daemon")?;
        daemon.map(|_| Catalog::load(tx)).transpose()
    })
}

fn incomplete(home: &Home, what: &'static str) -> Error {
    Error::Incomplete {
        home: home.root().to_owned(),
        what,
    }
}

/// The chroot in which packages for all architectures are built.
fn main_chroot<'a>(home: &Home, catalog: &'a Catalog) -> Result<&'a Chroot, Error> {
    let builds_all = |chroot: &&Chroot| {
        let distribution = catalog.distribution(&chroot.codename);
        let mut options = distribution.iter().flat_map(|found| &found.architectures);
        options.any(|option| {
            option.build_architecture_all && option.architecture == chroot.architecture
        })
    };
    let found = catalog.chroots().find(builds_all);
    found.ok_or_else(|| incomplete(home, "chroot"))
}

fn made(home: &Home, catalog: &Catalog) -> Result<Made, Error> {
    let chroot = main_chroot(home, catalog)?;
    let (diststr, version_suffix) =
        uploadable(catalog, chroot).ok_or_else(|| incomplete(home, "uploadable distribution"))?;
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
    catalog: &Catalog,
    chroot: &Chroot,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let chroots = Chroots::of_caller(home.clone())?;
    if chroots.exists(chroot) {
        return Ok(());
    }
    let sources = catalog.sources_of(chroot);
    let (source, extra) = sources.ok_or_else(|| incomplete(home, "source of its chroot"))?;
    progress.begin("bootstrap", &format!("Bootstrapping {}", chroot.name()));
    chroots.bootstrap(chroot, &source, &extra, &mut |line| {
        progress.detail(line.trim_start_matches("I: "));
    })?;
    progress.end("kept for all builds");
    Ok(())
}
