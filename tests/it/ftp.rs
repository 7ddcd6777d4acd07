//! The FTP door, seen from outside.
mod clients;
mod faults;
mod talk;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mini_buildd::deb::FileName;
use mini_buildd::endpoint::{Kind, ServerEndpoint};
use mini_buildd::ftp::{Door, Limits, Server};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// What a connection left: files with their contents, and the .changes that were told before.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    files: BTreeMap<String, Vec<u8>>,
    received: Vec<String>,
}

impl Left {
    fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }
}

/// Keeps what arrives below a directory, and reports what each connection left.
struct Incoming {
    root: PathBuf,
    stagings: AtomicUsize,
    full: AtomicBool,
    closed: mpsc::UnboundedSender<Left>,
}

impl Door for Incoming {
    fn staging(&self) -> io::Result<PathBuf> {
        let number = self.stagings.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(number.to_string());
        fs::create_dir(&path)?;
        Ok(path)
    }

    fn received(
        &self,
        staging: &Path,
        changes: &FileName,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if self.full.load(Ordering::Relaxed) {
            return Err("the database is full".into());
        }
        let mode = fs::metadata(staging.join(changes.as_str()))?
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o440);
        fs::write(staging.join(format!("{changes}+received")), "")?;
        Ok(())
    }

    fn closed(&self, staging: PathBuf) {
        let mut left = Left {
            files: BTreeMap::new(),
            received: Vec::new(),
        };
        for entry in fs::read_dir(&staging).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            match name.strip_suffix("+received") {
                Some(changes) => left.received.push(changes.into()),
                None => drop(left.files.insert(name, fs::read(&path).unwrap())),
            }
        }
        fs::remove_dir_all(&staging).unwrap();
        // A test that looks at nothing else has ended already.
        let _ = self.closed.send(left);
    }
}

/// A server on a free port of the loopback.
struct Served {
    address: SocketAddr,
    incoming: Arc<Incoming>,
    closed: mpsc::UnboundedReceiver<Left>,
    shutdown: watch::Sender<bool>,
    server: JoinHandle<()>,
    _directory: TempDir,
}

impl Served {
    fn new() -> Served {
        Served::with(Limits::default(), "127.0.0.1", &[])
    }

    fn with(limits: Limits, interface: &str, options: &[(&str, &str)]) -> Served {
        let directory = tempfile::tempdir().unwrap();
        Served::below(directory, limits, interface, options)
    }

    fn below(
        directory: TempDir,
        limits: Limits,
        interface: &str,
        options: &[(&str, &str)],
    ) -> Served {
        let endpoint = ServerEndpoint {
            kind: Kind::Tcp6,
            port: 0,
            interface: Some(interface.into()),
            options: options
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        };
        let server = Server::bind(&endpoint, limits).unwrap();
        let (sender, closed) = mpsc::unbounded_channel();
        let incoming = Arc::new(Incoming {
            root: directory.path().into(),
            stagings: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            closed: sender,
        });
        let (shutdown, stop) = watch::channel(false);
        Served {
            address: server.address(),
            server: tokio::spawn(server.serve(incoming.clone(), stop)),
            incoming,
            closed,
            shutdown,
            _directory: directory,
        }
    }

    fn url(&self) -> String {
        format!("ftp://{}", self.address)
    }

    /// What the next connection that ends leaves.
    async fn left(&mut self) -> Left {
        let left = tokio::time::timeout(LONG, self.closed.recv()).await;
        left.expect("a connection ends").unwrap()
    }

    async fn client(&self) -> Client {
        let mut client = Client {
            control: BufReader::new(TcpStream::connect(self.address).await.unwrap()),
            server: self.address,
        };
        let greeting = client.reply().await;
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            greeting,
            format!("220 mini-buildd {version} ftp server ready")
        );
        client
    }

    /// A client in /incoming.
    async fn uploader(&self) -> Client {
        let mut client = self.client().await;
        client.expect("USER anonymous", 331).await;
        client.expect("PASS x", 230).await;
        client.expect("CWD /incoming", 250).await;
        client
    }
}

/// A client that does what it is told.
struct Client {
    control: BufReader<TcpStream>,
    server: SocketAddr,
}

impl Client {
    /// The last line of the next reply; nothing when the server hung up.
    async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self.control.read_line(&mut line);
            tokio::time::timeout(LONG, read)
                .await
                .expect("a reply")
                .unwrap_or_default();
            if line.is_empty()
                || line.as_bytes()[..3].iter().all(u8::is_ascii_digit) && line.as_bytes()[3] == b' '
            {
                return line.trim_end().into();
            }
        }
    }

    async fn send(&mut self, line: &[u8]) {
        self.control.get_mut().write_all(line).await.unwrap();
    }

    async fn command(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes()).await;
        self.reply().await
    }

    async fn expect(&mut self, command: &str, code: u16) -> String {
        let reply = self.command(command).await;
        assert!(reply.starts_with(&code.to_string()), "{command}: {reply}");
        reply
    }

    async fn data(&mut self) -> TcpStream {
        let reply = self.expect("EPSV", 229).await;
        let port = reply.split('|').nth(3).unwrap().parse().unwrap();
        let address = SocketAddr::new(self.server.ip(), port);
        TcpStream::connect(address).await.unwrap()
    }

    /// Begins to store; the caller sends the data.
    async fn begin(&mut self, name: &str) -> TcpStream {
        let data = self.data().await;
        self.expect(&format!("STOR {name}"), 150).await;
        data
    }

    async fn store(&mut self, name: &str, content: &[u8]) -> String {
        let mut data = self.begin(name).await;
        data.write_all(content).await.unwrap();
        drop(data);
        self.reply().await
    }

    async fn list(&mut self, command: &str) -> String {
        let mut data = self.data().await;
        self.expect(command, 150).await;
        let mut list = String::new();
        data.read_to_string(&mut list).await.unwrap();
        assert_eq!(self.reply().await, "226 done");
        list
    }
}
