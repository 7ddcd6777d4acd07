//! A mail server that takes letters, and shows what came.
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Deserialize;

/// Takes letters on the given port, or a free one, and writes each as one line of JSON.
/// It refuses those to nobody@… for good, and those to busy@… for now; it hangs up at mute@…; and tells so, too.
/// Of stranger@… it takes nothing, and says so as if that were for good.
/// With a certificate and its key it takes none but over TLS, from who logs in as user:password.
const SINK: &str = r#"
import base64, email, email.policy, json, socketserver, ssl, sys
port, *tls = sys.argv[1:]
def tell(**said):
    print(json.dumps(said), flush=True)
class Handler(socketserver.StreamRequestHandler):
    def say(self, *lines):
        for line in lines[:-1]:
            self.wfile.write(line.replace(" ", "-", 1).encode() + b"\r\n")
        self.wfile.write(lines[-1].encode() + b"\r\n")
        self.wfile.flush()
    def handle(self):
        self.say("220 sink")
        secure = known = not tls
        while line := self.rfile.readline():
            verb, _, words = line.decode().strip().partition(" ")
            if verb == "EHLO":
                self.say("250 sink", "250 AUTH PLAIN" if secure else "250 STARTTLS")
            elif verb == "STARTTLS":
                self.say("220 go on")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*tls)
                secured = context.wrap_socket(self.request, server_side=True)
                self.rfile, self.wfile = secured.makefile("rb"), secured.makefile("wb")
                secure = True
            elif verb == "AUTH":
                known = secure and base64.b64decode(words.split()[1]) == b"\0user\0password"
                self.say("235 welcome" if known else "535 unknown")
            elif verb == "MAIL" and "<stranger@" in words:
                self.say("550 5.7.1 not from you")
            elif verb == "RCPT":
                to = words[3:].strip("<>")
                name = to.split("@")[0]
                if name == "mute":
                    tell(to=to, refused=True)
                    return
                if name in ("nobody", "busy"):
                    tell(to=to, refused=True)
                    self.say("550 unknown" if name == "nobody" else "451 later")
                else:
                    self.say("250 welcome")
            elif verb == "DATA" and known:
                self.say("354 go on")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
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
                self.say("250 sink" if known else "530 who are you")
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", int(port)), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

pub(crate) struct Sink {
    port: String,
    is_secure: bool,
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
        Sink::at("0", &[])
    }

    /// With http.crt and http.key of a directory.
    pub(crate) fn secure(directory: &Path) -> Sink {
        Sink::at(
            "0",
            &["http.crt", "http.key"].map(|name| directory.join(name)),
        )
    }

    fn at(port: &str, certificate: &[PathBuf]) -> Sink {
        let mut server = Command::new("python3")
            .args(["-c", SINK, port])
            .args(certificate)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut letters = BufReader::new(server.stdout.take().unwrap());
        let mut port = String::new();
        letters.read_line(&mut port).unwrap();
        Sink {
            port: port.trim().into(),
            is_secure: !certificate.is_empty(),
            server,
            letters,
        }
    }

    /// As `--smtp` wants it.
    pub(crate) fn relay(&self) -> String {
        let port = &self.port;
        if self.is_secure {
            return format!("user:password@ssmtp://localhost:{port}");
        }
        format!("smtp://127.0.0.1:{port}")
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
        *self = Sink::at(&self.port, &[]);
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
