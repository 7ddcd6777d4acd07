//! The program as a daemon: its own process, a home of its own, free ports on loopback.
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use mini_buildd::home::Home;
use mini_buildd::setup::distributions::Database;
use mini_buildd::setup::{self, HostFacts, Wishes};
use tempfile::TempDir;

use crate::program::program;
use crate::site::{Answer, Connection};

pub(crate) const FQDN: &str = "mbd-peer.localdomain";

/// An instance for trixie whose chroot is not made.
pub(crate) fn new_home() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let source = setup_source();
    let facts = HostFacts {
        origin: "Debian".into(),
        codename: "trixie".parse().unwrap(),
        version: Some("13".into()),
        architecture: "amd64".parse().unwrap(),
        hostname: "mbd-peer".into(),
        processors: 2,
        apt_sources: vec![source],
        check_valid_until: true,
        keyrings: vec!["/usr/share/keyrings/debian-archive-keyring.gpg".into()],
    };
    let wishes = Wishes {
        identity: Some("peer".into()),
        ftp_endpoint: endpoint().parse().unwrap(),
        max_parallel_builds: None,
        uploaders: Vec::new(),
    };
    let mut items = setup::items(&facts, &wishes, &Database::of_today()).unwrap();
    items.distribution.components = ["main", "contrib", "non-free", "non-free-firmware"]
        .map(|name| name.parse().unwrap())
        .into();
    setup::create(&Home::new(directory.path()), FQDN, &items).unwrap();
    directory
}

fn setup_source() -> mini_buildd::deb::sources_list::Source {
    mini_buildd::deb::sources_list::Source {
        types: vec!["deb".into()],
        uri: "http://mirror.test/debian/".into(),
        suite: "trixie".into(),
        components: ["main", "contrib", "non-free", "non-free-firmware"]
            .map(str::to_owned)
            .into(),
        options: Vec::new(),
    }
}

fn endpoint() -> String {
    format!("tcp:port=0:interface=127.0.0.1:host={FQDN}")
}

pub(crate) fn command(home: &Path) -> Command {
    command_at(home, &endpoint())
}

pub(crate) fn command_at(home: &Path, endpoint: &str) -> Command {
    let mut command = Command::new(program());
    command
        .arg("--home")
        .arg(home)
        .args(["--http-endpoint", endpoint, "--hostname", FQDN])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

pub(crate) struct Daemon {
    child: Child,
    log: BufReader<ChildStderr>,
    lines: Vec<String>,
    http_url: String,
    pub(crate) incoming_url: String,
}

impl Daemon {
    /// Starts it and waits until it serves.
    pub(crate) fn start(home: &Path) -> Daemon {
        Daemon::started(&mut command(home))
    }

    pub(crate) fn start_with(home: &Path, words: &[&str]) -> Daemon {
        Daemon::started(command(home).args(words))
    }

    pub(crate) fn start_at(home: &Path, endpoint: &str) -> Daemon {
        Daemon::started(&mut command_at(home, endpoint))
    }

    pub(crate) fn started(command: &mut Command) -> Daemon {
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut daemon = Daemon {
            child,
            log,
            lines: Vec::new(),
            http_url: String::new(),
            incoming_url: String::new(),
        };
        let line = daemon.logged(" serving ");
        let word = |name: &str| {
            let value = line.split(name).nth(1).unwrap();
            value.split(' ').next().unwrap().to_owned()
        };
        daemon.http_url = word(" http=");
        daemon.incoming_url = word(" ftp=");
        daemon
    }

    /// Starts it on the port of one that ends.
    pub(crate) fn start_again(before: Daemon, home: &Path) -> Daemon {
        let port = before.address().port();
        before.end("TERM");
        let endpoint = format!("tcp:port={port}:interface=127.0.0.1:host={FQDN}");
        Daemon::start_at(home, &endpoint)
    }

    /// Waits for a line of its log, if it is not there yet.
    pub(crate) fn logged(&mut self, text: &str) -> String {
        loop {
            if let Some(line) = self.lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let mut line = String::new();
            let length = self.log.read_line(&mut line).unwrap();
            assert!(length > 0, "it ended: {}", self.lines.concat());
            self.lines.push(line);
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> &str {
        &self.http_url
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let (_, port) = self.http_url.rsplit_once(':').unwrap();
        SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Answer {
        Connection::to(self.address()).ask(&format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
    }

    /// `mini-buildd api` against it.
    pub(crate) fn api(&self, words: &[&str]) -> Output {
        let local = format!("http://{}", self.address());
        let words = words
            .iter()
            .map(|&word| if word == "ENDPOINT" { &local } else { word });
        Command::new(program())
            .arg("api")
            .args(words)
            .output()
            .unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Sends a signal, and tells how and how soon it ended.
    pub(crate) fn end(mut self, signal: &str) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.signal(signal);
        std::io::copy(&mut self.log, &mut std::io::sink()).unwrap();
        (self.child.wait().unwrap(), began.elapsed())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
