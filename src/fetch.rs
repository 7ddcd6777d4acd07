//! HTTP client, bounded in size and time; straight, or through the [`Proxies`] that this host's apt uses.
mod connector;
mod proxies;
mod question;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::rt::TokioExecutor;

use connector::Connector;

use crate::certificate;

pub use proxies::Proxies;
pub use question::{Answer, Question};

const REDIRECTS: usize = 5;
const AGENT: &str = concat!("mini-buildd/", env!("CARGO_PKG_VERSION"));

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{url}: malformed URL")]
    Url { url: String },
    #[error("{url}: {fault}")]
    Failed { url: String, fault: String },
    /// Its certificate is of nobody whom we know.
    #[error("{url}: {fault}; {}", certificate::TO_TRUST)]
    Untrusted { url: String, fault: String },
    /// Nobody listens there.
    #[error("{url}: {fault}")]
    Unconnected { url: String, fault: String },
    #[error("{url}: answered {status}")]
    Status {
        url: String,
        status: u16,
        /// What it said to that.
        body: Vec<u8>,
    },
    #[error("{url}: longer than {limit} bytes")]
    TooLong { url: String, limit: usize },
    #[error("{url}: no answer within {seconds} s")]
    TimedOut { url: String, seconds: u64 },
}

type Https = Connections<HttpsConnector<Connector>, Full<Bytes>>;

#[derive(Clone, Default)]
pub struct Client {
    proxies: Arc<Proxies>,
    /// Files with certificates that count beside the system's.
    trusted: Vec<PathBuf>,
    /// Made at the first use: reading the certificates of the system takes time and memory.
    connections: Arc<OnceLock<Https>>,
}

/// What a server said about the state of a file, to be sent back with the next question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

impl Client {
    /// Asks servers themselves.
    pub fn new() -> Client {
        Client::default()
    }

    /// Asks servers elsewhere through proxies.
    pub fn through(proxies: Proxies) -> Client {
        Client {
            proxies: Arc::new(proxies),
            ..Client::default()
        }
    }

    /// Trusts the certificates of a file (PEM) too.
    #[must_use]
    pub fn trusting(mut self, certificates: PathBuf) -> Client {
        self.trusted.push(certificates);
        self
    }

    /// Body of a GET, redirects followed five deep.
    pub async fn get(&self, url: &str, limit: usize, time: Duration) -> Result<Vec<u8>, Error> {
        match self
            .get_if_changed(url, &Validators::default(), limit, time)
            .await?
        {
            Some((body, _)) => Ok(body),
            None => Err(Error::Status {
                url: url.into(),
                status: StatusCode::NOT_MODIFIED.as_u16(),
                body: Vec::new(),
            }),
        }
    }

    /// Body and validators of a GET, or nothing if the file is still what `seen` was told for.
    pub async fn get_if_changed(
        &self,
        url: &str,
        seen: &Validators,
        limit: usize,
        time: Duration,
    ) -> Result<Option<(Vec<u8>, Validators)>, Error> {
        let answer = async {
            let response = self.follow(url, seen).await?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(None);
            }
            if response.status() != StatusCode::OK {
                return Err(Error::Status {
                    url: url.into(),
                    status: response.status().as_u16(),
                    body: read(url, response, limit).await.unwrap_or_default(),
                });
            }
            let validators = Validators::of(response.headers());
            Ok(Some((read(url, response, limit).await?, validators)))
        };
        within(time, url, answer).await
    }

    async fn follow(&self, url: &str, seen: &Validators) -> Result<Response<Incoming>, Error> {
        let malformed = || Error::Url { url: url.into() };
        let failed = |fault: String| Error::Failed {
            url: url.into(),
            fault,
        };
        let mut uri = parse(url).ok_or_else(malformed)?;
        for _ in 0..=REDIRECTS {
            let request = request(&uri, seen).map_err(|_| malformed())?;
            let response = self.send(url, request).await?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            let location = response.headers().get(header::LOCATION);
            uri = location
                .and_then(|location| location.to_str().ok())
                .and_then(|location| redirected(&uri, location))
                .ok_or_else(|| failed(format!("redirects to {location:?}")))?;
        }
        Err(failed(format!("more than {REDIRECTS} redirects")))
    }
}

