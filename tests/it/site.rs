//! Delivers the files of a temporary home, and asks for them byte by byte.
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use mini_buildd::home::Home;
use mini_buildd::http::{self, AccessLog, Server};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Delivers the files of a temporary home.
pub(crate) struct Site {
    pub(crate) directory: TempDir,
    pub(crate) home: Home,
    pub(crate) address: SocketAddr,
    runtime: Runtime,
    end: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Site {
    pub(crate) fn start() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path().join("home"));
        home.create().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let endpoint = "tcp:port=0:interface=127.0.0.1".parse().unwrap();
        let server = runtime.block_on(Server::bind(&[endpoint])).unwrap();
        let address = server.address();
        let (log, _) = AccessLog::start(home.access_log()).unwrap();
        let (end, shutdown) = watch::channel(false);
        let routes = http::finish(http::files::router(&home, None));
        let serving = runtime.spawn(server.serve(routes, log, shutdown));
        Site {
            directory,
            home,
            address,
            runtime,
            end,
            serving,
        }
    }

    /// Writes a file of the home that was last changed on 2026-11-22.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_327_078);
        File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .set_modified(changed)
            .unwrap();
        path
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    pub(crate) fn ask(&self, request: &str) -> Answer {
        self.connect().ask(request)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
    }

    pub(crate) fn get_with(&self, path: &str, header: &str) -> Answer {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n"
        ))
    }

    /// Ends the server and gives its access log, which is to have so many lines.
    pub(crate) fn stop(self, lines: usize) -> String {
        self.end.send(true).unwrap();
        self.runtime.block_on(self.serving).unwrap();
        // The log's thread ends with the last sender, which went with the server.
        drop(self.runtime);
        let path = self.home.access_log();
        for _ in 0..2000 {
            let text = fs::read_to_string(&path).unwrap();
            if text.matches('\n').count() >= lines {
                return text;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("not all requests are in the access log");
    }
}

pub(crate) struct Connection {
    pub(crate) reader: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Connection {
            reader: BufReader::new(stream),
        }
    }

    pub(crate) fn ask(&mut self, request: &str) -> Answer {
        self.send(request);
        self.answer(request.starts_with("HEAD"))
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn answer(&mut self, is_head: bool) -> Answer {
        let line = self.line();
        let status = line
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("no status in {line:?}"));
        let mut answer = Answer {
            status: status.parse().unwrap(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            answer.headers.push((name.to_lowercase(), value.to_owned()));
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks();
            return answer;
        }
        let length = answer
            .header("content-length")
            .unwrap_or("0")
            .parse()
            .unwrap();
        if !is_head && answer.status != 304 {
            answer.body.resize(length, 0);
            self.reader.read_exact(&mut answer.body).unwrap();
        }
        answer
    }
}

impl Connection {
    /// A body in chunks (RFC 9112, section 7.1).
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line(), 16).unwrap();
            let start = body.len();
            body.resize(start + length, 0);
            self.reader.read_exact(&mut body[start..]).unwrap();
            assert_eq!(self.line(), "");
            if length == 0 {
                return body;
            }
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
