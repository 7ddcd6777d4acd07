//! Puts all of it together; start, stop, recover.
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::accounts::Accounts;
use crate::builder::phases::Phases;
use crate::builder::{self, Builder};
use crate::cause::with_causes;
use crate::cron::Cron;
use crate::deb::Architecture;
use crate::events::Events;
use crate::events::notification::Notification;
use crate::home::{self, Home, Lock};
use crate::incoming::door::{self, Door};
use crate::incoming::{self, Incoming};
use crate::keys::{self, Keys};
use crate::lifecycle::Lifecycle;
use crate::mail::{Postman, Relay};
use crate::maintenance::{Maintenance, Queue};
use crate::model::{Address, Daemon};
use crate::packager::Publication;
use crate::remotes::Load;
use crate::repositories::Repositories;
use crate::repositories::dists;
use crate::repositories::past::Past;
use crate::store::{self, Store, items};
use crate::{packager, setup};

/// How long a start waits until all is published.
const FIRST_PUBLICATION: Duration = Duration::from_secs(5);

pub struct Instance {
    pub home: Home,
    pub store: Arc<Store>,
    pub keys: Arc<Keys>,
    pub address: Address,
    pub daemon: Daemon,
    pub incoming: Arc<Incoming>,
    pub events: Arc<Events>,
    /// `None`: no letters are sent.
    pub postman: Option<Arc<Postman>>,
    pub builder: Builder,
    pub past: Arc<Past>,
    pub accounts: Arc<Accounts>,
    pub repositories: Repositories,
    pub publication: Arc<Publication>,
    pub lifecycle: Lifecycle,
    pub maintenance: Arc<Maintenance>,
    pub cron: Arc<Cron>,
    /// Source packages are unpacked one after another.
    pub comparing: Semaphore,
    /// Chroots are made anew for one who asks at a time.
    pub maintaining: Semaphore,
    shutdown: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
    _lock: Lock,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(
        "{home} holds no instance yet; make one with: mini-buildd up --home {home}",
        home = home.display()
    )]
    NotSetUp { home: PathBuf },
    #[error(transparent)]
    Home(#[from] home::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Keys(#[from] keys::Error),
    #[error(transparent)]
    Setup(#[from] setup::Error),
    #[error(transparent)]
    Repositories(Box<crate::repositories::Error>),
    #[error(transparent)]
    Incoming(#[from] incoming::Error),
    #[error("the start ended early: {0}")]
    Ended(String),
}

impl From<crate::repositories::Error> for Error {
    fn from(error: crate::repositories::Error) -> Error {
        Error::Repositories(Box::new(error))
    }
}

/// What is read from home and database before the tasks start.
struct Opened {
    lock: Lock,
    store: Arc<Store>,
    keys: Arc<Keys>,
    daemon: Daemon,
    is_active: bool,
    machine: Architecture,
    maintenance: (Maintenance, Queue),
}

impl Instance {
    /// Opens home and database, brings every job to its next state or back to its last safe one, starts the engine.
    ///
    /// The servers are bound already: `address` is final. They accept connections after this. Without a relay nobody
    /// gets letters, so that nobody can register, or set a password anew.
    pub async fn start(
        home: Home,
        address: Address,
        relay: Option<Relay>,
    ) -> Result<Arc<Instance>, Error> {
        Instance::start_with(home, address, relay, PathBuf::from("/proc/self/exe")).await
    }

    /// As [`Instance::start`], where another program than this one is to supervise builds.
    pub async fn start_with(
        home: Home,
        address: Address,
        relay: Option<Relay>,
        supervisor: PathBuf,
    ) -> Result<Arc<Instance>, Error> {
        let opened = {
            let (home, hostname) = (home.clone(), address.hostname.clone());
            tokio::task::spawn_blocking(move || open(&home, &hostname))
                .await
                .map_err(|ended| Error::Ended(ended.to_string()))??
        };
        let (instance, published) = run(home, address, opened, relay, supervisor);
        instance.incoming.recover()?;
        // Whoever is told our address finds the dists; a long publication goes on beside the servers.
        let _ = timeout(FIRST_PUBLICATION, published).await;
        Ok(instance)
    }

    /// Ends the engine in order; running builds go on under their supervisors.
    pub async fn stop(&self) {
        self.shutdown.send_replace(true);
        let mut tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        while let Some(ended) = tasks.join_next().await {
            if let Err(panicked) = ended {
                error!(%panicked, "a task of the engine ended badly");
            }
        }
        let events = Arc::clone(&self.events);
        let flushed = tokio::task::spawn_blocking(move || events.flush()).await;
        if let Ok(Err(error)) = flushed {
            error!(error = with_causes(&error), "can't write events");
        }
        info!("stopped");
    }
}

fn open(home: &Home, hostname: &str) -> Result<Opened, Error> {
    let not_set_up = || Error::NotSetUp {
        home: home.root().into(),
    };
    home.refuse_stock()?;
    if !home.database().exists() || !home.signing_key().exists() {
        return Err(not_set_up());
    }
    home.create()?;
    let lock = home.lock()?;
    let store = Arc::new(Store::open(&home.database())?);
    let daemon = store.read::<_, Error>(|tx| Ok(items::get::<Daemon>(tx, "daemon")?))?;
    let (daemon, status) = daemon.ok_or_else(not_set_up)?;
    keys::settle(home, Timestamp::now())?;
    store.write(|tx| dists::configure(tx, home, &store, hostname))?;
    Ok(Opened {
        lock,
        keys: Arc::new(Keys::open(home)?),
        maintenance: Maintenance::new(Arc::clone(&store))?,
        store,
        daemon,
        is_active: status.is_to_be_active(),
        machine: setup::host::architecture()?,
    })
}

/// Starts the tasks; they begin with what an earlier run left.
fn run(
    home: Home,
    address: Address,
    opened: Opened,
    relay: Option<Relay>,
    supervisor: PathBuf,
) -> (Arc<Instance>, oneshot::Receiver<()>) {
    let Opened {
        lock,
        store,
        keys,
        daemon,
        is_active,
        machine,
        maintenance: (maintenance, queue),
    } = opened;
    let (shutdown, stopping) = watch::channel(false);
    let (closed, staged) = mpsc::unbounded_channel();
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let (requested, requests) = mpsc::unbounded_channel();
    let postman = relay.map(|relay| postman(relay, &daemon, &address));
    let has_letters = postman.is_some();
    let events = Arc::new(Events::new(home.clone(), Arc::clone(&store), has_letters));
    let load = load(&daemon, is_active);
    let lifecycle = lifecycle(&home, &store, &address, &load, &supervisor);
    let door = Door {
        home: home.clone(),
        store: Arc::clone(&store),
        keys: Arc::clone(&keys),
        http_url: address.http_url.clone(),
        events: Arc::clone(&events),
        packager: arrived.clone(),
        builder: requested,
        settling: Mutex::new(()),
    };
    let packager = Arc::new(packager::Parts {
        home: home.clone(),
        store: Arc::clone(&store),
        keys: Arc::clone(&keys),
        address: address.clone(),
        daemon: daemon.clone(),
        events: Arc::clone(&events),
        load: Arc::clone(&load),
    });
    let publication = Arc::new(Publication::new(Arc::clone(&packager)));
    let builder = builder::Parts {
        home: home.clone(),
        store: Arc::clone(&store),
        keys: Arc::clone(&keys),
        address: address.clone(),
        events: Arc::clone(&events),
        load: Arc::clone(&load),
        machine,
        supervisor,
        phases: Phases::default(),
    };
    let mut tasks = JoinSet::new();
    let door = Arc::new(door);
    tasks.spawn(door::run(door, staged, closed.clone(), stopping.clone()));
    let (publishing, published) = oneshot::channel();
    tasks.spawn(packager::run(
        packager,
        Arc::clone(&publication),
        publishing,
        arrivals,
        arrived,
        stopping.clone(),
    ));
    let builder = Builder::new(builder.into());
    tasks.spawn(builder::run(builder.clone(), requests, stopping.clone()));
    let repositories = Repositories::new(home.clone(), Arc::clone(&store));
    let cron = Cron::new(home.clone(), Arc::clone(&store), repositories.clone());
    let cron = Arc::new(cron);
    let maintenance = Arc::new(maintenance);
    tasks.spawn(Arc::clone(&cron).run(stopping.clone()));
    tasks.spawn(Arc::clone(&maintenance).run(queue, stopping.clone()));
    if let Some(postman) = &postman {
        let notification = notification(&store, postman, &address);
        tasks.spawn(notification.run(events.subscribe(), stopping));
    }
    let incoming = Incoming::new(home.clone(), Arc::clone(&store), closed, load);
    let instance = Instance {
        incoming: Arc::new(incoming),
        past: Arc::new(Past::new(repositories.clone(), Arc::clone(&keys))),
        accounts: Arc::new(Accounts::new(Arc::clone(&store))),
        repositories,
        publication,
        lifecycle,
        maintenance,
        home,
        store,
        keys,
        address,
        daemon,
        events,
        postman,
        builder,
        cron,
        comparing: Semaphore::new(1),
        maintaining: Semaphore::new(1),
        shutdown,
        tasks: Mutex::new(tasks),
        _lock: lock,
    };
    (Arc::new(instance), published)
}

fn postman(relay: Relay, daemon: &Daemon, address: &Address) -> Arc<Postman> {
    Arc::new(Postman {
        relay,
        from: daemon.email_address.clone(),
        identity: daemon.identity.clone(),
        url: address.http_url.clone(),
    })
}

fn notification(
    store: &Arc<Store>,
    postman: &Arc<Postman>,
    address: &Address,
) -> Arc<Notification> {
    Arc::new(Notification::new(
        Arc::clone(store),
        Arc::clone(postman),
        address.hostname.clone(),
    ))
}

fn load(daemon: &Daemon, is_active: bool) -> Arc<Load> {
    let slots = usize::try_from(daemon.max_parallel_builds).unwrap_or(1);
    let load = Load::new(slots);
    if !is_active {
        warn!(
            "the daemon is not active and takes, packages and builds nothing; see: mini-buildd item pca daemon"
        );
        load.stop();
    }
    Arc::new(load)
}

fn lifecycle(
    home: &Home,
    store: &Arc<Store>,
    address: &Address,
    load: &Arc<Load>,
    helper: &Path,
) -> Lifecycle {
    Lifecycle {
        home: home.clone(),
        store: Arc::clone(store),
        hostname: address.hostname.clone(),
        load: Some(Arc::clone(load)),
        helper: helper.to_owned(),
    }
}
