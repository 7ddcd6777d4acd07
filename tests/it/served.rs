//! A directory that an HTTP server serves.
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Serves the current directory, and says on which port.
const SERVER: &str = "
import http.server as h
class Handler(h.SimpleHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *_): pass
server = h.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
";

pub(crate) struct Served {
    /// Ends with a slash.
    pub(crate) url: String,
    server: Child,
}

impl Served {
    pub(crate) fn new(directory: &Path) -> Served {
        let mut server = Command::new("python3")
            .args(["-c", SERVER])
            .current_dir(directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let said = BufReader::new(server.stdout.take().unwrap()).read_line(&mut port);
        said.unwrap();
        Served {
            url: format!("http://127.0.0.1:{}/", port.trim()),
            server,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}
