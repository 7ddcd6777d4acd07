//! An instance in a temporary home, with its servers on free loopback ports.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mini_buildd::deb::sources_list;
use mini_buildd::endpoint::ServerEndpoint;
use mini_buildd::events::Told;
use mini_buildd::ftp::{self, Limits};
use mini_buildd::home::Home;
use mini_buildd::http::{self, AccessLog};
use mini_buildd::instance::Instance;
use mini_buildd::model::{Address, Event, EventType};
use mini_buildd::pgp::SigningKey;
use mini_buildd::setup::distributions::Database;
use mini_buildd::setup::{self, HostFacts, Items, Wishes};
use mini_buildd::store::{self, Store, event_log};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::program::program;

/// Whoever waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct TestInstance {
    directory: TempDir,
    pub(crate) home: Home,
    /// Of the one uploader.
    pub(crate) uploader: SigningKey,
    pub(crate) running: Option<Running>,
}

pub(crate) struct Running {
    pub(crate) instance: Arc<Instance>,
    runtime: Runtime,
    events: broadcast::Receiver<Arc<Told>>,
    end: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
    /// Holds its port.
    _deaf: Option<ftp::Server>,
}

/// A host that has trixie from archives that nobody asks.
pub(crate) fn facts() -> HostFacts {
    let sources = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
        http://mirror.invalid/debian trixie main\n";
    HostFacts {
        origin: "Debian".into(),
        codename: "trixie".parse().unwrap(),
        version: Some("13".into()),
        architecture: "amd64".parse().unwrap(),
        hostname: "buildd.test".into(),
        processors: 2,
        apt_sources: sources_list::Source::parse_list(sources).unwrap(),
        check_valid_until: true,
        keyrings: Vec::new(),
    }
}

impl TestInstance {
    /// Sets up what `facts` make, changed by `change`.
    pub(crate) fn new(facts: &HostFacts, change: impl FnOnce(&mut Items)) -> TestInstance {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path().join("home"));
        let uploader = SigningKey::generate("Upl", "upl@buildd.test").unwrap();
        let wishes = Wishes {
            identity: Some("ident".into()),
            ftp_endpoint: loopback(),
            max_parallel_builds: None,
            uploaders: vec![("upl".into(), uploader.public_armored())],
        };
        let mut items = setup::items(facts, &wishes, &Database::of_today()).unwrap();
        change(&mut items);
        setup::create(&home, "buildd.test", &items).unwrap();
        TestInstance {
            directory,
            home,
            uploader,
            running: None,
        }
    }

    /// An instance for trixie on amd64, started.
    pub(crate) fn started() -> TestInstance {
        let mut instance = TestInstance::new(&facts(), |_| {});
        instance.start();
        instance
    }

    /// A place for files of the test.
    pub(crate) fn scratch(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn key(&self) -> SigningKey {
        SigningKey::load(&self.home.signing_key()).unwrap()
    }

    /// Starts servers and engine; builds are supervised by the built program.
    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        self.running = Some(Running::start(&self.home, true));
    }

    /// As [`TestInstance::start`], but the FTP server answers nobody: buildrequests stay unsent.
    pub(crate) fn start_deaf(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        self.running = Some(Running::start(&self.home, false));
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.end.send_replace(true);
        running.runtime.block_on(async {
            for serving in running.serving {
                serving.await.unwrap();
            }
            running.instance.stop().await;
        });
    }

    /// Drops everything where it is; what blocks is waited for, so that the next start is alone with the home.
    pub(crate) fn crash(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.serving);
            drop(running.instance);
            drop(running.runtime);
            // Children of other tests hold our descriptors too, between their fork and exec.
            let lock = fs::File::open(self.home.root().join(".lock")).unwrap();
            rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        }
    }

    pub(crate) fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("it is started")
    }

    /// Sends files as one FTP session would leave them, .changes last.
    pub(crate) fn send(&mut self, files: &[(String, Vec<u8>)]) {
        self.leave(files);
        let staging = self.staged();
        self.running().instance.incoming.closed(staging);
    }

    /// Files that have arrived in a connection that is still open.
    pub(crate) fn leave(&mut self, files: &[(String, Vec<u8>)]) {
        let incoming = Arc::clone(&self.running().instance.incoming);
        let staging = incoming.staging().unwrap();
        for (name, content) in files {
            fs::write(staging.join(name), content).unwrap();
            if name.ends_with(".changes") {
                incoming.received(&staging, &name.parse().unwrap()).unwrap();
            }
        }
    }

    /// The newest staging directory.
    pub(crate) fn staged(&self) -> PathBuf {
        let staged = fs::read_dir(self.home.incoming()).unwrap();
        staged.map(|entry| entry.unwrap().path()).max().unwrap()
    }

    /// Waits until an event of this type is told of the source.
    pub(crate) fn wait_for(&mut self, kind: EventType, source: &str) -> Event {
        self.wait_for_more(kind, source, 0)
    }

    /// Waits until there are more than `before` such events; the newest.
    pub(crate) fn wait_for_more(&mut self, kind: EventType, source: &str, before: usize) -> Event {
        loop {
            let mut events = self.events(kind, source);
            if events.len() > before {
                events.sort_by_key(|event| event.timestamp);
                return events.pop().expect("there is one at least");
            }
            assert!(
                self.running().wait(),
                "no {kind} of {source}; there are: {:#?}",
                self.event_files()
            );
        }
    }

    /// Events of this type whose files are there.
    pub(crate) fn events(&self, kind: EventType, source: &str) -> Vec<Event> {
        let files = self.event_files().into_iter();
        files
            .map(|path| serde_json::from_slice::<Event>(&fs::read(path).unwrap()).unwrap())
            .filter(|event| event.kind == kind && event.source == source)
            .collect()
    }

    pub(crate) fn event_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files_below(&self.home.events(), &mut found);
        found.retain(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.ends_with(".json") && !name.starts_with('.')
        });
        found
    }

    /// Types of all that was noted about the source, oldest first; what is told twice is here twice.
    pub(crate) fn log(&self, source: &str) -> Vec<EventType> {
        let store = Store::open(&self.home.database()).unwrap();
        let mut logged = store
            .read::<_, store::Error>(|tx| event_log::recent(tx, 1000, None))
            .unwrap();
        logged.reverse();
        logged
            .into_iter()
            .filter(|logged| logged.event.source == source)
            .map(|logged| logged.event.kind)
            .collect()
    }

    /// Text of a published index of the repository `test`; empty if it isn't there.
    pub(crate) fn published(&self, path: &str) -> String {
        let repository = self.home.repositories().join("test/dists");
        fs::read_to_string(repository.join(path)).unwrap_or_default()
    }
}

