//! FTP server: takes uploads into `/incoming`, and does nothing else; at an `ssl:` endpoint over TLS only.
//!
//! Each connection is anonymous and has a staging directory of its own, in which it sees only what it sent. Reading
//! order: [`Server`] accepts connections, `session` holds the talk of one, `control` its lines, `command` what they
//! mean, `passive` the data connections, `staging` the files.
mod command;
mod control;
mod passive;
mod session;
mod staging;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, listen, socket_with, sockopt};
use rustix::net::{SocketFlags, ipproto};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tracing::{error, info, warn};

use crate::cause::with_causes;
use crate::certificate::Certificate;
use crate::deb::FileName;
use crate::endpoint::{Kind, ServerEndpoint};
use crate::incoming::Incoming;
use crate::shares::Shares;

use session::Session;

const BACKLOG: i32 = 128;
/// How long sessions may take to end after a shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// Takes what was uploaded. All calls but `closed` may block.
pub trait Door: Send + Sync + 'static {
    /// Tells whether anything is taken at all.
    fn is_open(&self) -> bool {
        true
    }
    /// Makes a private directory for the files of one connection.
    fn staging(&self) -> io::Result<PathBuf>;
    /// Remembers that a .changes is complete, before the client is told so.
    fn received(
        &self,
        staging: &Path,
        changes: &FileName,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
    /// Takes over what a connection left; never blocks.
    fn closed(&self, staging: PathBuf);
}

impl Door for Incoming {
    fn is_open(&self) -> bool {
        Incoming::is_open(self)
    }
    fn staging(&self) -> io::Result<PathBuf> {
        Incoming::staging(self)
    }
    fn received(
        &self,
        staging: &Path,
        changes: &FileName,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(Incoming::received(self, staging, changes)?)
    }
    fn closed(&self, staging: PathBuf) {
        Incoming::closed(self, staging);
    }
}

/// Bounds on what clients may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    /// Of these, one client's.
    pub of_one_client: usize,
    /// Silence on the control connection, and within a transfer.
    pub idle: Duration,
    /// Time to log in.
    pub login: Duration,
    pub file_size: u64,
    /// Files of one connection.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 400,
            of_one_client: 100,
            idle: Duration::from_secs(5 * 60),
            login: Duration::from_secs(60),
            file_size: 8 << 30,
            files: 1000,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("can't listen on {address} for FTP")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error(
        "FTP endpoint {endpoint}: {fault}; to set another one: mini-buildd item set daemon daemon ftp_endpoint=tcp6:port=8067 --pca"
    )]
    Endpoint { endpoint: String, fault: String },
}

/// A server whose port is taken but which accepts nothing yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    settings: Arc<Settings>,
}

#[derive(Debug)]
struct Settings {
    limits: Limits,
    /// Ports of data connections; any free one without it.
    passive_ports: Option<RangeInclusive<u16>>,
    /// With one, all is said over TLS (RFC 4217), and nothing else is taken.
    certificate: Option<Certificate>,
}

