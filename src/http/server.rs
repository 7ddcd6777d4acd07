//! Accepts connections, bounded in number and time, and ends them in order.
use std::io;
use std::net::SocketAddr;
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
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::endpoint::ServerEndpoint;

use super::access_log::{AccessLog, Asked};
use super::attach::Place;
use super::listener::{Accepted, Error, Listener};
use super::timely::{self, Timely};
use crate::shares::Shares;

/// Connections at once; others wait to be accepted. Most only wait for events.
const CONNECTIONS: usize = 4000;
/// For the header of a request, and until the next request of a connection.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// Request line and headers together.
const HEADER_SIZE: usize = 32 * 1024;
/// For running requests when the server ends.
const SHUTDOWN_TIME: Duration = Duration::from_secs(3);
/// After a failed accept, which mostly means too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Tells whether a request came by TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encrypted(pub(super) bool);

/// Bound, not yet accepting.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    listeners: Vec<Listener>,
}

impl Server {
    /// Listens on all endpoints; the first one is where others find the instance.
    pub async fn bind(endpoints: &[ServerEndpoint]) -> Result<Server, Error> {
        let mut listeners = Vec::new();
        for endpoint in endpoints {
            listeners.push(Listener::bind(endpoint).await?);
        }
        let first = listeners.first().ok_or(Error::NoEndpoint)?;
        Ok(Server {
            address: first.address().ok_or(Error::NoUrl)?,
            listeners,
        })
    }

    /// Where the first endpoint really listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is true, then gives running requests a moment.
    pub async fn serve(self, routes: Router, log: AccessLog, shutdown: watch::Receiver<bool>) {
        let most = connections();
        let bounds = Bounds {
            permits: Arc::new(Semaphore::new(most)),
            shares: Shares::new(most / 2),
        };
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept_all(
                listener,
                bounds.clone(),
                routes.clone(),
                log.clone(),
                shutdown.clone(),
            ));
        }
        accepting.join_all().await;
    }
}

/// Of connections.
#[derive(Clone, Debug)]
struct Bounds {
    permits: Arc<Semaphore>,
    /// A client of another host takes half of them at most.
    shares: Shares,
}

/// As many as leave half of the open files to all else.
fn connections() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let half = files.and_then(|files| usize::try_from(files / 2).ok());
    half.unwrap_or(CONNECTIONS).min(CONNECTIONS)
}

async fn accept_all(
    listener: Listener,
    bounds: Bounds,
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
            accepted = accept(&listener, &bounds) => accepted,
        };
        match accepted {
            Ok((accepted, client, permit)) => {
                let share = bounds.shares.take(client.ip());
                // A proxy of this host has the connections of all its clients.
                if share.is_none() && !client.ip().to_canonical().is_loopback() {
                    debug!(%client, "too many connections of one client");
                    continue;
                }
                let sides = (client, routes.clone(), log.clone());
                let watcher = graceful.watcher();
                connections.spawn(async move {
                    begin(accepted, sides, watcher).await;
                    drop((permit, share));
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
    listener: &Listener,
    bounds: &Bounds,
) -> io::Result<(Accepted, SocketAddr, OwnedSemaphorePermit)> {
    let permit = bounds
        .permits
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (accepted, client) = listener.accept().await?;
    Ok((accepted, client, permit))
}

/// Whom a connection is with, who answers, and where that is written down.
type Sides = (SocketAddr, Router, AccessLog);

async fn begin(accepted: Accepted, sides: Sides, watcher: Watcher) {
    let client = sides.0;
    let (stream, acceptor) = match accepted {
        Accepted::Unix(stream) => return converse(stream, Encrypted(false), sides, watcher).await,
        Accepted::Tcp(stream, None) => {
            return converse(stream, Encrypted(false), sides, watcher).await;
        }
        Accepted::Tcp(stream, Some(acceptor)) => (stream, acceptor),
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
        let request = request.map(|body| Timely::new(body, timely::TIME));
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