impl Drop for TestInstance {
    fn drop(&mut self) {
        self.crash();
    }
}

impl Running {
    fn start(home: &Home, answers: bool) -> Running {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let http = runtime.block_on(http::Server::bind(&[loopback()])).unwrap();
        let ftp =
            runtime.block_on(async { ftp::Server::bind(&loopback(), Limits::default()).unwrap() });
        let address = Address {
            http_certificate: None,
            incoming_certificate: None,
            hostname: "buildd.test".into(),
            http_url: format!("http://{}", http.address()),
            incoming_url: format!("ftp://{}", ftp.address()),
        };
        let started = Instance::start_with(home.clone(), address, None, program());
        let instance = runtime.block_on(started).unwrap();
        let (end, shutdown) = watch::channel(false);
        let (log, _) = AccessLog::start(home.access_log()).unwrap();
        let routes = http::router(&instance, shutdown.clone());
        let mut serving = vec![runtime.spawn(http.serve(routes, log, shutdown.clone()))];
        let deaf = if answers {
            serving.push(runtime.spawn(ftp.serve(instance.incoming.clone(), shutdown)));
            None
        } else {
            Some(ftp)
        };
        Running {
            _deaf: deaf,
            events: instance.events.subscribe(),
            instance,
            runtime,
            end,
            serving,
        }
    }

    /// Waits for any event; `false`: none came.
    fn wait(&mut self) -> bool {
        let events = &mut self.events;
        let next = async { timeout(PATIENCE, events.recv()).await };
        match self.runtime.block_on(next) {
            Ok(Ok(_) | Err(RecvError::Lagged(_))) => true,
            Ok(Err(RecvError::Closed)) | Err(_) => false,
        }
    }
}

fn loopback() -> ServerEndpoint {
    "tcp:port=0:interface=127.0.0.1".parse().unwrap()
}

pub(crate) fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}
