//! The daemon: binds its servers, starts the instance, serves until a signal.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::endpoint::{Kind, Protocol, ServerEndpoint};
use crate::home::Home;
use crate::http::{self, AccessLog};
use crate::instance::{self, Instance};
use crate::mail;
use crate::model::{Address, Daemon};
use crate::store::{self, Store, items};
use crate::{ftp, home};

use super::Failure;

/// For the servers, then for the instance, before they are cut off.
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);

/// For the last lines of the access log.
const LOG_TIME: Duration = Duration::from_secs(1);

/// Each that ever ran beside the others leaves memory behind (arenas of malloc(3)); event hooks may hold some for a minute.
const BLOCKING_THREADS: usize = 32;
/// Enough for all connections, builds and files; some programs walk through all that are possible.
const OPEN_FILES: u64 = 8192;
/// Of a blocking thread without work.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    pub home: super::home::Options,
    /// HTTP endpoint to serve; may be repeated, the first one is in all URLs.
    ///
    /// tcp6:port=PORT (both IPv6 and IPv4), tcp:port=PORT, ssl:port=PORT:privateKey=FILE:certKey=FILE; with
    /// :interface=ADDRESS on this address only, with :host=NAME this name is in URLs. Port 0 is any free one. Behind the
    /// first one also unix:PATH, a socket for a proxy on this host.
    #[arg(
        short = 'E',
        long = "http-endpoint",
        value_name = "ENDPOINT",
        default_value = "tcp6:port=8066"
    )]
    pub http_endpoints: Vec<ServerEndpoint>,
    /// Fully qualified host name of this instance in URLs and mails, unless the endpoint has :host or :interface
    /// [default: the system's].
    #[arg(short = 'N', long, visible_alias = "fqdn", value_name = "FQDN")]
    pub hostname: Option<String>,
    /// Who takes letters: about packages, and to people who register or forgot their password. None are sent without.
    ///
    /// ssmtp instead of smtp is STARTTLS; USER:PASSWORD@ may come before it.
    ///
    /// In the environment, other users of this machine do not see the password.
    #[arg(
        short = 'S',
        long,
        env = "MINI_BUILDD_SMTP",
        hide_env_values = true,
        value_name = "[USER:PASSWORD@]smtp://HOST[:PORT]"
    )]
    pub smtp: Option<mail::Notation>,
    /// Set the password of the user admin, who is made where there is none, and end; - reads it from standard input.
    ///
    /// What stands on a command line, everybody on this machine may see: - is better.
    #[arg(short = 'P', long, value_name = "PASSWORD", allow_hyphen_values = true)]
    pub set_admin_password: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    NoHome(#[from] super::home::Unknown),
    #[error("can't start")]
    Start(#[source] io::Error),
    #[error("can't read the settings of {home}", home = home.display())]
    Settings { home: PathBuf, source: store::Error },
    #[error(transparent)]
    Home(#[from] home::Error),
    #[error("can't read --smtp (or $MINI_BUILDD_SMTP): {0}")]
    Relay(String),
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error(transparent)]
    Ftp(#[from] ftp::Error),
    #[error("can't open {path}", path = path.display())]
    AccessLog { path: PathBuf, source: io::Error },
    #[error("can't write {path}", path = path.display())]
    Announce { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Instance(#[from] instance::Error),
}

/// What others on this machine need to know of a running daemon; a file while it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    pub pid: u32,
    pub hostname: String,
    pub http_url: String,
    pub incoming_url: String,
}

/// Takes the file away when the daemon ends.
struct Announced(PathBuf);

impl Running {
    /// `None` where none runs.
    ///
    /// After a kill the file is still there, its pid no daemon's.
    pub fn read(home: &Home) -> Option<Running> {
        serde_json::from_str(&fs::read_to_string(home.running()).ok()?).ok()
    }

    fn announce(instance: &Instance) -> io::Result<Announced> {
        let running = Running {
            pid: std::process::id(),
            hostname: instance.address.hostname.clone(),
            http_url: instance.address.http_url.clone(),
            incoming_url: instance.address.incoming_url.clone(),
        };
        let path = instance.home.running();
        home::replace(&path, &serde_json::to_vec(&running)?)?;
        Ok(Announced(path))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Whoever reads it compares the pid.
        let _ = fs::remove_file(&self.0);
    }
}

impl Options {
    pub fn hostname(&self) -> String {
        self.hostname.clone().unwrap_or_else(fqdn)
    }
}

/// Runs the daemon until SIGTERM, SIGINT or SIGHUP.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    if let Some(password) = &options.set_admin_password {
        let store = Store::open(&options.home.own()?.database())?;
        let password = match password.as_str() {
            "-" => super::password::read(Path::new("-"))?,
            password => password.to_owned(),
        };
        return super::admin::set_password(&store, &password);
    }
    super::memory::settle();
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(KEEP_ALIVE)
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    let ended = runtime.block_on(until_signal(options));
    // Blocking work may go on for a while: until then the instance, and with it the lock of its home, is kept.
    runtime.shutdown_timeout(SHUTDOWN_TIME);
    ended?;
    Ok(())
}

/// Takes as many open files as the system lets it: each who waits for events has one.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES));
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "can't raise the limit of open files");
    }
}

async fn until_signal(options: &Options) -> Result<Arc<Instance>, Error> {
    let (end, shutdown) = watch::channel(false);
    let kinds = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ];
    let signals = kinds.map(signal).into_iter().collect::<Result<Vec<_>, _>>();
    let mut signals = signals.map_err(Error::Start)?;
    tokio::spawn(async move {
        any(&mut signals).await;
        info!("ending");
        // Who does not listen any more has ended already.
        let _ = end.send(true);
    });
    serve(options, shutdown, |_| {}).await
}

