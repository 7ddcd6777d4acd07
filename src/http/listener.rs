//! Sockets that connections come from: TCP of both families, bare or with TLS, and sockets in the file system.
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tracing::warn;

use crate::certificate::{self, Certificate};
use crate::endpoint::{Kind, ServerEndpoint};

/// How long a client may take nothing of what is sent to it.
const SEND_TIME: Duration = Duration::from_secs(60);
/// Clients of a socket in the file system are of this host.
const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("can't listen on {endpoint}")]
    Bind {
        endpoint: ServerEndpoint,
        source: io::Error,
    },
    #[error("can't listen on {endpoint}")]
    Certificate {
        endpoint: ServerEndpoint,
        source: certificate::Error,
    },
    #[error("can't listen on {endpoint}: {fault}")]
    Socket {
        endpoint: ServerEndpoint,
        fault: String,
    },
    #[error("no HTTP endpoint is given")]
    NoEndpoint,
    #[error("the first HTTP endpoint must have a host and a port, for URLs; put unix: behind it")]
    NoUrl,
}

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener, Option<Certificate>),
    Unix(UnixSocket),
}

/// Its name goes away with it.
#[derive(Debug)]
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // The next start removes it, too.
        let _ = fs::remove_file(&self.path);
    }
}

/// A new connection.
pub(super) enum Accepted {
    Tcp(TcpStream, Option<TlsAcceptor>),
    Unix(UnixStream),
}

impl Listener {
    pub(super) async fn bind(endpoint: &ServerEndpoint) -> Result<Listener, Error> {
        if endpoint.kind == Kind::Unix {
            return UnixSocket::bind(endpoint).map(Listener::Unix);
        }
        let certificate = (endpoint.kind == Kind::Ssl)
            .then(|| Certificate::of(endpoint, Some(b"http/1.1")))
            .transpose()
            .map_err(|source| Error::Certificate {
                endpoint: endpoint.clone(),
                source,
            })?;
        Ok(Listener::Tcp(bind(endpoint).await?, certificate))
    }

    /// `None` where it is a file.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener, _) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        match self {
            Listener::Tcp(listener, certificate) => {
                let (stream, client) = listener.accept().await?;
                // Of a connection that is over already, reading tells.
                let _ = prepare(&stream);
                let acceptor = certificate.as_ref().map(Certificate::acceptor);
                Ok((Accepted::Tcp(stream, acceptor), client))
            }
            Listener::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await?;
                Ok((Accepted::Unix(stream), HERE))
            }
        }
    }
}

impl UnixSocket {
    /// A socket that nobody listens on any more is replaced.
    fn bind(endpoint: &ServerEndpoint) -> Result<UnixSocket, Error> {
        let (path, mode) = endpoint.socket().map_err(|fault| Error::Socket {
            endpoint: endpoint.clone(),
            fault,
        })?;
        let bound = || {
            remove_stale(&path)?;
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            Ok(listener)
        };
        let listener = bound().map_err(|source| Error::Bind {
            endpoint: endpoint.clone(),
            source,
        })?;
        Ok(UnixSocket { listener, path })
    }
}

/// Removes a socket whose server is gone.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let connected = is_socket.then(|| std::os::unix::net::UnixStream::connect(path));
    match connected {
        Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path)
        }
        _ => Ok(()),
    }
}

async fn bind(endpoint: &ServerEndpoint) -> Result<TcpListener, Error> {
    let bound = match TcpListener::bind((endpoint.interface_or_any(), endpoint.port)).await {
        // The default must work where the kernel has no IPv6.
        Err(error) if endpoint.interface.is_none() && is_without_ipv6(&error) => {
            warn!(%endpoint, "no IPv6 here, listening on IPv4 only");
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, endpoint.port)).await
        }
        bound => bound,
    };
    bound.map_err(|source| Error::Bind {
        endpoint: endpoint.clone(),
        source,
    })
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let time = u32::try_from(SEND_TIME.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(stream, time)?;
    Ok(())
}
