//! FTP client: sends the files of a .changes into /incoming, the .changes last.
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream};
use suppaftp::types::FileType;
use suppaftp::{FtpError, Mode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{cause, certificate};

/// Silence of the server after which an upload is given up.
const SILENCE: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{0:?} is not an FTP URL")]
    Url(String),
    #[error("can't read {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{url}: {action}: {source}")]
    Ftp {
        url: String,
        action: String,
        source: suppaftp::FtpError,
    },
    #[error("{url}: {action}: no answer within {seconds} s")]
    TimedOut {
        url: String,
        action: String,
        seconds: u64,
    },
}

impl Error {
    /// Tells whether what was to be sent can't be read: trying again would send nothing either.
    pub fn is_of_the_file(&self) -> bool {
        match self {
            Error::Read { source, .. } => cause::is_lasting(source),
            Error::Url(_) | Error::Ftp { .. } | Error::TimedOut { .. } => false,
        }
    }
}

/// Uploads anonymously to `ftp://HOST[:PORT]`: `files` in order, then `changes`.
///
/// With `ftps://` over TLS (RFC 4217), with `trusted` certificates beside the system's.
pub async fn upload(
    url: &str,
    files: &[PathBuf],
    changes: &Path,
    trusted: &[PathBuf],
) -> Result<(), Error> {
    let server = Server::parse(url)?;
    let mut ftp = server.connect(trusted).await?;
    server
        .step("log in", ftp.login("anonymous", "mini-buildd@"))
        .await?;
    server.step("go to /incoming", ftp.cwd("/incoming")).await?;
    server
        .step("set binary mode", ftp.transfer_type(FileType::Binary))
        .await?;
    for path in files.iter().map(PathBuf::as_path).chain([changes]) {
        server.store(&mut ftp, path).await?;
    }
    // All files are acknowledged; how the server says good-bye changes nothing.
    let _ = tokio::time::timeout(CONNECT, ftp.quit()).await;
    Ok(())
}

/// Where to upload to.
#[derive(Debug, PartialEq, Eq)]
struct Server<'a> {
    url: &'a str,
    host: &'a str,
    port: u16,
    is_private: bool,
}

impl Server<'_> {
    fn parse(url: &str) -> Result<Server<'_>, Error> {
        let malformed = || Error::Url(url.into());
        let is_private = url.starts_with("ftps://");
        let scheme = if is_private { "ftps://" } else { "ftp://" };
        let rest = url.strip_prefix(scheme).ok_or_else(malformed)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(malformed)?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| malformed())?,
            None if port.is_empty() && is_private => 990,
            None if port.is_empty() => 21,
            None => return Err(malformed()),
        };
        let unfit = |c: char| c.is_whitespace() || c.is_control() || "/@?#".contains(c);
        if host.is_empty() || host.contains(unfit) {
            return Err(malformed());
        }
        Ok(Server {
            url,
            host,
            port,
            is_private,
        })
    }

    async fn connect(&self, trusted: &[PathBuf]) -> Result<AsyncRustlsFtpStream, Error> {
        let stream = self
            .within(CONNECT, "connect", async {
                TcpStream::connect((self.host, self.port))
                    .await
                    .map_err(FtpError::ConnectionError)
            })
            .await?;
        // PASV carries IPv4 addresses only (RFC 2428); the address that it tells is not ours to trust.
        let ipv4 = stream
            .peer_addr()
            .is_ok_and(|peer| peer.ip().to_canonical().is_ipv4());
        let mut ftp = self
            .step("connect", AsyncRustlsFtpStream::connect_with_stream(stream))
            .await?;
        if self.is_private {
            let config = Arc::new(certificate::client_config(trusted));
            let connector = AsyncRustlsConnector::from(TlsConnector::from(config));
            let secured = ftp.into_secure(connector, self.host);
            ftp = self.step("agree on TLS", secured).await?;
        }
        ftp.set_mode(if ipv4 {
            Mode::Passive
        } else {
            Mode::ExtendedPassive
        });
        ftp.set_passive_nat_workaround(true);
        Ok(ftp)
    }

    async fn store(&self, ftp: &mut AsyncRustlsFtpStream, path: &Path) -> Result<(), Error> {
        let unreadable = |source| Error::Read {
            path: path.into(),
            source,
        };
        let mut file = File::open(path).await.map_err(unreadable)?;
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| unreadable(io::Error::from(io::ErrorKind::InvalidFilename)))?;
        let action = format!("store {name}");
        let mut transfer = self.step(&action, ftp.put_with_stream(name)).await?;
        let mut buffer = vec![0; 64 * 1024];
        let mut sent = Ok(());
        while sent.is_ok() {
            let length = file.read(&mut buffer).await.map_err(unreadable)?;
            if length == 0 {
                break;
            }
            let write = async {
                transfer
                    .write_all(&buffer[..length])
                    .await
                    .map_err(FtpError::ConnectionError)
            };
            sent = self.step(&action, write).await;
        }
        // A server that refuses midway says why in its last answer.
        let answer = self.step(&action, transfer.finish()).await;
        match (sent, answer) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(fault), Ok(())) | (_, Err(fault)) => Err(fault),
        }
    }

    async fn step<T>(
        &self,
        action: &str,
        work: impl Future<Output = Result<T, FtpError>>,
    ) -> Result<T, Error> {
        self.within(SILENCE, action, work).await
    }

    async fn within<T>(
        &self,
        time: Duration,
        action: &str,
        work: impl Future<Output = Result<T, FtpError>>,
    ) -> Result<T, Error> {
        let Ok(done) = tokio::time::timeout(time, work).await else {
            return Err(Error::TimedOut {
                url: self.url.into(),
                action: action.into(),
                seconds: time.as_secs(),
            });
        };
        done.map_err(|source| Error::Ftp {
            url: self.url.into(),
            action: action.into(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (&str, u16) {
        let server = Server::parse(url).unwrap();
        (server.host, server.port)
    }

    #[test]
    fn urls_name_host_and_port() {
        assert_eq!(parts("ftp://localhost"), ("localhost", 21));
        assert_eq!(parts("ftp://localhost:8067/"), ("localhost", 8067));
        assert_eq!(parts("ftp://[::1]:8067"), ("::1", 8067));
        assert_eq!(parts("ftp://[::1]"), ("::1", 21));
    }

    #[test]
    fn other_urls_are_refused() {
        for url in [
            "http://localhost",
            "localhost:8067",
            "ftp://",
            "ftp://:21",
            "ftp://a:b",
            "ftp://a:",
            "ftp://a/incoming",
            "ftp://user@a",
            "ftp://[::1",
            "ftp://[::1]x",
            "ftp://a\r\nb",
        ] {
            assert!(matches!(Server::parse(url), Err(Error::Url(_))), "{url}");
        }
        let private = Server::parse("ftps://a").unwrap();
        assert_eq!((private.port, private.is_private), (990, true));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ftp://{}", free.local_addr().unwrap());
        drop(free);
        let fault = upload(&url, &[], Path::new("x.changes"), &[])
            .await
            .unwrap_err();
        assert!(
            fault.to_string().starts_with(&format!("{url}: connect: ")),
            "{fault}"
        );
    }
}
