//! The dists of all configured repositories.
use std::sync::Arc;

use jiff::Timestamp;

use crate::archive::{self, ArchiveDir, DistSettings};
use crate::home::Home;
use crate::keys::{self, KeySet};
use crate::model::repository::Identity;
use crate::model::{Daemon, Distribution, Item as _, Layout, Repository};
use crate::store::catalog::Catalog;
use crate::store::{Store, Transaction, items};

use super::Error;

/// Makes the dists those that the active repositories want; what changes is published later.
pub fn configure(
    tx: &Transaction<'_>,
    home: &Home,
    store: &Arc<Store>,
    hostname: &str,
) -> Result<(), Error> {
    configure_with(tx, home, store, hostname, None)
}

/// As [`configure`], and as if this repository were active.
pub fn configure_also(
    tx: &Transaction<'_>,
    home: &Home,
    store: &Arc<Store>,
    hostname: &str,
    repository: &Repository,
) -> Result<(), Error> {
    configure_with(tx, home, store, hostname, Some(repository))
}

fn configure_with(
    tx: &Transaction<'_>,
    home: &Home,
    store: &Arc<Store>,
    hostname: &str,
    also: Option<&Repository>,
) -> Result<(), Error> {
    let Some((daemon, _)) = items::get::<Daemon>(tx, "daemon")? else {
        return Ok(());
    };
    let origin = daemon.archive_origin(hostname);
    let catalog = Catalog::load(tx)?;
    let also = also.and_then(|also| Some((also, catalog.layout(&also.layout)?)));
    let others = catalog.repositories();
    let others =
        others.filter(|(other, _)| also.is_none_or(|(also, _)| also.name() != other.name()));
    for (repository, layout) in others.chain(also) {
        let distributions = repository
            .distributions
            .iter()
            .filter_map(|codename| catalog.distribution(codename));
        let dists: Vec<DistSettings> = distributions
            .flat_map(|distribution| dists(repository, layout, distribution, &origin))
            .collect();
        archive_dir(home, store, &repository.identity).configure(tx, &dists)?;
    }
    for identity in archive::repositories(tx)? {
        if catalog.repository(&identity).is_none() {
            archive_dir(home, store, &identity).configure(tx, &[])?;
        }
    }
    Ok(())
}

/// Publishes what changed and what other keys signed, so that a daemon, running or to start, has nothing left to publish.
pub fn publish(home: &Home, store: &Arc<Store>) -> Result<(), Error> {
    let now = Timestamp::now();
    keys::settle(home, now)?;
    let keys = KeySet::load(home)?.signing();
    for identity in store.read(archive::repositories)? {
        let archive = archive_dir(home, store, &identity);
        archive.resign(&keys)?;
        archive.publish(&keys, now)?;
    }
    Ok(())
}

/// Pool and dists of a repository.
pub fn archive_dir(home: &Home, store: &Arc<Store>, identity: &Identity) -> ArchiveDir {
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
                keep: if diststr.rollback.is_none() {
                    options.keep
                } else {
                    1
                },
                diststr,
                origin: origin.into(),
                components: distribution.sorted_components(),
                architectures: architectures.clone(),
                not_automatic,
                but_automatic_upgrades,
                valid_days: options.valid_days,
                sha512: repository.sha512,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::distribution::tests::trixie;
    use crate::model::repository::tests::test_repository;

    #[test]
    fn suites_rule_their_dists_but_a_rollback_has_one_version() {
        let mut layout = Layout::standard();
        for options in &mut layout.suites {
            (options.keep, options.valid_days) = (3, Some(7));
        }
        let repository = Repository {
            sha512: true,
            ..test_repository()
        };
        for dist in dists(&repository, &layout, &trixie(), "Test") {
            let is_rollback = dist.diststr.rollback.is_some();
            assert_eq!(dist.keep, if is_rollback { 1 } else { 3 });
            assert_eq!((dist.valid_days, dist.sha512), (Some(7), true));
        }
    }
}