impl Client {
    async fn send(
        &self,
        url: &str,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        if let Some(authorization) = connector::authorization(&self.proxies, request.uri()) {
            let headers = request.headers_mut();
            headers.insert(header::PROXY_AUTHORIZATION, authorization);
        }
        let connections = self
            .connections
            .get_or_init(|| connections(Arc::clone(&self.proxies), &self.trusted));
        connections.request(request).await.map_err(|fault| {
            let (url, is_connect, is_untrusted) = (
                url.into(),
                fault.is_connect(),
                certificate::is_unknown(&fault),
            );
            let fault = causes(&fault);
            match (is_untrusted, is_connect) {
                (true, _) => Error::Untrusted { url, fault },
                (false, true) => Error::Unconnected { url, fault },
                (false, false) => Error::Failed { url, fault },
            }
        })
    }
}

async fn within<T>(
    time: Duration,
    url: &str,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let late = |_| {
        Err(Error::TimedOut {
            url: url.into(),
            seconds: time.as_secs(),
        })
    };
    tokio::time::timeout(time, answer)
        .await
        .unwrap_or_else(late)
}

impl Validators {
    fn of(headers: &HeaderMap) -> Validators {
        let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Validators {
            etag: text(header::ETAG),
            last_modified: text(header::LAST_MODIFIED),
        }
    }
}

fn connections(proxies: Arc<Proxies>, trusted: &[PathBuf]) -> Https {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(certificate::client_config(trusted))
        .https_or_http()
        .enable_http1()
        .wrap_connector(Connector::new(proxies));
    Connections::builder(TokioExecutor::new()).build(connector)
}

fn request(uri: &Uri, seen: &Validators) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::get(uri).header(header::USER_AGENT, AGENT);
    let conditions: [(HeaderName, &Option<String>); 2] = [
        (header::IF_NONE_MATCH, &seen.etag),
        (header::IF_MODIFIED_SINCE, &seen.last_modified),
    ];
    for (name, value) in conditions {
        if let Some(value) = value {
            request = request.header(name, HeaderValue::from_str(value)?);
        }
    }
    request.body(Full::default())
}

