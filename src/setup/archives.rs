//! The dists of all configured repositories.
use std::sync::Arc;

use jiff::Timestamp;

use crate::archive::{ArchiveDir, DistSettings};
use crate::home::Home;
use crate::keys::{self, KeySet};
use crate::model::{Daemon, Distribution, Layout, Repository};
use crate::store::catalog::Catalog;
use crate::store::{Store, Transaction, items};

use super::Error;

/// Makes the dists those that the items want; what changes is published later.
pub fn configure(
    tx: &Transaction<'_>,
    home: &Home,
    store: &Arc<Store>,
    hostname: &str,
) -> Result<(), Error> {
    let Some((daemon, _)) = items::get::<Daemon>(tx, "daemon")? else {
        return Ok(());
    };
    let origin = daemon.archive_origin(hostname);
    let catalog = Catalog::load(tx)?;
    for (repository, layout) in catalog.repositories() {
        let distributions = repository
            .distributions
            .iter()
            .filter_map(|codename| catalog.distribution(codename));
        let dists: Vec<DistSettings> = distributions
            .flat_map(|distribution| dists(repository, layout, distribution, &origin))
            .collect();
        archive(home, store, repository).configure(tx, &dists)?;
    }
    Ok(())
}

/// Publishes what changed and what other keys signed, so that a daemon, running or to start, has nothing left to publish.
pub fn publish(home: &Home, store: &Arc<Store>) -> Result<(), Error> {
    let now = Timestamp::now();
    keys::settle(home, now)?;
    let keys = KeySet::load(home)?.signing();
    for (repository, _) in store.read(items::all::<Repository>)? {
        let archive = archive(home, store, &repository);
        archive.resign(&keys)?;
        archive.publish(&keys, now)?;
    }
    Ok(())
}

fn archive(home: &Home, store: &Arc<Store>, repository: &Repository) -> ArchiveDir {
    let identity = &repository.identity;
    ArchiveDir::new(
        home.repository(identity),
        identity.clone(),
        Arc::clone(store),
    )
}

fn dists(
    repository: &Repository,
    layout: &Layout,
    distribution: &Distribution,
    origin: &str,
) -> Vec<DistSettings> {
    let architectures = distribution.architectures.iter();
    let architectures: Vec<_> = architectures
        .map(|option| option.architecture.clone())
        .collect();
    let dists = repository.dists(layout, &distribution.codename);
    dists
        .into_iter()
        .filter_map(|diststr| {
            let options = layout.suite(&diststr.suite)?;
            let (not_automatic, but_automatic_upgrades) = Repository::automatic(options, &diststr);
            Some(DistSettings {
                diststr,
                origin: origin.into(),
                components: distribution.sorted_components(),
                architectures: architectures.clone(),
                not_automatic,
                but_automatic_upgrades,
            })
        })
        .collect()
}
