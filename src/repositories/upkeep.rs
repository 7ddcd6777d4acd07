//! What time brings: snapshots by rule, new signatures before the old ones end, forgetting.
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use tracing::info;

use crate::archive::Retention;
use crate::model::snapshot::Period;
use crate::model::{Diststr, Repository};
use crate::store::catalog::Catalog;

use super::{Error, Repositories};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Repositories {
    /// Makes the snapshots that are due and gives up those that are too old; published with their dists.
    pub fn make_snapshots(&self, now: &Zoned) -> Result<(), Error> {
        let catalog = self.store.read(Catalog::load)?;
        for (repository, layout) in catalog.repositories() {
            for codename in &repository.distributions {
                for options in &layout.suites {
                    let dist = repository.dist(codename, &options.suite);
                    if Repository::has_snapshots(options, &dist) {
                        self.snapshots_of(repository, &dist, now)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn snapshots_of(
        &self,
        repository: &Repository,
        diststr: &Diststr,
        now: &Zoned,
    ) -> Result<(), Error> {
        let archive = self.archive(&repository.identity);
        let (snapshots, changes) = self.store.read(|tx| {
            let changes = archive.moments(tx, Some(diststr), 1)?;
            Ok::<_, Error>((archive.snapshots(tx, diststr)?, changes))
        })?;
        if changes.is_empty() {
            return Ok(());
        }
        let rule = &repository.snapshots;
        let due: Vec<Period> = Period::ALL
            .into_iter()
            .filter(|period| {
                let is_of = |name| Period::of(name).is_some_and(|(of, _)| of == *period);
                let last = snapshots
                    .iter()
                    .filter(|snapshot| is_of(&snapshot.name))
                    .map(|snapshot| snapshot.created)
                    .max();
                rule.is_due(*period, last, now)
            })
            .collect();
        let expired: Vec<_> = snapshots
            .iter()
            .map(|snapshot| &snapshot.name)
            .filter(|name| rule.is_expired(name, now))
            .collect();
        if due.is_empty() && expired.is_empty() {
            return Ok(());
        }
        self.store.write::<_, Error>(|tx| {
            for period in &due {
                let name = Period::name(*period, now);
                archive.create_snapshot(tx, diststr, &name, now.timestamp())?;
                info!(%diststr, %name, "made a snapshot");
            }
            for name in expired {
                archive.delete_snapshot(tx, diststr, name)?;
                info!(%diststr, %name, "gave up a snapshot");
            }
            Ok(())
        })
    }

    /// Marks dists whose Valid-Until comes near, so that they are published anew.
    pub fn renew(&self, now: Timestamp) -> Result<(), Error> {
        for archive in self.archives()? {
            let renewed = self.store.write(|tx| archive.renew(tx, now))?;
            if renewed > 0 {
                info!(repository = %archive.identity(), dists = renewed, "Valid-Until is renewed");
            }
        }
        Ok(())
    }

    /// Forgets what repositories keep no longer, and deletes pool files that nothing names.
    pub fn expire(&self, now: Timestamp) -> Result<(), Error> {
        let catalog = self.store.read(Catalog::load)?;
        for (repository, _) in catalog.repositories() {
            let retention = Retention {
                history: DAY * repository.history_days,
                grace: Duration::from_secs(60 * 60) * repository.pool_grace_hours,
            };
            let expired = self.archive(&repository.identity).expire(retention, now)?;
            if expired.packages + expired.files > 0 {
                info!(
                    repository = %repository.identity,
                    packages = expired.packages,
                    files = expired.files,
                    "forgot the past"
                );
            }
        }
        Ok(())
    }

    /// Deletes what clients ask for no more: old indices, times that are forgotten.
    pub fn clean(&self, now: Timestamp) -> Result<(), Error> {
        for archive in self.archives()? {
            archive.clean(now)?;
        }
        Ok(())
    }
}