impl Server {
    /// Takes the port of an endpoint; `passive_ports=MIN-MAX` is an option of it. Needs a tokio runtime.
    pub fn bind(endpoint: &ServerEndpoint, limits: Limits) -> Result<Server, Error> {
        let wrong = |fault: String| Error::Endpoint {
            endpoint: endpoint.to_string(),
            fault,
        };
        let passive_ports = endpoint.passive_ports().map_err(wrong)?;
        let certificate = (endpoint.kind == Kind::Ssl)
            .then(|| Certificate::of(endpoint, None))
            .transpose()
            .map_err(|fault| wrong(with_causes(&fault)))?;
        let address = SocketAddr::new(interface(endpoint).map_err(wrong)?, endpoint.port);
        let taken = match listen_on(address) {
            // A host without IPv6 still serves everybody it can.
            Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
                listen_on(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), endpoint.port))
            }
            taken => taken,
        };
        let (listener, address) = taken
            .and_then(|listener| {
                let address = listener.local_addr()?;
                Ok((listener, address))
            })
            .map_err(|source| Error::Listen { address, source })?;
        Ok(Server {
            listener,
            address,
            settings: Arc::new(Settings {
                limits,
                passive_ports,
                certificate,
            }),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` becomes true or its sender is gone; then sessions end within seconds.
    pub async fn serve(self, door: Arc<dyn Door>, mut shutdown: watch::Receiver<bool>) {
        let mut sessions = JoinSet::new();
        let shares = Shares::new(self.settings.limits.of_one_client);
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut shutdown) => break,
                Some(ended) = sessions.join_next() => {
                    report(ended);
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) if !door.is_open() => {
                    control::refuse(&stream, "stopped by an administrator");
                }
                Ok((stream, peer)) if sessions.len() < self.settings.limits.connections => {
                    let Some(share) = shares.take(peer.ip()) else {
                        warn!(%peer, "too many FTP connections of one client");
                        control::refuse(&stream, "too many connections from your address");
                        continue;
                    };
                    let (door, settings) = (door.clone(), self.settings.clone());
                    let talking = talk(stream, peer, door, settings, shutdown.clone());
                    sessions.spawn(async move {
                        talking.await;
                        drop(share);
                    });
                }
                Ok((stream, peer)) => {
                    warn!(%peer, "too many FTP connections");
                    control::refuse(&stream, "too many connections");
                }
                Err(fault) => {
                    warn!(%fault, "can't accept an FTP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.listener);
        let end = async {
            while let Some(ended) = sessions.join_next().await {
                report(ended);
            }
        };
        if tokio::time::timeout(GRACE, end).await.is_err() {
            sessions.shutdown().await;
        }
    }
}

async fn talk(
    stream: TcpStream,
    peer: SocketAddr,
    door: Arc<dyn Door>,
    settings: Arc<Settings>,
    shutdown: watch::Receiver<bool>,
) {
    let ended = match Session::new(stream, door, settings, shutdown) {
        Ok(session) => session.run().await,
        Err(fault) => Err(fault),
    };
    match ended {
        Ok(reason) => info!(%peer, reason, "FTP connection ended"),
        Err(fault) => info!(%peer, %fault, "FTP connection broke"),
    }
}

/// Waits for the shutdown; a sender that is gone is one, too.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn report(ended: Result<(), JoinError>) {
    if let Err(fault) = ended {
        error!(%fault, "FTP session failed");
    }
}

fn interface(endpoint: &ServerEndpoint) -> Result<IpAddr, String> {
    match (endpoint.kind, &endpoint.interface) {
        (Kind::Unix, _) => Err("FTP needs a TCP port".into()),
        (Kind::Tcp | Kind::Tcp6 | Kind::Ssl, Some(interface)) => interface
            .parse()
            .map_err(|_| format!("interface {interface:?} is no IP address")),
        (Kind::Tcp, None) => Ok(Ipv4Addr::UNSPECIFIED.into()),
        (Kind::Tcp6 | Kind::Ssl, None) => Ok(Ipv6Addr::UNSPECIFIED.into()),
    }
}

/// Listens; `::` takes IPv4, too, whatever the system's default.
fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    TcpListener::from_std(std::net::TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(kind: Kind, interface: Option<&str>, options: &[(&str, &str)]) -> ServerEndpoint {
        ServerEndpoint {
            kind,
            port: 0,
            interface: interface.map(Into::into),
            options: options
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        }
    }

    #[tokio::test]
    async fn a_free_port_is_reported() {
        let server = Server::bind(
            &endpoint(Kind::Tcp, Some("127.0.0.1"), &[]),
            Limits::default(),
        )
        .unwrap();
        assert_ne!(server.address().port(), 0);
        let same = ServerEndpoint {
            port: server.address().port(),
            ..endpoint(Kind::Tcp, Some("127.0.0.1"), &[])
        };
        let fault = Server::bind(&same, Limits::default()).unwrap_err();
        assert!(matches!(fault, Error::Listen { .. }), "{fault}");
    }

    #[tokio::test]
    async fn tcp6_takes_both_families() {
        let server = Server::bind(&endpoint(Kind::Tcp6, None, &[]), Limits::default()).unwrap();
        let port = server.address().port();
        TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    }

    #[tokio::test]
    async fn a_malformed_port_range_is_named() {
        let wrong = endpoint(Kind::Tcp, Some("127.0.0.1"), &[("passive_ports", "9")]);
        let fault = Server::bind(&wrong, Limits::default()).unwrap_err();
        assert!(fault.to_string().contains("passive_ports \"9\""), "{fault}");
    }

    #[test]
    fn only_tcp_endpoints_with_addresses_are_taken() {
        assert!(interface(&endpoint(Kind::Tcp6, Some("::1"), &[])).is_ok());
        for (kind, address) in [(Kind::Unix, None), (Kind::Tcp, Some("eth0"))] {
            assert!(interface(&endpoint(kind, address, &[])).is_err());
        }
    }
}
