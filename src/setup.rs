//! Set-up of a new instance: what the host is decides which items it gets.
//!
//! [`host`] reads the host, [`mod@items`] decides (pure), [`apply`] puts the items into the database. [`architectures`] adds one that [`machine`]
//! runs, [`repositories`] is what administrators change later.
pub mod architectures;
pub mod backend_name;
pub mod distributions;
pub mod host;
pub mod inspection;
pub mod items;
pub mod machine;
pub mod mirrors;
pub mod parts;
pub mod repositories;
pub mod request;
pub mod run;
pub mod site;
pub mod wanted;

use std::sync::Arc;

use jiff::Timestamp;

use crate::deb::Architecture;
use crate::home::{self, Home};
use crate::model::limits::Setting;
use crate::model::repository::Identity;
use crate::model::source::NoArchive;
use crate::model::{Daemon, Invalid, Item, Repository, Status, Uploader};
use crate::pgp::{self, SigningKey};
use crate::repositories::dists;
use crate::store::{self, Store, Transaction};

pub use host::{HostFacts, host_facts};
pub use items::{Items, Wishes, items};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Home(#[from] home::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Archive(#[from] crate::archive::Error),
    #[error(transparent)]
    Repositories(Box<crate::repositories::Error>),
    #[error(transparent)]
    Key(#[from] pgp::Error),
    #[error(transparent)]
    Keys(#[from] crate::keys::Error),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Lifecycle(Box<crate::lifecycle::Error>),
    #[error("{option}: {given:?} {fault}")]
    Option {
        option: &'static str,
        given: String,
        fault: String,
    },
    #[error(transparent)]
    Name(#[from] crate::deb::Error),
    #[error(
        "no apt source of this host has {codename}; name one in /etc/apt/sources.list.d/ and run apt-get update"
    )]
    NoSource { codename: String },
    #[error("{origin} has no known keyring for {codename}; install {package}")]
    NoKeyring {
        origin: String,
        codename: String,
        package: String,
    },
    #[error("/etc/os-release names no VERSION_CODENAME")]
    NoCodename,
    #[error("can't read {path}")]
    Read {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Command(#[from] crate::command::Error),
    #[error("no {kind} {name:?}; there is: {known}")]
    Unknown {
        kind: &'static str,
        name: String,
        known: String,
    },
    #[error("there is a repository {0} already")]
    There(Identity),
    #[error("layout {layout:?} is that of repository {repositories}")]
    Used {
        layout: String,
        repositories: String,
    },
    #[error("{dists} would no longer be published, but there are packages in it")]
    Occupied { dists: String },
    #[error("can't limit builds: {0}")]
    Limit(String),
    #[error(transparent)]
    NoArchive(#[from] NoArchive),
    #[error("can't read which architectures the archive has from {url}: {fault}")]
    Release { url: String, fault: String },
    #[error("{url} has no packages for {architecture}, only for {known}")]
    NotInArchive {
        url: String,
        architecture: Architecture,
        known: String,
    },
}

impl From<crate::lifecycle::Error> for Error {
    fn from(error: crate::lifecycle::Error) -> Error {
        Error::Lifecycle(Box::new(error))
    }
}

impl From<crate::repositories::Error> for Error {
    fn from(error: crate::repositories::Error) -> Error {
        Error::Repositories(Box::new(error))
    }
}

/// Makes home, key, database and empty dists of a new instance with these items; may be repeated.
pub fn create(home: &Home, hostname: &str, items: &Items) -> Result<(), Error> {
    home.create()?;
    if !home.signing_key().exists() {
        signing_key(&items.daemon)?.save(&home.signing_key())?;
    }
    let store = Arc::new(Store::open(&home.database())?);
    apply(home, &store, hostname, items)?;
    Ok(dists::publish(home, &store)?)
}

/// Makes a new signing key for an instance.
pub fn signing_key(daemon: &Daemon) -> Result<SigningKey, pgp::Error> {
    let name = format!("mini-buildd archive {}", daemon.identity);
    SigningKey::generate(&name, &daemon.email_address)
}

/// Makes the items active and the dists those of the repositories, all or nothing.
pub fn apply(home: &Home, store: &Arc<Store>, hostname: &str, items: &Items) -> Result<(), Error> {
    items.validate()?;
    store.write(|tx| {
        items.put(tx)?;
        Ok(dists::configure(tx, home, store, hostname)?)
    })
}

/// Lets more keys, by user and armored text, upload to all repositories.
pub fn add_uploaders(store: &Store, uploaders: &[(String, String)]) -> Result<(), Error> {
    store.write(|tx| {
        let repositories = store::items::all::<Repository>(tx)?;
        let may_upload_to: Vec<_> = repositories
            .into_iter()
            .map(|(repository, _)| repository.identity)
            .collect();
        uploaders.iter().try_for_each(|(user, key)| {
            let uploader = Uploader {
                user: user.clone(),
                key: key.clone(),
                may_upload_to: may_upload_to.clone(),
            };
            uploader.validate()?;
            put(tx, &uploader)
        })
    })
}

/// Changes limits of the builds that begin from now on.
pub fn limit_builds(store: &Store, settings: &[Setting]) -> Result<(), Error> {
    change_daemon(store, |daemon| {
        for setting in settings {
            daemon.limits = daemon.limits.with(setting).map_err(Error::Limit)?;
        }
        Ok(())
    })
}

/// Changes after how many days a chroot's base is made anew.
pub fn renew_chroots_after(store: &Store, days: u32) -> Result<(), Error> {
    change_daemon(store, |daemon| {
        daemon.renew_chroots_after_days = days;
        Ok(())
    })
}

fn change_daemon(
    store: &Store,
    change: impl FnOnce(&mut Daemon) -> Result<(), Error>,
) -> Result<(), Error> {
    store.write(|tx| {
        let Some((mut daemon, status)) = store::items::get::<Daemon>(tx, "daemon")? else {
            return Ok(());
        };
        change(&mut daemon)?;
        daemon.validate()?;
        Ok(store::items::put(tx, &daemon, status)?)
    })
}

impl Items {
    fn put(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        put(tx, &self.daemon)?;
        put_all(tx, &self.archives)?;
        put_all(tx, &self.apt_keys)?;
        put_all(tx, &self.sources)?;
        put(tx, &self.layout)?;
        put(tx, &self.distribution)?;
        put(tx, &self.repository)?;
        put(tx, &self.chroot)?;
        put_all(tx, &self.uploaders)
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.daemon.validate()?;
        validate_all(&self.archives)?;
        validate_all(&self.apt_keys)?;
        validate_all(&self.sources)?;
        self.layout.validate()?;
        self.distribution.validate()?;
        self.repository.validate()?;
        self.chroot.validate()?;
        validate_all(&self.uploaders)
    }
}

fn put<T: Item>(tx: &Transaction<'_>, item: &T) -> Result<(), Error> {
    let status = Status::Active {
        checked: Timestamp::now(),
    };
    Ok(store::items::put(tx, item, status)?)
}

fn put_all<T: Item>(tx: &Transaction<'_>, items: &[T]) -> Result<(), Error> {
    items.iter().try_for_each(|item| put(tx, item))
}

fn validate_all<T: Item>(items: &[T]) -> Result<(), Invalid> {
    items.iter().try_for_each(Item::validate)
}