async fn read(url: &str, response: Response<Incoming>, limit: usize) -> Result<Vec<u8>, Error> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|fault| Error::Failed {
            url: url.into(),
            fault: causes(&fault),
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > limit - bytes.len() {
            return Err(Error::TooLong {
                url: url.into(),
                limit,
            });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn parse(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri
        .authority()
        .is_some_and(|host| !host.as_str().contains('@'));
    (known && plain).then_some(uri)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Target of a redirect (RFC 3986, section 5.2); never from HTTPS to HTTP.
fn redirected(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let to = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.contains("://") {
        location.into()
    } else {
        let directory = from.path().rsplit_once('/')?.0;
        format!("{scheme}://{authority}{directory}/{location}")
    };
    let to = parse(&to)?;
    let downgrade = scheme == "https" && to.scheme_str() != Some("https");
    (!downgrade).then_some(to)
}

/// The error with its causes, which hyper keeps to itself.
fn causes(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut source = fault.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    /// Answers one request after another, each on its own connection; returns the base URL.
    async fn server(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let request = String::from_utf8(request).unwrap();
                let answer = answer.replace("REQUEST", request.lines().next().unwrap());
                let known = request.contains("if-none-match: \"1\"");
                let answer = if known { not_modified() } else { answer };
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        url
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nConnection: close\r\n\r\n{body}")
    }

    fn not_modified() -> String {
        "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".into()
    }

    fn redirect(location: &str) -> String {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    }

    #[tokio::test]
    async fn the_body_is_returned_up_to_the_limit() {
        let url = server(vec![ok("hello"), ok("hello")]).await;
        let client = Client::new();
        assert_eq!(client.get(&url, 5, TIME).await.unwrap(), b"hello");
        let fault = client.get(&url, 4, TIME).await.unwrap_err();
        assert!(matches!(fault, Error::TooLong { limit: 4, .. }), "{fault}");
    }

    #[tokio::test]
    async fn redirects_are_followed_but_not_for_ever() {
        let url = server(vec![redirect("/b/c?d"), redirect("e"), ok("REQUEST")]).await;
        let body = Client::new().get(&url, 100, TIME).await.unwrap();
        assert_eq!(body, b"GET /b/e HTTP/1.1");
        let url = server(vec![redirect("/"); 7]).await;
        let fault = Client::new().get(&url, 100, TIME).await.unwrap_err();
        assert_eq!(fault.to_string(), format!("{url}: more than 5 redirects"));
        let url = server(vec![redirect("file:///etc/passwd")]).await;
        let fault = Client::new().get(&url, 100, TIME).await.unwrap_err();
        assert!(fault.to_string().contains("redirects to"), "{fault}");
    }

    #[tokio::test]
    async fn proxy_is_asked_for_the_whole_url_and_told_who_asks() {
        let proxy = server(vec![ok("REQUEST")]).await;
        let proxies = Proxies::parse(&format!("Acquire::http::Proxy {proxy}\n"), |_| None);
        let client = Client::through(proxies);
        let body = client.get("http://deb.test/debian/x", 100, TIME).await;
        assert_eq!(body.unwrap(), b"GET http://deb.test/debian/x HTTP/1.1");
        let line = "Acquire::http::Proxy http://Aladdin:opensesame@h:1\n";
        let uri = "http://deb.test/".parse().unwrap();
        let header = connector::authorization(&Proxies::parse(line, |_| None), &uri);
        assert_eq!(header.unwrap(), "Basic QWxhZGRpbjpvcGVuc2VzYW1l");
    }

    #[tokio::test]
    async fn proxy_is_asked_for_a_tunnel_to_servers_that_speak_tls() {
        let refused = "HTTP/1.1 403 REQUEST\r\nContent-Length: 0\r\n\r\n".to_owned();
        let proxy = server(vec![refused]).await;
        let proxies = Proxies::parse(&format!("Acquire::https::Proxy {proxy}\n"), |_| None);
        let client = Client::through(proxies);
        let fault = client.get("https://deb.test/x", 100, TIME).await;
        let fault = fault.unwrap_err().to_string();
        assert!(fault.contains("tunnel"), "{fault}");
    }

    #[tokio::test]
    async fn a_file_that_did_not_change_is_not_fetched_again() {
        let url = server(vec![ok("hello"), ok("hello")]).await;
        let client = Client::new();
        let nothing = Validators::default();
        let first = client.get_if_changed(&url, &nothing, 9, TIME).await;
        let (_, seen) = first.unwrap().unwrap();
        assert_eq!(seen.etag.as_deref(), Some("\"1\""));
        let second = client.get_if_changed(&url, &seen, 9, TIME).await.unwrap();
        assert_eq!(second, None);
    }

    #[tokio::test]
    async fn cut_bodies_silence_and_faults_are_errors() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".into();
        let absent = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into();
        let url = server(vec![cut, absent]).await;
        let client = Client::new();
        let fault = client.get(&url, 100, TIME).await.unwrap_err();
        assert!(matches!(fault, Error::Failed { .. }), "{fault}");
        let fault = client.get(&url, 100, TIME).await.unwrap_err();
        assert_eq!(fault.to_string(), format!("{url}: answered 404"));
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let short = Duration::from_millis(50);
        let fault = client.get(&url, 100, short).await.unwrap_err();
        assert!(matches!(fault, Error::TimedOut { .. }), "{fault}");
    }

    #[tokio::test]
    async fn only_http_urls_are_fetched() {
        for url in ["ftp://a/", "file:///etc/passwd", "a", "http://u:p@a/", ""] {
            let fault = Client::new().get(url, 1, TIME).await.unwrap_err();
            assert!(matches!(fault, Error::Url { .. }), "{url}: {fault}");
        }
    }

    #[test]
    fn redirects_resolve_against_where_they_come_from() {
        let to = |location| {
            let from = "https://a:1/b/c?d".parse().unwrap();
            redirected(&from, location).map(|uri| uri.to_string())
        };
        assert_eq!(to("https://x/y").as_deref(), Some("https://x/y"));
        assert_eq!(to("//x/y").as_deref(), Some("https://x/y"));
        assert_eq!(to("/y").as_deref(), Some("https://a:1/y"));
        assert_eq!(to("y").as_deref(), Some("https://a:1/b/y"));
        assert_eq!(to("http://x/y"), None);
    }
}
