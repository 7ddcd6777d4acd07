//! What an administrator wants of an instance, in stock's words: the file of `mini-buildd setup --file`, and what the
//! options of the call `setup` make of nothing.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::deb::{Architecture, Codename};
use crate::endpoint::ServerEndpoint;
use crate::model::daemon::check_identity;
use crate::model::repository::Identity;
use crate::model::{Chroot, Daemon, Kind, Repository, Source};
use crate::store::catalog::Catalog;

use super::Error;
use super::backend_name::BackendName;

/// All that is wanted; what stands nowhere is as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    pub identity: Option<String>,
    pub ftp_endpoint: Option<ServerEndpoint>,
    pub archives: Vec<String>,
    /// Codenames of base sources; their pockets come with them.
    pub sources: Vec<Codename>,
    pub chroots_backend: BackendName,
    pub remotes: Vec<String>,
    pub distributions: BTreeMap<Codename, Vec<Architecture>>,
    pub repositories: BTreeMap<Identity, SiteRepository>,
    pub chroots: BTreeMap<Codename, Vec<Architecture>>,
    /// Fields that differ from what the rest makes of them, and items that the rest doesn't make; by kind and name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<Kind, BTreeMap<String, Map<String, Value>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteRepository {
    pub dists: Vec<Codename>,
    #[serde(default = "default_layout")]
    pub layout: String,
}

pub(super) const DEFAULT_LAYOUT: &str = "Default";
fn default_layout() -> String {
    DEFAULT_LAYOUT.into()
}

impl Site {
    /// Adds to the lists of what is asked for those that there are already.
    pub(super) fn keep(&mut self, present: &Site) {
        fn add<T: PartialEq + Clone>(wanted: &mut Vec<T>, present: Option<&Vec<T>>) {
            for one in present.into_iter().flatten() {
                if !wanted.contains(one) {
                    wanted.push(one.clone());
                }
            }
        }
        for (identity, wanted) in &mut self.repositories {
            let present = present.repositories.get(identity);
            add(&mut wanted.dists, present.map(|present| &present.dists));
        }
        for (codename, wanted) in &mut self.distributions {
            add(wanted, present.distributions.get(codename));
        }
    }

    /// What there is, without fields that differ from their defaults.
    pub fn of_catalog(catalog: &Catalog, is_base: impl Fn(&Source) -> bool) -> Site {
        let daemon = catalog.daemons.values().next();
        let daemon: Option<&Daemon> = daemon.map(|(daemon, _)| daemon);
        let distributions = catalog.distributions.values();
        let mut sources: Vec<Codename> = catalog
            .sources
            .values()
            .filter(|(source, _)| is_base(source))
            .map(|(source, _)| source.codename.clone())
            .collect();
        sources.dedup();
        let repositories = catalog
            .repositories
            .values()
            .map(|(found, _): &(Repository, _)| {
                let wanted = SiteRepository {
                    dists: found.distributions.clone(),
                    layout: found.layout.clone(),
                };
                (found.identity.clone(), wanted)
            });
        let mut chroots: BTreeMap<Codename, Vec<Architecture>> = BTreeMap::new();
        for (chroot, _) in catalog.chroots.values() {
            let architectures = chroots.entry(chroot.codename.clone()).or_default();
            architectures.push(chroot.architecture.clone());
        }
        let backend = catalog.chroots.values().next();
        Site {
            identity: daemon.map(|daemon| daemon.identity.clone()),
            ftp_endpoint: daemon.map(|daemon| daemon.ftp_endpoint.clone()),
            archives: catalog.archives.keys().cloned().collect(),
            sources,
            chroots_backend: backend.map_or(BackendName::Dir, |(chroot, _): &(Chroot, _)| {
                chroot.backend.into()
            }),
            remotes: catalog.remotes.keys().cloned().collect(),
            distributions: distributions
                .map(|(found, _)| {
                    let options = found.architectures.iter();
                    let architectures = options.map(|option| option.architecture.clone());
                    (found.codename.clone(), architectures.collect())
                })
                .collect(),
            repositories: repositories.collect(),
            chroots,
            items: BTreeMap::new(),
        }
    }

    /// Reads a file; a fault names line and field.
    pub fn parse(text: &str) -> Result<Site, String> {
        let site: Site = toml::from_str(text).map_err(|fault| fault.to_string())?;
        site.check().map_err(|error| error.to_string())?;
        Ok(site)
    }

    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    /// Finds what contradicts itself.
    pub(super) fn check(&self) -> Result<(), Error> {
        if let Some(identity) = &self.identity
            && let Err(wrong) = check_identity(identity)
        {
            return Err(fault("identity", identity, wrong));
        }
        for codename in self.distributions.keys().chain(self.chroots.keys()) {
            if !self.sources.contains(codename) {
                let wrong = "is no codename of `sources`; add it there";
                return Err(fault("distributions and chroots", codename.as_str(), wrong));
            }
        }
        for (identity, repository) in &self.repositories {
            for codename in &repository.dists {
                if !self.distributions.contains_key(codename) {
                    let wrong = format!("has {codename}, which is none of `distributions`");
                    return Err(fault("repositories", identity.as_str(), &wrong));
                }
            }
        }
        let lists = self.distributions.iter().chain(&self.chroots);
        for (codename, architectures) in lists {
            if architectures.is_empty() {
                return Err(fault("architectures", codename.as_str(), "has none"));
            }
        }
        Ok(())
    }
}

pub(super) fn fault(option: &'static str, given: &str, fault: &str) -> Error {
    Error::Option {
        option,
        given: given.into(),
        fault: fault.into(),
    }
}