async fn any(signals: &mut [Signal]) {
    let waiting = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures_util::future::select_all(waiting).await;
}

/// Serves an instance until `shutdown` is true and returns it, still locked; `ready` is told the address when all ports are bound.
pub async fn serve(
    options: &Options,
    shutdown: watch::Receiver<bool>,
    ready: impl FnOnce(&Arc<Instance>),
) -> Result<Arc<Instance>, Error> {
    let relay = options.smtp.as_ref().map(mail::Notation::read);
    let relay = relay.transpose().map_err(Error::Relay)?.flatten();
    let home = options.home.home()?;
    let daemon = settings(&home)?;
    // Says who runs already, before a port of its is found taken.
    drop(home.lock()?);
    let hostname = options.hostname();
    let http_server = http::Server::bind(&options.http_endpoints).await?;
    let ftp_server = ftp::Server::bind(&daemon.ftp_endpoint, ftp::Limits::default())?;
    let address = address(
        hostname,
        (&options.http_endpoints[0], http_server.address()),
        (&daemon.ftp_endpoint, ftp_server.address()),
    );
    let log = home.access_log();
    let instance = Instance::start(home, address, relay).await?;
    let (log, written) =
        AccessLog::start(log.clone()).map_err(|source| Error::AccessLog { path: log, source })?;
    info!(
        home = %instance.home.root().display(),
        http = instance.address.http_url,
        ftp = instance.address.incoming_url,
        "serving"
    );
    let _running = Running::announce(&instance).map_err(|source| Error::Announce {
        path: instance.home.running(),
        source,
    })?;
    ready(&instance);
    let routes = http::router(&instance, shutdown.clone());
    tokio::join!(
        http_server.serve(routes, log, shutdown.clone()),
        ftp_server.serve(instance.incoming.clone(), shutdown),
    );
    let writing = tokio::task::spawn_blocking(move || written.wait(LOG_TIME));
    if timeout(SHUTDOWN_TIME, instance.stop()).await.is_err() {
        warn!(
            "the instance took too long to end; what it did will be done again at the next start"
        );
    }
    // It can't have panicked.
    let _ = writing.await;
    Ok(instance)
}

/// The Daemon item of an instance that is set up.
fn settings(home: &Home) -> Result<Daemon, Error> {
    let not_set_up = || instance::Error::NotSetUp {
        home: home.root().to_owned(),
    };
    home.refuse_stock()?;
    if !home.database().exists() {
        return Err(not_set_up().into());
    }
    let read = || {
        let store = Store::open(&home.database())?;
        store.read(|tx| items::get::<Daemon>(tx, "daemon"))
    };
    let daemon = read().map_err(|source| Error::Settings {
        home: home.root().to_owned(),
        source,
    })?;
    let (daemon, _) = daemon.ok_or_else(not_set_up)?;
    Ok(daemon)
}

fn address(
    hostname: String,
    (http, http_bound): (&ServerEndpoint, SocketAddr),
    (ftp, ftp_bound): (&ServerEndpoint, SocketAddr),
) -> Address {
    let url = |endpoint: &ServerEndpoint, bound: SocketAddr, protocol| {
        let bound = ServerEndpoint {
            port: bound.port(),
            ..endpoint.clone()
        };
        bound.url(protocol, &hostname)
    };
    let certificate = |endpoint: &ServerEndpoint| {
        let speaks_tls = endpoint.kind == Kind::Ssl;
        let path = endpoint.option("certKey").filter(|_| speaks_tls);
        path.map(PathBuf::from)
    };
    Address {
        http_url: url(http, http_bound, Protocol::Http),
        incoming_url: url(ftp, ftp_bound, Protocol::Ftp),
        http_certificate: certificate(http),
        incoming_certificate: certificate(ftp),
        hostname,
    }
}

/// Name of this host as /etc/hosts knows it in full; no name server is asked, for it may not answer.
pub(super) fn fqdn() -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    qualified(
        read("/proc/sys/kernel/hostname").trim(),
        &read("/etc/hosts"),
    )
}

fn qualified(hostname: &str, hosts: &str) -> String {
    if hostname.contains('.') {
        return hostname.to_owned();
    }
    let lines = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let names_of = |line: &str| -> Vec<String> {
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    let full = lines
        .map(names_of)
        .filter(|names| names.iter().any(|name| name == hostname))
        .flatten()
        .find(|name| {
            name.split_once('.')
                .is_some_and(|(short, _)| short == hostname)
        });
    match full {
        Some(full) => full,
        None if hostname.is_empty() => "localhost".into(),
        None => hostname.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_has_the_ports_that_were_bound() {
        let http: ServerEndpoint = "tcp6:port=0".parse().unwrap();
        let ftp: ServerEndpoint = "tcp:port=0:interface=127.0.0.1".parse().unwrap();
        let bound = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let address = address("h.example".into(), (&http, bound(1)), (&ftp, bound(2)));
        assert_eq!(address.http_url, "http://h.example:1");
        assert_eq!(address.incoming_url, "ftp://127.0.0.1:2");
    }

    #[test]
    fn full_name_of_the_host_is_in_its_hosts_file() {
        let hosts = "127.0.0.1 localhost # h.wrong\n127.0.1.1\th.example.org h\n::1 h6 h.other\n";
        assert_eq!(qualified("h", hosts), "h.example.org");
        assert_eq!(qualified("x", hosts), "x");
        assert_eq!(qualified("a.b", hosts), "a.b");
        assert_eq!(qualified("", hosts), "localhost");
    }
}
