//! A whole instance as people run it: the daemon is a process, builds happen in the real chroot, its users have dput,
//! curl and apt.
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mini_buildd::home::Home;
use mini_buildd::model::{Event, EventType, version_scheme};
use mini_buildd::store::Store;
use mini_buildd::store::catalog::Catalog;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::base::Base;
use crate::packager::{Packager, run};
use crate::program::program;

/// A machine that does other things at the same time builds dash within it.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks at another process's files.
const PAUSE: Duration = Duration::from_millis(25);
const ENDS: [EventType; 3] = [EventType::Installed, EventType::Failed, EventType::Rejected];

pub(crate) struct Buildd {
    pub(crate) home: Home,
    pub(crate) uploader: Packager,
    /// Where new packages enter.
    pub(crate) dist: String,
    /// What their versions end with.
    pub(crate) suffix: String,
    pub(crate) http_url: String,
    pub(crate) incoming_url: String,
    http_endpoint: String,
    daemon: Option<Child>,
}

impl Buildd {
    /// Sets an instance up on the shared chroot and starts it.
    pub(crate) fn started(name: &str) -> Buildd {
        let mut buildd = Buildd::made(Base::get().home(name));
        buildd.start();
        buildd
    }

    /// Sets an instance up.
    pub(crate) fn made(home: Home) -> Buildd {
        Buildd::made_on(home, "auto")
    }

    /// Sets an instance up whose chroots are of this kind.
    pub(crate) fn made_on(home: Home, backend: &str) -> Buildd {
        let uploader = Packager::new("Uploader");
        let key = home.root().join("uploader.asc");
        fs::write(&key, uploader.public_key()).unwrap();
        run(Command::new(program())
            .args(["up", "--no-start", "--identity", "proof"])
            .args(["--backend", backend])
            .args(["--ftp-endpoint", &free_endpoint(), "--uploader-key"])
            .arg(&key)
            .arg("--home")
            .arg(home.root()));
        let store = Store::open(&home.database()).unwrap();
        let (dist, suffix) = entry(&store.read(Catalog::load).unwrap());
        Buildd {
            home,
            uploader,
            dist,
            suffix,
            http_url: String::new(),
            incoming_url: String::new(),
            http_endpoint: free_endpoint(),
            daemon: None,
        }
    }

