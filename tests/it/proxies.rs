//! What sessions fetch comes through the host's proxy: a real one, on loopback, that alone knows some servers.
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use mini_buildd::build::BuildStatus;
use mini_buildd::build::supervisor;
use mini_buildd::chroots::Trial;
use mini_buildd::fetch::Proxies;
use mini_buildd::model::Source;

use crate::base::Base;
use crate::build::Package;
use crate::program::program;

/// Prints its port, then every URL that it is asked for; URLs of the first argument are fetched from the second.
const PROXY: &str = r#"
import http.server, sys, urllib.error, urllib.request

known, real = sys.argv[1:]
fetch = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, flush=True)
        url = self.path
        if url.startswith(known):
            url = real + url[len(known):]
        try:
            with fetch(url, timeout=60) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        except OSError as error:
            status, body = 502, str(error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
print(server.server_port, flush=True)
server.serve_forever()
"#;
/// The archive under a name that the proxy alone knows.
const KNOWN: &str = "http://known-to-the-proxy.invalid/debian/";

struct Proxy {
    child: Child,
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `None`, and tells why, where the host's archive can't be reached by plain HTTP.
    fn start() -> Option<Proxy> {
        let archive = &Base::get().source.archives[0];
        if !archive.starts_with("http://") {
            eprintln!("skipped: {archive} needs TLS, which the proxy of this test does not tunnel");
            return None;
        }
        let mut child = Command::new("python3")
            .args(["-c", PROXY, KNOWN, archive])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|url| noted.lock().unwrap().push(url));
        });
        Some(Proxy {
            child,
            url: format!("http://127.0.0.1:{port}"),
            asked,
        })
    }

    fn proxies(&self) -> Proxies {
        Proxies::parse(&format!("Acquire::http::Proxy {}\n", self.url), |_| None)
    }

    /// Whether it was asked for such a URL.
    fn was_asked(&self, begin: &str, end: &str) -> bool {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .any(|url| url.starts_with(begin) && url.ends_with(end))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn build_needs_no_other_way_out_than_the_proxy() {
    let Some(proxy) = Proxy::start() else {
        return;
    };
    let base = Base::get();
    let directory = base.directory("build-by-proxy");
    // The supervisor has it from its environment, as the daemon's would.
    let supervisor = directory.join("supervisor");
    let script = format!(
        "#!/bin/sh\nhttp_proxy={} exec {} \"$@\"\n",
        proxy.url,
        program().display()
    );
    fs::write(&supervisor, script).unwrap();
    fs::set_permissions(&supervisor, fs::Permissions::from_mode(0o755)).unwrap();
    let package = Package {
        name: "mbd-test-proxy",
        ..Package::default()
    };
    let assignment = base.assignment(&directory, &package);
    let sources = format!(
        "deb [check-valid-until=no] {KNOWN} {} main\n",
        base.source.suite
    );
    let request = assignment.request_directory();
    fs::write(request.join(".config/apt_sources.list"), sources).unwrap();
    let mut child = supervisor::start_program(&supervisor, &assignment).unwrap();
    let verdict = supervisor::wait(&directory).unwrap().unwrap();
    child.wait().unwrap();
    let asked = proxy.asked.lock().unwrap();
    assert_eq!(
        verdict.status,
        BuildStatus::Successful,
        "{verdict:?}\n{asked:#?}"
    );
}

#[test]
fn package_is_installed_through_the_proxy() {
    let Some(proxy) = Proxy::start() else {
        return;
    };
    let base = Base::get();
    let trial = Trial {
        sources: "",
        key: "",
        package: &"hello".parse().unwrap(),
        command: &["hello"],
    };
    let chroots = base.chroots.clone().with_proxies(proxy.proxies());
    let said = chroots.try_package(&base.chroot, &trial, &mut |_| {});
    assert_eq!(said.unwrap(), "Hello, world!\n");
    let archive = &base.source.archives[0];
    assert!(proxy.was_asked(archive, ".deb"), "{:#?}", proxy.asked);
}

#[test]
fn debootstrap_asks_the_proxy() {
    let Some(proxy) = Proxy::start() else {
        return;
    };
    let base = Base::get();
    let home = mini_buildd::home::Home::new(base.directory("bootstrap-by-proxy"));
    home.create().unwrap();
    let of_caller = mini_buildd::chroots::Chroots::new(home, base.launcher());
    let source = Source {
        archives: vec!["http://unknown-to-all.invalid/debian/".into()],
        ..base.source.clone()
    };
    let chroots = of_caller.with_proxies(proxy.proxies());
    let failed = chroots.bootstrap(&base.chroot, &source, &[], &mut |_| {});
    assert!(failed.is_err());
    let release = format!("dists/{}/InRelease", base.chroot.codename);
    assert!(
        proxy.was_asked(&source.archives[0], &release),
        "{failed:?} {:#?}",
        proxy.asked
    );
}
