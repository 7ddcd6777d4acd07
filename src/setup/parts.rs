//! What stock keeps beside what it is part of, so that its clients find it: components, architectures, pockets.
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::deb::{Architecture, Codename, Component};
use crate::lifecycle::edit;
use crate::model::{Distribution, Item as _, Kind, Reference, Source};

use super::wanted::{Wanted, described, repr};

/// Something that stock keeps beside what it is part of.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Component(Codename, Component),
    Architecture(Codename, Architecture),
    PrioritySource(Codename, String),
}

/// Adds what stock keeps beside distributions, and leaves out pockets that they don't have.
pub(super) fn taken_apart(mut wanted: Vec<Wanted>) -> Vec<Wanted> {
    let mut sources = BTreeMap::new();
    let mut distributions: Vec<Distribution> = Vec::new();
    for wanted in &wanted {
        match &wanted.item {
            Ok(item) if item.kind == Kind::Source => {
                if let Ok(source) = edit::parse::<Source>(item.kind, wanted.fields.clone()) {
                    sources.insert(item.name.clone(), source);
                }
            }
            Ok(item) if item.kind == Kind::Distribution => {
                distributions.extend(edit::parse(item.kind, wanted.fields.clone()));
            }
            Ok(_) | Err(_) => {}
        }
    }
    for distribution in &distributions {
        let used = distribution.references();
        let is_left_out = |wanted: &Wanted| {
            let Ok(item) = &wanted.item else {
                return false;
            };
            let source = sources.get(&item.name);
            item.kind == Kind::Source
                && !used.contains(item)
                && source.is_some_and(|source| source.codename == distribution.codename)
        };
        wanted.retain(|wanted| !is_left_out(wanted));
        let name = Ok(Reference::new(Kind::Distribution, distribution.name()));
        let place = wanted.iter().position(|wanted| wanted.item == name);
        let parts = parts(distribution, &sources);
        let place = place.unwrap_or(wanted.len());
        wanted.splice(place..place, parts);
    }
    wanted
}

/// What stock keeps beside a distribution.
fn parts(distribution: &Distribution, sources: &BTreeMap<String, Source>) -> Vec<Wanted> {
    let codename = || distribution.codename.clone();
    let extra = distribution.extra_sources.iter().map(|extra| {
        let source = sources.get(&extra.source);
        let source = source.map_or_else(|| extra.source.clone(), described);
        let identifiers = vec![("source", source), ("priority", extra.priority.to_string())];
        let part = Part::PrioritySource(codename(), extra.source.clone());
        ("PrioritySource", identifiers, part)
    });
    let components = distribution.components.iter().map(|component| {
        let part = Part::Component(codename(), component.clone());
        ("Component", vec![("name", repr(component.as_str()))], part)
    });
    let architectures = distribution.architectures.iter().map(|option| {
        let name = repr(option.architecture.as_str());
        let part = Part::Architecture(codename(), option.architecture.clone());
        ("Architecture", vec![("name", name)], part)
    });
    let parts = extra.chain(components).chain(architectures);
    parts
        .map(|(class, identifiers, part)| Wanted {
            class,
            identifiers,
            item: Err(part),
            decided: Map::new(),
            fields: Value::Null,
            remedy: None,
        })
        .collect()
}
