//! A set-up, run: what differs is written, all or nothing; then it is prepared, checked and activated, item by item.
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::cause::with_causes;
use crate::lifecycle::{self, Action, Lifecycle, Machine, edit};
use crate::model::{Kind, Source};
use crate::repositories::dists;
use crate::store::catalog::Catalog;

use super::distributions::Database;
use super::host::HostFacts;
use super::inspection::{self, Instance, inspect, is_found_out, without_nulls};
use super::request::Request;
use super::site::Site;
use super::wanted::wanted;
use super::{Error, site};

/// Which items something is done to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    #[default]
    None,
    All,
    /// By stock's hashes.
    Some(BTreeSet<String>),
}

impl Selection {
    /// Reads `all`, nothing, or hashes with commas between.
    pub fn parse(text: &str) -> Selection {
        match text {
            "" => Selection::None,
            "all" => Selection::All,
            hashes => Selection::Some(hashes.split(',').map(str::to_owned).collect()),
        }
    }

    fn has(&self, instance: &Instance) -> bool {
        match self {
            Selection::None => false,
            Selection::All => true,
            Selection::Some(hashes) => hashes.contains(&instance.hash()),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub site: Site,
    pub instances: Vec<Instance>,
    /// Why items could not be made active, by their names.
    pub failed: BTreeMap<String, String>,
}

impl Outcome {
    /// As stock answers.
    pub fn to_json(&self) -> Value {
        let mut report = inspection::report(&self.instances);
        if !self.failed.is_empty() {
            report["failed"] = json!(self.failed);
        }
        let mut setup = json!(self.site);
        if let Some(fields) = setup.as_object_mut() {
            fields.remove("items");
        }
        json!({
            "setup": setup,
            "instances": self.instances.iter().map(Instance::to_json).collect::<Value>(),
            "report": report,
        })
    }
}

/// A set-up of the instance that `lifecycle` works on.
pub struct Setup<'a> {
    pub lifecycle: &'a Lifecycle,
    pub facts: &'a HostFacts,
    pub database: &'a Database,
}

impl Setup<'_> {
    /// What there is.
    pub fn present(&self) -> Result<Site, Error> {
        let catalog = self.lifecycle.store.read(Catalog::load)?;
        Ok(present(&catalog))
    }

    /// What the options mean here: they add to what there is, and take nothing away.
    pub fn requested(&self, request: &Request) -> Result<Site, Error> {
        let present = self.present()?;
        if request.is_empty() {
            return Ok(present);
        }
        let mut site = Site::of_request(request, self.facts, self.database)?;
        site.keep(&present);
        Ok(site)
    }

    /// What there is, with all that differs from what would be made of the rest.
    pub fn export(&self) -> Result<Site, Error> {
        let (mut site, catalog) = self.lifecycle.store.read(|tx| {
            let catalog = Catalog::load(tx)?;
            Ok::<_, Error>((present(&catalog), catalog))
        })?;
        let mut plain = BTreeMap::new();
        for wanted in wanted(&site, self.facts, self.database)? {
            if let Ok(item) = wanted.item {
                plain.insert(item, wanted.fields);
            }
        }
        for (item, _, _) in catalog.references() {
            let (fields, _) = self.lifecycle.store.read(|tx| edit::show(tx, &item))?;
            let default = plain.get(&item);
            let fields = fields.as_object().cloned().unwrap_or_default();
            let fields: Map<String, Value> = fields
                .into_iter()
                .filter(|(field, value)| {
                    let is_default =
                        default.is_some_and(|default| inspection::is_same(&default[field], value));
                    !is_default && !is_found_out(item.kind, field)
                })
                .map(|(field, value)| (field, without_nulls(&value)))
                .filter(|(_, value)| !value.is_null())
                .collect();
            if default.is_none() || !fields.is_empty() {
                let of_kind = site.items.entry(item.kind).or_default();
                of_kind.insert(item.name, fields);
            }
        }
        Ok(site)
    }

    /// Inspects, updates and activates; `say` gets a line a step.
    pub fn run(
        &self,
        site: Site,
        update: &Selection,
        pca: &Selection,
        say: &mut dyn FnMut(&str),
    ) -> Result<Outcome, Error> {
        let wanted = wanted(&site, self.facts, self.database)?;
        let store = &self.lifecycle.store;
        let mut instances = store.read(|tx| inspect(tx, wanted.clone()))?;
        self.refuse_what_can_not_be(&instances)?;
        if *update != Selection::None {
            let mut steps = Vec::new();
            store.write(|tx| {
                for instance in &mut instances {
                    write(tx, instance, update, &mut |step| {
                        steps.push(step.to_owned());
                    })?;
                }
                Ok::<(), Error>(())
            })?;
            // Not before it is so.
            for step in &steps {
                say(step);
            }
        }
        let failed = self.activate(&mut instances, pca, say)?;
        dists::publish(&self.lifecycle.home, store)?;
        let found = store.read(|tx| inspect(tx, wanted))?;
        for (instance, found) in instances.iter_mut().zip(found) {
            instance.present = found.present;
        }
        Ok(Outcome {
            site,
            instances,
            failed,
        })
    }

