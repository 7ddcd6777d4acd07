//! Accepts connections, bounded in number and time, and ends them in order.
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::endpoint::{Kind, ServerEndpoint};

use super::access_log::{AccessLog, Asked};
use super::attach::Place;
use crate::certificate::{self, Certificate};

/// Connections at once; others wait to be accepted. Most only wait for events.
const CONNECTIONS: usize = 4000;
/// For the header of a request, and until the next request of a connection.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// Request line and headers together.
const HEADER_SIZE: usize = 32 * 1024;
/// How long a client may take nothing of what is sent to it.
const SEND_TIME: Duration = Duration::from_secs(60);
/// For running requests when the server ends.
const SHUTDOWN_TIME: Duration = Duration::from_secs(3);
/// After a failed accept, which mostly means too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("can't listen on {endpoint}")]
    Bind {
        endpoint: ServerEndpoint,
        source: io::Error,
    },
    #[error(
        "can't listen on {endpoint}: endpoints of this type are not available yet; use tcp, tcp6 or ssl"
    )]
    NotAvailable { endpoint: ServerEndpoint },
    #[error("can't listen on {endpoint}")]
    Certificate {
        endpoint: ServerEndpoint,
        source: certificate::Error,
    },
    #[error("no HTTP endpoint is given")]
    NoEndpoint,
}

/// Tells whether a request came by TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encrypted(pub(super) bool);

/// Bound, not yet accepting.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<(TcpListener, Option<Arc<Certificate>>)>,
}

impl Server {
    pub async fn bind(endpoints: &[ServerEndpoint]) -> Result<Server, Error> {
        if endpoints.is_empty() {
            return Err(Error::NoEndpoint);
        }
        let mut listeners = Vec::new();
        for endpoint in endpoints {
            let certificate = (endpoint.kind == Kind::Ssl)
                .then(|| Certificate::of(endpoint, Some(b"http/1.1")))
                .transpose()
                .map_err(|source| Error::Certificate {
                    endpoint: endpoint.clone(),
                    source,
                })?;
            listeners.push((bind(endpoint).await?, certificate.map(Arc::new)));
        }
        Ok(Server { listeners })
    }

    /// Where it really listens, in the order of the endpoints.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|(listener, _)| listener.local_addr().ok())
            .collect()
    }

    /// Answers until `shutdown` is true, then gives running requests a moment.
    pub async fn serve(self, routes: Router, log: AccessLog, shutdown: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(connections()));
        let mut accepting = JoinSet::new();
        for (listener, certificate) in self.listeners {
            accepting.spawn(accept_all(
                (listener, certificate),
                permits.clone(),
                routes.clone(),
                log.clone(),
                shutdown.clone(),
            ));
        }
        accepting.join_all().await;
    }
}

/// As many as leave half of the open files to all else.
fn connections() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let half = files.and_then(|files| usize::try_from(files / 2).ok());
    half.unwrap_or(CONNECTIONS).min(CONNECTIONS)
}

async fn bind(endpoint: &ServerEndpoint) -> Result<TcpListener, Error> {
    if endpoint.kind == Kind::Unix {
        let endpoint = endpoint.clone();
        return Err(Error::NotAvailable { endpoint });
    }
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

async fn accept_all(
    (listener, certificate): (TcpListener, Option<Arc<Certificate>>),
    permits: Arc<Semaphore>,
    routes: Router,
    log: AccessLog,
    mut shutdown: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = shutdown.wait_for(|&is_over| is_over) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, permits.clone()) => accepted,
        };
        match accepted {
            Ok((stream, client, permit)) => {
                let routes = routes.clone();
                let log = log.clone();
                let watcher = graceful.watcher();
                let acceptor = certificate.as_ref().map(|known| known.acceptor());
                connections.spawn(async move {
                    begin(stream, acceptor, (client, routes, log), watcher).await;
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "can't accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if timeout(SHUTDOWN_TIME, graceful.shutdown()).await.is_err() {
        debug!("connections are cut");
    }
}

async fn accept(
    listener: &TcpListener,
    permits: Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
    let (stream, client) = listener.accept().await?;
    Ok((stream, client, permit))
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let time = u32::try_from(SEND_TIME.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(stream, time)?;
    Ok(())
}

/// Whom a connection is with, who answers, and where that is written down.
type Sides = (SocketAddr, Router, AccessLog);

async fn begin(stream: TcpStream, acceptor: Option<TlsAcceptor>, sides: Sides, watcher: Watcher) {
    let client = sides.0;
    if let Err(error) = prepare(&stream) {
        debug!(%client, %error, "connection ended");
        return;
    }
    let Some(acceptor) = acceptor else {
        return converse(stream, Encrypted(false), sides, watcher).await;
    };
    // Boxed: without it, each connection that has no TLS would keep the room for it.
    let talk = async {
        match timeout(HEADER_TIME, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, Encrypted(true), sides, watcher).await,
            Ok(Err(error)) => debug!(%client, %error, "no TLS"),
            Err(_) => debug!(%client, "no TLS in time"),
        }
    };
    Box::pin(talk).await;
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    encrypted: Encrypted,
    (client, routes, log): Sides,
    watcher: Watcher,
) {
    let place = Place::default();
    let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
        let logged = Logged {
            asked: Asked::new(client.ip().to_canonical(), Timestamp::now(), &request),
            log: log.clone(),
            status: 0,
            sent: 0,
        };
        request.extensions_mut().insert(ConnectInfo(client));
        request.extensions_mut().insert(Place::clone(&place));
        request.extensions_mut().insert(encrypted);
        let answering =
            hyper::service::Service::call(&TowerToHyperService::new(routes.clone()), request);
        async move { answering.await.map(|response| count(response, logged)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_SIZE)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = watcher.watch(connection).await {
        debug!(%client, %error, "connection ended");
    }
}

fn count(response: hyper::Response<Body>, mut logged: Logged) -> hyper::Response<Counted> {
    logged.status = response.status().as_u16();
    response.map(|body| Counted { body, logged })
}

/// Body that counts what is sent of it.
struct Counted {
    body: Body,
    logged: Logged,
}

/// Writes its line when the answer is over, however it ended.
struct Logged {
    asked: Asked,
    log: AccessLog,
    status: u16,
    sent: u64,
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.log.write(self.asked.line(self.status, self.sent));
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.logged.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        frame
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
