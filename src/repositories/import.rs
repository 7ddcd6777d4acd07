//! Another archive manager's repository, stock's first of all, becomes ours.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::archive::{self, ImportedDist, State, Stock};
use crate::model::Diststr;
use crate::model::repository::Identity;
use crate::store::catalog::Catalog;

use super::{Error, Repositories, suite};

/// What to import.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Holds `dists` and `pool`.
    pub directory: &'a Path,
    /// Where to; `None`: to those that the names of the dists say.
    pub repository: Option<&'a Identity>,
    /// These with their rollbacks; empty: all.
    pub distributions: &'a [Diststr],
}

/// What is told while it goes on.
#[derive(Debug)]
pub enum Told {
    /// A dist, snapshot or package is left out.
    Fault(Error),
    Dist(Diststr, ImportedDist),
}

impl Repositories {
    /// Takes in packages, dists, rollbacks and snapshots; what is faulty is told and left out.
    ///
    /// May be cut off and repeated; what is there already stays as it is.
    pub fn import(&self, wanted: &Wanted<'_>, told: &mut dyn FnMut(Told)) -> Result<(), Error> {
        let stock = read(wanted, told)?;
        let catalog = self.store.read(Catalog::load)?;
        let mut repositories: BTreeMap<Identity, BTreeMap<Diststr, Vec<&State>>> = BTreeMap::new();
        for (diststr, states) in self.dists(wanted, &stock, &catalog, told) {
            let repository = repositories.entry(diststr.repository.clone());
            repository.or_default().insert(diststr, states);
        }
        for (identity, dists) in repositories {
            let archive = self.archive(&identity);
            refuse_own(wanted.directory, archive.directory())?;
            let states: Vec<&State> = dists.values().flatten().copied().collect();
            let mut fault = |error: archive::Error| told(Told::Fault(error.into()));
            let taken = archive.import_packages(&stock, &states, &mut fault)?;
            for (diststr, states) in dists {
                let imported = self
                    .store
                    .write(|tx| archive.import_dist(tx, &stock, &taken, &states, &diststr))?;
                told(Told::Dist(diststr, imported));
            }
        }
        Ok(())
    }

    /// Tells what an import would take in, by dist; files of the pool are not looked at.
    pub fn plan_import(
        &self,
        wanted: &Wanted<'_>,
        told: &mut dyn FnMut(Told),
    ) -> Result<(), Error> {
        let stock = read(wanted, told)?;
        let catalog = self.store.read(Catalog::load)?;
        for (diststr, states) in self.dists(wanted, &stock, &catalog, told) {
            let mut imported = ImportedDist::default();
            for state in states {
                match &state.snapshot {
                    Some(name) => imported.snapshots.push(name.clone()),
                    None => imported.packages += state.packages(),
                }
            }
            told(Told::Dist(diststr, imported));
        }
        Ok(())
    }

    /// The dists of ours that get something, with what they get; the others are told.
    fn dists<'a>(
        &self,
        wanted: &Wanted<'_>,
        stock: &'a Stock,
        catalog: &Catalog,
        told: &mut dyn FnMut(Told),
    ) -> BTreeMap<Diststr, Vec<&'a State>> {
        let mut dists: BTreeMap<Diststr, Vec<&State>> = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        for state in stock.states.iter().filter(|state| state.packages() > 0) {
            let repository = wanted.repository.unwrap_or(&state.diststr.repository);
            let diststr = Diststr {
                repository: repository.clone(),
                ..state.diststr.clone()
            };
            match self.check(stock, state, &diststr, catalog) {
                Ok(()) => dists.entry(diststr).or_default().push(state),
                Err(error @ Error::Unmade { .. }) => {
                    // Once for all its snapshots.
                    if unknown.insert(diststr) {
                        told(Told::Fault(error));
                    }
                }
                Err(error) => told(Told::Fault(error)),
            }
        }
        dists
    }

    fn check(
        &self,
        stock: &Stock,
        state: &State,
        diststr: &Diststr,
        catalog: &Catalog,
    ) -> Result<(), Error> {
        if suite(catalog, diststr).is_err() {
            return Err(Error::Unmade {
                diststr: diststr.clone(),
            });
        }
        let archive = self.archive(&diststr.repository);
        let checked = self
            .store
            .read(|tx| archive.check_import(tx, stock, state, diststr));
        checked.map_err(|source| Error::State {
            state: match &state.snapshot {
                Some(name) => format!("snapshot {name} of {diststr}"),
                None => diststr.to_string(),
            },
            source: Box::new(source),
        })
    }
}

fn read(wanted: &Wanted<'_>, told: &mut dyn FnMut(Told)) -> Result<Stock, Error> {
    let directory = wanted.directory;
    for part in ["dists", "pool"] {
        if !directory.join(part).is_dir() {
            return Err(Error::File {
                file: directory.to_owned(),
                fault: format!("is no repository: it has no directory {part}"),
            });
        }
    }
    let is_wanted = |diststr: &Diststr| {
        let wanted = wanted.distributions;
        wanted.is_empty()
            || wanted.contains(diststr)
            || wanted.contains(&diststr.without_rollback())
    };
    let stock = Stock::read(directory, is_wanted, &mut |error| {
        told(Told::Fault(error.into()));
    })?;
    for diststr in wanted.distributions {
        if !stock.states.iter().any(|state| state.diststr == *diststr) {
            told(Told::Fault(Error::File {
                file: directory.to_owned(),
                fault: format!("has no distribution {diststr}"),
            }));
        }
    }
    Ok(stock)
}

/// The directory must not be the one that is written to.
fn refuse_own(directory: &Path, own: &Path) -> Result<(), Error> {
    let is_own = match (directory.canonicalize(), own.canonicalize()) {
        (Ok(directory), Ok(own)) => directory == own,
        _ => false,
    };
    if is_own {
        return Err(Error::File {
            file: directory.to_owned(),
            fault: "is the repository that it would be imported into".into(),
        });
    }
    Ok(())
}