    /// Takes ports as stock's clients guess them, HTTP before FTP; before the start.
    pub(crate) fn with_adjacent_ports(mut self) -> Buildd {
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).ok();
        let (http, _ftp) = std::iter::repeat_with(|| free(0).unwrap())
            .find_map(|http| {
                let next = http.local_addr().unwrap().port().checked_add(1)?;
                Some((http, free(next)?))
            })
            .unwrap();
        let port = http.local_addr().unwrap().port();
        let endpoint = |port: u16| format!("tcp:port={port}:interface=127.0.0.1");
        self.http_endpoint = endpoint(port);
        let field = format!("ftp_endpoint={}", endpoint(port + 1));
        run(Command::new(program())
            .args(["item", "set", "daemon", "daemon", &field, "--pca", "--home"])
            .arg(self.home.root()));
        self
    }

    /// Speaks TLS only from the next start on, at the ports that it had; returns its certificate.
    pub(crate) fn speak_tls(&mut self) -> PathBuf {
        let own = |words: &[&str]| {
            let mut command = Command::new(program());
            run(command.args(words).arg("--home").arg(self.home.root()));
        };
        own(&["self-signed-certificate", "create", "localhost"]);
        let [key, certificate] = [self.home.certificate_key(), self.home.certificate()];
        let endpoint = |url: &str| {
            let port = url.rsplit(':').next().unwrap();
            format!(
                "ssl:port={port}:interface=127.0.0.1:host=localhost:privateKey={}:certKey={}",
                key.display(),
                certificate.display()
            )
        };
        let field = format!("ftp_endpoint={}", endpoint(&self.incoming_url));
        own(&["item", "set", "daemon", "daemon", &field, "--pca"]);
        self.http_endpoint = endpoint(&self.http_url);
        certificate
    }

    fn log(&self) -> PathBuf {
        self.home.root().join("daemon.log")
    }

    /// Starts the daemon and waits until it serves.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// As [`Buildd::start`], with these variables changed.
    pub(crate) fn start_with(&mut self, variables: &[(&str, &str)]) {
        let log = File::options().create(true).append(true).open(self.log());
        let child = Command::new(program())
            .arg("--home")
            .arg(self.home.root())
            .args(["--http-endpoint", &self.http_endpoint])
            .args(["--hostname", "localhost"])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let pid = u64::from(child.id());
        self.daemon = Some(child);
        let running = self.wait("the daemon serves", |buildd| {
            let text = fs::read(buildd.home.running()).ok()?;
            let running: Value = serde_json::from_slice(&text).ok()?;
            (running["pid"] == pid).then_some(running)
        });
        let url = |name: &str| running[name].as_str().unwrap().to_owned();
        self.http_url = url("http_url");
        self.incoming_url = url("incoming_url");
    }

    /// Sends a signal; tells how and how soon the daemon ended.
    pub(crate) fn end(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let mut daemon = self.daemon.take().expect("the daemon was started");
        let began = Instant::now();
        kill_process(Pid::from_child(&daemon), signal).unwrap();
        (daemon.wait().unwrap(), began.elapsed())
    }

    /// `kill -9`, and a start after it.
    pub(crate) fn crash(&mut self) {
        self.end(Signal::KILL);
        self.start();
    }

    /// Waits until there is something; shows the log if nothing comes or the daemon ends.
    pub(crate) fn wait<T>(&mut self, what: &str, look: impl Fn(&Buildd) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self
                .daemon
                .as_mut()
                .and_then(|child| child.try_wait().unwrap());
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                panic!("not true: {what}; the daemon ({ended:?}) says:\n{log}");
            }
            sleep(PAUSE);
        }
    }

    pub(crate) fn events(&self, source: &str) -> Vec<Event> {
        let mut files = Vec::new();
        files_below(&self.home.events().join(source), &mut files);
        let events = files.iter().filter(|path| is_event(path));
        events
            .filter_map(|path| serde_json::from_slice(&fs::read(path).unwrap()).ok())
            .collect()
    }

    pub(crate) fn events_of(&self, kind: EventType, source: &str) -> Vec<Event> {
        let mut events = self.events(source);
        events.retain(|event| event.kind == kind);
        events
    }

    /// Waits for the first event of a type.
    pub(crate) fn event(&mut self, kind: EventType, source: &str) -> Event {
        let what = format!("{kind:?} of {source}");
        self.wait(&what, |buildd| buildd.events_of(kind, source).pop())
    }

    /// Waits for an upload's end.
    pub(crate) fn end_of(&mut self, source: &str) -> Event {
        self.wait(&format!("end of {source}"), |buildd| {
            let mut events = buildd.events(source);
            events.retain(|event| ENDS.contains(&event.kind));
            events.pop()
        })
    }

    /// Waits for an upload's end, which must be this one.
    pub(crate) fn ended(&mut self, source: &str, expected: EventType) -> Event {
        let event = self.end_of(source);
        let log = self.build_logs(source).concat();
        assert_eq!(event.kind, expected, "{event:#?}\n{log}");
        event
    }

    /// The one .changes that `kind` of `source` is about, below var/events.
    pub(crate) fn changes(&self, event: &Event) -> PathBuf {
        let path = event.extra["changes"].as_str().unwrap();
        self.home.events().join(path)
    }

    pub(crate) fn build_logs(&self, source: &str) -> Vec<String> {
        let mut files = Vec::new();
        files_below(&self.home.events().join(source), &mut files);
        files_below(&self.home.builds().join(source), &mut files);
        files.retain(|path| path.extension().is_some_and(|end| end == "buildlog"));
        files
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect()
    }

    /// Waits until the running build of a source says something.
    pub(crate) fn build_says(&mut self, source: &str, line: &str) {
        let line = format!("\n{line}\n");
        self.wait(&format!("build log of {source} has {line:?}"), |buildd| {
            buildd
                .build_logs(source)
                .iter()
                .any(|log| log.contains(&line))
                .then_some(())
        });
    }

    /// The process that owns the running build of a source.
    pub(crate) fn supervisor(&self, source: &str) -> Option<Pid> {
        let directory = self.home.builds().join(source);
        let directory = format!("\0supervise\0{}/", directory.display());
        let processes = fs::read_dir("/proc").unwrap();
        let pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&directory)
        })
        .find_map(Pid::from_raw)
    }

    /// Text of an index of a dist.
    pub(crate) fn published(&self, dist: &str, index: &str) -> String {
        let dists = self.home.repositories().join("test/dists");
        fs::read_to_string(dists.join(dist).join(index)).unwrap_or_default()
    }

    /// Versions of a source in the dist where it entered.
    pub(crate) fn versions(&self, source: &str) -> Vec<String> {
        let sources = self.published(&self.dist, "main/source/Sources");
        let head = format!("Package: {source}\n");
        sources
            .split("\n\n")
            .filter(|stanza| stanza.starts_with(&head))
            .filter_map(|stanza| stanza.split("\nVersion: ").nth(1)?.lines().next())
            .map(str::to_owned)
            .collect()
    }

    /// An answer of the API as plain text.
    pub(crate) fn api(&self, call: &str) -> String {
        let answer = run(Command::new(program()).args(["api", call, &self.http_url]));
        String::from_utf8(answer.stdout).unwrap()
    }

    /// Uploads as people do: with what the instance says in ~/.dput.cf.
    pub(crate) fn dput(&self, changes: &Path) {
        let user = tempfile::tempdir().unwrap();
        fs::write(user.path().join(".dput.cf"), self.api("dput_conf")).unwrap();
        let mut dput = self.uploader.command("dput");
        run(dput
            .env("HOME", user.path())
            .arg("mini-buildd-proof")
            .arg(changes));
    }

    /// Uploads in one session, the .changes last.
    pub(crate) fn curl(&self, changes: &Path) {
        let output = self.try_curl(changes);
        assert!(output.status.success(), "{output:?}\n{}", self.daemon_log());
    }

    pub(crate) fn try_curl(&self, changes: &Path) -> Output {
        let mut names = listed(&fs::read_to_string(changes).unwrap());
        names.push(changes.file_name().unwrap().to_str().unwrap().to_owned());
        Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail-early",
                "--max-time",
                "120",
                "--upload-file",
            ])
            .arg(format!("{{{}}}", names.join(",")))
            .arg(format!("{}/incoming/", self.incoming_url))
            .current_dir(changes.parent().unwrap())
            .output()
            .unwrap()
    }

    pub(crate) fn daemon_log(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Buildd {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // It may have ended already.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Where new packages enter, and what their versions end with.
fn entry(catalog: &Catalog) -> (String, String) {
    let (repository, layout) = catalog.repositories().next().unwrap();
    let chroot = catalog.chroots().next().unwrap();
    let source = catalog.source(&chroot.source).unwrap();
    let mut suites = layout.suites.iter();
    let suite = suites.find(|suite| suite.build_keyring_package).unwrap();
    let identity = repository.identity.as_str();
    let suffix = version_scheme::default_version(layout, suite, identity, &source.codeversion);
    let dist = repository.dist(&chroot.codename, &suite.suite);
    (dist.to_string(), suffix)
}

/// Stays the same when the daemon is started again, as URLs in its jobs do.
fn free_endpoint() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    format!("tcp:port={port}:interface=127.0.0.1")
}

/// Names in the field Files.
pub(crate) fn listed(changes: &str) -> Vec<String> {
    let files = changes.split("\nFiles:\n").nth(1).unwrap();
    files
        .lines()
        .take_while(|line| line.starts_with(' '))
        .map(|line| line.rsplit(' ').next().unwrap().to_owned())
        .collect()
}

fn is_event(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.ends_with(".json") && !name.starts_with('.')
}

/// What goes meanwhile is left out.
pub(crate) fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}
