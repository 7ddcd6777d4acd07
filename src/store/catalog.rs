use std::collections::BTreeMap;

use crate::deb::Codename;
use crate::model::diststr::Malformed;
use crate::model::repository::Identity;
use crate::model::{
    AptKey, Archive, Chroot, Daemon, Distribution, Diststr, EmailAddress, Item, Kind, Layout,
    Reference, Remote, Repository, SignedBy, Source, Status, SuiteOptions, Uploader,
};

use super::{Error, Transaction, items};

/// All that administrators have configured, as of one moment.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub archives: BTreeMap<String, (Archive, Status)>,
    pub apt_keys: BTreeMap<String, (AptKey, Status)>,
    /// With the keys of those [`AptKey`]s that they name.
    pub sources: BTreeMap<String, (Source, Status)>,
    pub layouts: BTreeMap<String, (Layout, Status)>,
    pub distributions: BTreeMap<String, (Distribution, Status)>,
    pub repositories: BTreeMap<String, (Repository, Status)>,
    pub chroots: BTreeMap<String, (Chroot, Status)>,
    pub uploaders: BTreeMap<String, (Uploader, Status)>,
    pub remotes: BTreeMap<String, (Remote, Status)>,
    pub email_addresses: BTreeMap<String, (EmailAddress, Status)>,
    /// One, or none before the set-up.
    pub daemons: BTreeMap<String, (Daemon, Status)>,
    /// What each source names.
    keys_of: BTreeMap<String, Vec<Reference>>,
}

impl Catalog {
    pub fn load(tx: &Transaction<'_>) -> Result<Catalog, Error> {
        let apt_keys = all(tx)?;
        let mut sources: BTreeMap<String, (Source, Status)> = all(tx)?;
        let named = sources.iter();
        let named = named.map(|(name, (source, _))| (name.clone(), source.references()));
        let keys_of = named.collect();
        for (source, _) in sources.values_mut() {
            resolve_keys(source, &apt_keys);
        }
        Ok(Catalog {
            archives: all(tx)?,
            apt_keys,
            sources,
            layouts: all(tx)?,
            distributions: all(tx)?,
            repositories: all(tx)?,
            chroots: all(tx)?,
            uploaders: all(tx)?,
            remotes: all(tx)?,
            email_addresses: all(tx)?,
            daemons: all(tx)?,
            keys_of,
        })
    }

    /// All items with what they name, in the order of their kinds.
    pub fn references(&self) -> Vec<(Reference, Status, Vec<Reference>)> {
        let mut found = Vec::new();
        of(Kind::Archive, &self.archives, &mut found);
        of(Kind::AptKey, &self.apt_keys, &mut found);
        found.extend(self.sources.iter().map(|(name, (_, status))| {
            let keys = self.keys_of.get(name).cloned().unwrap_or_default();
            (Reference::new(Kind::Source, name), *status, keys)
        }));
        of(Kind::Distribution, &self.distributions, &mut found);
        of(Kind::Layout, &self.layouts, &mut found);
        of(Kind::EmailAddress, &self.email_addresses, &mut found);
        of(Kind::Repository, &self.repositories, &mut found);
        of(Kind::Chroot, &self.chroots, &mut found);
        of(Kind::Uploader, &self.uploaders, &mut found);
        of(Kind::Remote, &self.remotes, &mut found);
        of(Kind::Daemon, &self.daemons, &mut found);
        found
    }

    pub fn repository(&self, identity: &Identity) -> Option<(&Repository, Status)> {
        let (repository, status) = self.repositories.get(identity.as_str())?;
        Some((repository, *status))
    }
    pub fn distribution(&self, codename: &Codename) -> Option<&Distribution> {
        let (distribution, _) = self.distributions.get(codename.as_str())?;
        Some(distribution)
    }
    pub fn layout(&self, name: &str) -> Option<&Layout> {
        let (layout, _) = self.layouts.get(name)?;
        Some(layout)
    }
    /// What the layout says of a dist's suite; its rollbacks' too.
    pub fn suite(&self, diststr: &Diststr) -> Option<&SuiteOptions> {
        let (repository, _) = self.repository(&diststr.repository)?;
        let is_known = repository.distributions.contains(&diststr.codename);
        let layout = self.layout(&repository.layout).filter(|_| is_known)?;
        layout.suite(&diststr.suite)
    }
    pub fn source(&self, name: &str) -> Option<&Source> {
        let (source, _) = self.sources.get(name)?;
        Some(source)
    }
    /// Active repositories with their layouts.
    pub fn repositories(&self) -> impl Iterator<Item = (&Repository, &Layout)> {
        active(&self.repositories)
            .filter_map(|repository| Some((repository, self.layout(&repository.layout)?)))
    }
    pub fn chroots(&self) -> impl Iterator<Item = &Chroot> {
        active(&self.chroots)
    }
    /// What a chroot is made from: its own source, and with their priorities those that its distribution adds.
    pub fn sources_of(&self, chroot: &Chroot) -> Option<(Source, Vec<(Source, i32)>)> {
        let base = self.source(&chroot.source)?.clone();
        let distribution = self.distribution(&chroot.codename);
        let extra = distribution.iter().flat_map(|found| &found.extra_sources);
        let extra = extra
            .filter_map(|extra| Some((self.source(&extra.source)?.clone(), extra.priority)))
            .collect();
        Some((base, extra))
    }
    pub fn uploaders(&self) -> impl Iterator<Item = &Uploader> {
        active(&self.uploaders)
    }
    pub fn remotes(&self) -> impl Iterator<Item = &Remote> {
        active(&self.remotes)
    }
    /// Where an upload or a message wants to go, by its field Distribution.
    pub fn resolve(&self, distribution: &str) -> Result<Diststr, Malformed> {
        let meta = self
            .repositories()
            .find_map(|(repository, layout)| repository.meta_distribution(layout, distribution));
        meta.map_or_else(|| distribution.parse(), Ok)
    }
}

fn all<T: Item>(tx: &Transaction<'_>) -> Result<BTreeMap<String, (T, Status)>, Error> {
    let found = items::all::<T>(tx)?;
    Ok(found
        .into_iter()
        .map(|(item, status)| (item.name(), (item, status)))
        .collect())
}

/// Puts the keys themselves in the place of their names; a key that has none yet goes.
fn resolve_keys(source: &mut Source, apt_keys: &BTreeMap<String, (AptKey, Status)>) {
    let resolved = source.apt_keys.iter().filter_map(|key| {
        let SignedBy::Key(name) = key else {
            return Some(key.clone());
        };
        let (apt_key, _) = apt_keys.get(name)?;
        Some(apt_key.signed_by())
    });
    let has_key = |key: &SignedBy| *key != SignedBy::Armored(String::new());
    source.apt_keys = resolved.filter(has_key).collect();
}

fn of<T: Item>(
    kind: Kind,
    items: &BTreeMap<String, (T, Status)>,
    found: &mut Vec<(Reference, Status, Vec<Reference>)>,
) {
    for (name, (item, status)) in items {
        found.push((Reference::new(kind, name), *status, item.references()));
    }
}

fn active<T>(items: &BTreeMap<String, (T, Status)>) -> impl Iterator<Item = &T> {
    items
        .values()
        .filter(|(_, status)| status.is_active())
        .map(|(item, _)| item)
}
