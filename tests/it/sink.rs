//! A mail server that takes letters, and shows what came.
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Deserialize;

/// Takes letters on the given port, or a free one, and writes each as one line of JSON.
/// It refuses those to nobody@… for good, and those to busy@… for now, and tells so, too.
const SINK: &str = r#"
import email, email.policy, json, socketserver, sys
def tell(**said):
    print(json.dumps(said), flush=True)
class Handler(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")
    def handle(self):
        self.say("220 sink")
        for line in self.rfile:
            verb = line.decode().strip().upper()
            if verb.startswith("RCPT"):
                to = line.decode().strip()[8:].strip("<>")
                name = to.split("@")[0]
                if name in ("nobody", "busy"):
                    tell(to=to, refused=True)
                    self.say("550 unknown" if name == "nobody" else "451 later")
                    continue
            if verb == "DATA":
                self.say("354 go on")
                lines = []
                for line in self.rfile:
                    if line == b".\r\n":
                        break
                    lines.append(line[1:] if line.startswith(b"..") else line)
                letter = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                files = [(part.get_filename(), part.get_content()) for part in letter.iter_attachments()]
                text = letter.get_body(("plain",)).get_content()
                headers = {name.lower(): str(value) for name, value in letter.items()}
                self.say("250 taken")
                tell(to=to, subject=letter["Subject"], text=text, files=files, headers=headers)
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 sink")
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

pub(crate) struct Sink {
    port: String,
    server: Child,
    letters: BufReader<ChildStdout>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Letter {
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) files: Vec<(String, String)>,
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    pub(crate) refused: bool,
}

impl Sink {
    pub(crate) fn new() -> Sink {
        Sink::at("0")
    }

    fn at(port: &str) -> Sink {
        let mut server = Command::new("python3")
            .args(["-c", SINK, port])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut letters = BufReader::new(server.stdout.take().unwrap());
        let mut port = String::new();
        letters.read_line(&mut port).unwrap();
        Sink {
            port: port.trim().into(),
            server,
            letters,
        }
    }

    /// As `--smtp` wants it.
    pub(crate) fn relay(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// The next letter that came, or was refused.
    pub(crate) fn letter(&mut self) -> Letter {
        let mut written = String::new();
        self.letters.read_line(&mut written).unwrap();
        serde_json::from_str(&written).unwrap()
    }

    /// Nobody answers on its port, for as long as `work` takes.
    pub(crate) fn away<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.end();
        let done = work();
        *self = Sink::at(&self.port);
        done
    }

    fn end(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end();
    }
}
