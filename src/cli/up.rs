//! `mini-buildd up`: makes a working instance, unless there is one, and runs its daemon.
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::progress::Progress;
use super::{Failure, daemon, debian_packages};
use crate::chroots::Chroots;
use crate::endpoint::ServerEndpoint;
use crate::home::Home;
use crate::model::{Chroot, Daemon, Diststr, Item, version_scheme};
use crate::setup;
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
    /// Armored public key that may upload to the new instance's repository; may be repeated.
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
    #[error("sessions don't work here: {problems}")]
    Preflight { problems: String },
    #[error("{home} has no {what}", home = home.display())]
    Incomplete { home: PathBuf, what: &'static str },
}

/// What is not this machine's to decide.
pub(super) struct Wishes {
    pub(super) yes: bool,
    pub(super) ftp_endpoint: ServerEndpoint,
    /// Name and armored key.
    pub(super) uploaders: Vec<(String, String)>,
    pub(super) hostname: String,
}

/// A working instance.
pub(super) struct Made {
    pub(super) chroot: Chroot,
    /// The first distribution that takes uploads by its layout's normal rules, and the suffix of its versions.
    pub(super) uploadable: Option<(Diststr, String)>,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let home = options.daemon.home.home()?;
    let mut progress = Progress::new();
    let wishes = Wishes {
        yes: options.yes,
        ftp_endpoint: match &options.ftp_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => beside(&options.daemon.http_endpoints[0])?,
        },
        uploaders: options
            .uploader_keys
            .iter()
            .map(|path| read_key(path.clone()))
            .collect::<Result<_, _>>()?,
        hostname: options.daemon.hostname(),
    };
    make(&home, &wishes, &mut progress)?;
    if !options.no_start {
        daemon::run(&options.daemon)?;
    }
    Ok(ExitCode::SUCCESS)
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
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match fs::read_to_string(&path) {
        Ok(key) => Ok((name, key)),
        Err(source) => Err(Error::Key { path, source }),
    }
}

/// Makes what is missing of an instance: packages of the host, items, keys, chroots.
pub(super) fn make(home: &Home, wishes: &Wishes, progress: &mut Progress) -> Result<Made, Failure> {
    home.refuse_stock()?;
    progress.begin("preflight", "Looking at this machine");
    debian_packages::provide(wishes.yes)?;
    home.create()?;
    check_sessions(home)?;
    progress.end("sessions work");

    let store = Store::open(&home.database())?;
    let existing = store.read(|tx| items::get::<Daemon>(tx, "daemon"))?;
    if existing.is_none() {
        progress.begin("instance", &format!("Making an instance in {}", home.root().display()));
        let facts = setup::host_facts()?;
        let wishes = setup::Wishes {
            identity: None,
            ftp_endpoint: wishes.ftp_endpoint.clone(),
            max_parallel_builds: None,
            uploaders: wishes.uploaders.clone(),
        };
        let items = setup::items(&facts, &wishes)?;
        let hostname = &facts.hostname;
        setup::create(home, hostname, &items)?;
        progress.end(&format!("repository {} for {}", items.repository.identity, items.chroot.name()));
    }
    let made = made(home, &store)?;
    bootstrap(home, &store, &made.chroot, progress)?;
    Ok(made)
}

fn check_sessions(home: &Home) -> Result<(), Failure> {
    let program = std::env::current_exe()?;
    let problems: Vec<String> = sandbox::preflight(&program, &home.sessions())
        .into_iter()
        .filter_map(|finding| {
            let problem = finding.problem?;
            let remedy = problem.remedy.map(|remedy| format!(" (mend it with: {remedy})"));
            Some(format!("{}: {}{}", finding.name, problem.what, remedy.unwrap_or_default()))
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Preflight {
        problems: problems.join("; "),
    }
    .into())
}

fn made(home: &Home, store: &Store) -> Result<Made, Failure> {
    let incomplete = |what| Error::Incomplete {
        home: home.root().to_owned(),
        what,
    };
    let (chroots, catalog) = store.read(|tx| {
        let chroots = items::all::<Chroot>(tx)?;
        Ok::<_, store::Error>((chroots, Catalog::load(tx)?))
    })?;
    let (chroot, _) = chroots.into_iter().next().ok_or(incomplete("chroot"))?;
    Ok(Made {
        uploadable: uploadable(&catalog, &chroot),
        chroot,
    })
}

fn bootstrap(home: &Home, store: &Store, chroot: &Chroot, progress: &mut Progress) -> Result<(), Failure> {
    let chroots = Chroots::of_caller(home.clone())?;
    if chroots.exists(chroot) {
        return Ok(());
    }
    let source = store.read(|tx| items::get(tx, &chroot.source))?;
    let (source, _) = source.ok_or(Error::Incomplete {
        home: home.root().to_owned(),
        what: "source of its chroot",
    })?;
    progress.begin("bootstrap", &format!("Bootstrapping {}", chroot.name()));
    chroots.bootstrap(chroot, &source, &mut |line| {
        progress.detail(line.trim_start_matches("I: "));
    })?;
    progress.end("kept for all builds");
    Ok(())
}
