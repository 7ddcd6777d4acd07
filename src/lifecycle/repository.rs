use crate::archive;
use crate::model::{Item as _, Kind, Reference, Repository};
use crate::repositories::dists;
use crate::store::catalog::Catalog;

use super::Failure;
use super::managed::{Hands, Managed};

impl Managed for Repository {
    fn dependencies(&self, catalog: &Catalog) -> Vec<Reference> {
        let distributions = self
            .distributions
            .iter()
            .filter_map(|codename| catalog.distribution(codename));
        let mut needed = Vec::new();
        for source in distributions.flat_map(crate::model::Item::references) {
            if !needed.contains(&source) {
                needed.push(source);
            }
        }
        needed.retain(|source| source.kind == Kind::Source);
        needed
    }

    /// Its dists are made and published.
    fn create(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        let lifecycle = hands.lifecycle;
        let (home, store) = (&lifecycle.home, &lifecycle.store);
        lifecycle.store.write(|tx| {
            let mut lost = archive::occupied(tx)?;
            dists::configure_also(tx, home, store, &lifecycle.hostname, self)?;
            let left = archive::occupied(tx)?;
            lost.retain(|dist| !left.contains(dist));
            if lost.is_empty() {
                return Ok(());
            }
            let lost: Vec<String> = lost.iter().map(ToString::to_string).collect();
            Err::<(), Failure>(
                format!(
                    "{} would no longer be published, but there are packages in it",
                    lost.join(", ")
                )
                .into(),
            )
        })?;
        Ok(dists::publish(home, store)?)
    }

    fn verify(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        let catalog = &hands.catalog;
        let layout = catalog.layout(&self.layout).ok_or("its layout is gone")?;
        for meta in layout.meta_distributions.keys() {
            let others = catalog.repositories().filter(|(other, layout)| {
                other.identity != self.identity && other.meta_distribution(layout, meta).is_some()
            });
            let others: Vec<String> = others.map(|(other, _)| other.name()).collect();
            if self.meta_distribution(layout, meta).is_some() && !others.is_empty() {
                return Err(
                    format!("{meta} would mean repository {} too", others.join(", ")).into(),
                );
            }
        }
        for codename in &self.distributions {
            let distribution = catalog.distribution(codename);
            distribution.ok_or_else(|| format!("distribution {codename} is gone"))?;
        }
        Ok(())
    }

    /// Its dists go; files of packages stay until they are cleaned up.
    fn discard(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        let lifecycle = hands.lifecycle;
        let dir = dists::archive_dir(&lifecycle.home, &lifecycle.store, &self.identity);
        lifecycle.store.write(|tx| {
            let occupied = archive::occupied(tx)?;
            let own: Vec<String> = occupied
                .iter()
                .filter(|dist| dist.repository == self.identity)
                .map(ToString::to_string)
                .collect();
            if own.is_empty() {
                return Ok(dir.configure(tx, &[])?);
            }
            Err::<(), Failure>(
                format!(
                    "there are packages in {}; remove these first",
                    own.join(", ")
                )
                .into(),
            )
        })?;
        Ok(dists::publish(&lifecycle.home, &lifecycle.store)?)
    }
}