    /// Refuses invalid fields, and names of what is neither there nor wanted, before anything is said or written.
    fn refuse_what_can_not_be(&self, instances: &[Instance]) -> Result<(), Error> {
        let items = || {
            instances
                .iter()
                .filter_map(|one| one.wanted.item.as_ref().ok())
        };
        for instance in instances.iter().filter(|instance| instance.differs()) {
            let Ok(item) = &instance.wanted.item else {
                continue;
            };
            let (_, named) = edit::names(item.kind, &instance.target())?;
            let mut named = named.into_iter();
            if let Some(named) = named.find(|named| !items().any(|item| item == named)) {
                let store = &self.lifecycle.store;
                if store.read(|tx| inspection::present(tx, &named))?.is_none() {
                    let item = item.clone();
                    return Err(lifecycle::Error::Dangling { item, named }.into());
                }
            }
        }
        Ok(())
    }

    /// Prepares, checks and activates; tells what failed, by name.
    fn activate(
        &self,
        instances: &mut [Instance],
        pca: &Selection,
        say: &mut dyn FnMut(&str),
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut failed = BTreeMap::new();
        let mut unusable = BTreeSet::new();
        let say = RefCell::new(say);
        let mut tell = |step: &str| (say.borrow_mut())(step);
        let mut machine = Machine::new(self.lifecycle, true, &mut tell);
        for instance in instances {
            let Ok(item) = &instance.wanted.item else {
                continue;
            };
            if item.kind == Kind::Distribution && !unusable.is_empty() {
                let mut tell = |step: &str| (say.borrow_mut())(step);
                self.leave_out(item.name.as_str(), &unusable, &mut tell)?;
            }
            if !pca.has(instance) || !item.kind.has_status() {
                continue;
            }
            let Err(error) = machine.act(item, Action::Pca) else {
                instance.actions.push("pca");
                continue;
            };
            let mut fault = with_causes(&error);
            if let Some(remedy) = &instance.wanted.remedy {
                fault = format!("{fault}; try: {remedy}");
            }
            (say.borrow_mut())(&fault);
            failed.insert(instance.wanted.name(), fault);
            instance.actions.push("pca(failed)");
            // One that was in use before may only be out of reach.
            if item.kind == Kind::Source && instance.present.is_none() {
                unusable.insert(item.name.clone());
            }
        }
        Ok(failed)
    }

    /// A pocket that no archive has is not built with.
    fn leave_out(
        &self,
        codename: &str,
        unusable: &BTreeSet<String>,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let item = crate::model::Reference::new(Kind::Distribution, codename);
        self.lifecycle.store.write(|tx| {
            let Some((mut fields, _)) = inspection::present(tx, &item)? else {
                return Ok(());
            };
            if let Some(extra) = fields["extra_sources"].as_array_mut() {
                extra.retain(|extra| {
                    let source = extra["source"].as_str().unwrap_or_default();
                    let is_usable = !unusable.contains(source);
                    if !is_usable {
                        say(&format!("{item} does without {source}"));
                    }
                    is_usable
                });
            }
            edit::put(tx, Kind::Distribution, fields)?;
            Ok(())
        })
    }
}

fn write(
    tx: &crate::store::Transaction<'_>,
    instance: &mut Instance,
    update: &Selection,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let Ok(item) = instance.wanted.item.clone() else {
        return Ok(());
    };
    if !update.has(instance) || !instance.differs() {
        return Ok(());
    }
    let action = if instance.present.is_some() {
        "updated"
    } else {
        "created"
    };
    edit::put(tx, item.kind, instance.target())?;
    say(&format!("{item} is {action}"));
    instance.actions.push(action);
    Ok(())
}

fn present(catalog: &Catalog) -> Site {
    let is_base = |source: &Source| {
        use crate::model::Item as _;
        let name = source.name();
        let mut distributions = catalog.distributions.values();
        let mut chroots = catalog.chroots.values();
        distributions.any(|(distribution, _)| distribution.base_source == name)
            || chroots.any(|(chroot, _)| chroot.source == name)
    };
    site::Site::of_catalog(catalog, is_base)
}
