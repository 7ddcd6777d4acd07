//! Connections to servers, straight or through a proxy.
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::http::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::Proxies;

type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
pub(super) struct Connector {
    http: HttpConnector,
    proxies: Arc<Proxies>,
}

impl Connector {
    pub(super) fn new(proxies: Arc<Proxies>) -> Connector {
        let mut http = HttpConnector::new();
        // TLS is the next layer's.
        http.enforce_http(false);
        Connector { http, proxies }
    }
}

/// What has to be told a proxy that a plain request goes through.
pub(super) fn authorization(proxies: &Proxies, uri: &Uri) -> Option<HeaderValue> {
    let is_plain = uri.scheme_str() == Some("http");
    let proxy = intercept(proxies, uri).filter(|_| is_plain)?;
    proxy.basic_auth().cloned()
}

/// The proxy for a URL, taken apart.
fn intercept(proxies: &Proxies, uri: &Uri) -> Option<Intercept> {
    let proxy = proxies.of(&uri.to_string())?;
    Matcher::builder().all(proxy).build().intercept(uri)
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Cause>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let mut http = self.http.clone();
        let proxy = intercept(&self.proxies, &to);
        Box::pin(async move {
            let Some(proxy) = proxy else {
                let stream = http.call(to).await?;
                return Ok(Stream::new(stream, false));
            };
            if to.scheme_str() == Some("http") {
                let stream = http.call(proxy.uri().clone()).await?;
                return Ok(Stream::new(stream, true));
            }
            let mut tunnel = Tunnel::new(proxy.uri().clone(), http);
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            Ok(Stream::new(tunnel.call(to).await?, false))
        })
    }
}

/// A connection that knows whether a proxy answers on it: then requests name the whole URL (RFC 9112, section 3.2.2).
pub(super) struct Stream {
    stream: TokioIo<TcpStream>,
    is_proxys: bool,
}

impl Stream {
    fn new(stream: TokioIo<TcpStream>, is_proxys: bool) -> Stream {
        Stream { stream, is_proxys }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.is_proxys)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }
}
