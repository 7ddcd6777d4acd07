//! The items that a site means, in stock's order, each with the fields that the site decides and with all its fields.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::deb::{Architecture, Codename};
use crate::lifecycle::edit;
use crate::model::distribution::{ArchitectureOption, PrioritySource};
use crate::model::source::codeversion;
use crate::model::{
    AptKey, Archive, Chroot, Distribution, Item, Kind, Layout, Reference, Remote, Repository,
    SignedBy, Source,
};

use super::backend_name::BackendName;
use super::distributions::{Database, Extra, Profile};
use super::host::HostFacts;
use super::parts::{self, Part};
use super::site::Site;
use super::{Error, Wishes, items};

/// Where stock's FTP server is.
const FTP_ENDPOINT: &str = "tcp6:port=8067";

/// One item that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// As stock calls it.
    pub class: &'static str,
    /// What tells it from others of its class, with the values as stock writes them.
    pub identifiers: Vec<(&'static str, String)>,
    /// `None`: a part of other items, of which this one has it.
    pub item: Result<Reference, Part>,
    /// What the site decides.
    pub decided: Map<String, Value>,
    /// All fields, as a new one has them.
    pub fields: Value,
    /// What to type where it can't be had.
    pub remedy: Option<String>,
}

/// Makes the list of a site's items.
pub fn wanted(site: &Site, facts: &HostFacts, database: &Database) -> Result<Vec<Wanted>, Error> {
    let mut list = List::default();
    list.daemon(site, facts);
    for url in &site.archives {
        let archive = Archive::new(url.clone());
        list.add("Archive", vec![("url", repr(url))], &archive, &["url"]);
    }
    let mut profiles = BTreeMap::new();
    for codename in &site.sources {
        let profile = profile(codename, facts, database)?;
        list.sources(codename, &profile);
        profiles.insert(codename, profile);
    }
    for (codename, architectures) in &site.distributions {
        if let Some(profile) = profiles.get(codename) {
            list.distribution(codename, profile, architectures, facts);
        }
    }
    list.repositories(site);
    for (codename, architectures) in &site.chroots {
        if let Some(profile) = profiles.get(codename) {
            list.chroots(codename, profile, architectures, site.chroots_backend);
        }
    }
    for url in &site.remotes {
        let remote = Remote::new(url);
        let name = vec![("http", repr(&remote.url))];
        list.add("Remote", name, &remote, &["url"]);
    }
    list.overlay(site)?;
    Ok(parts::taken_apart(list.wanted))
}

fn profile(codename: &Codename, facts: &HostFacts, database: &Database) -> Result<Profile, Error> {
    let distributor = database.distributor_of(codename, &facts.origin);
    let distributor = distributor.ok_or_else(|| Error::Option {
        option: "sources",
        given: codename.to_string(),
        fault: "is a codename that nobody knows".into(),
    })?;
    let profile = database.profile(distributor, codename);
    match profile.broken {
        Some(fault) => Err(Error::Option {
            option: "sources",
            given: codename.to_string(),
            fault: format!("can't be built for: {fault}"),
        }),
        None => Ok(profile),
    }
}

/// As Python writes a text.
pub(super) fn repr(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[derive(Default)]
struct List {
    wanted: Vec<Wanted>,
}

impl List {
    fn add<T: Item>(
        &mut self,
        class: &'static str,
        identifiers: Vec<(&'static str, String)>,
        item: &T,
        decided: &[&str],
    ) {
        let fields = edit::fields(item);
        let decided = decided
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), fields.get(*name)?.clone())));
        let kind: Kind = T::KIND.parse().expect("only kinds of items are added");
        let wanted = Wanted {
            class,
            identifiers,
            item: Ok(Reference::new(kind, item.name())),
            decided: decided.collect(),
            fields,
            remedy: None,
        };
        if self.wanted.iter().all(|other| other.item != wanted.item) {
            self.wanted.push(wanted);
        }
    }

    fn daemon(&mut self, site: &Site, facts: &HostFacts) {
        let ftp_endpoint = site.ftp_endpoint.clone();
        let default = || FTP_ENDPOINT.parse().expect("a test reads it");
        let daemon = items::daemon(
            facts,
            &Wishes {
                identity: site.identity.clone(),
                ftp_endpoint: ftp_endpoint.unwrap_or_else(default),
                max_parallel_builds: None,
                uploaders: Vec::new(),
            },
        );
        let mut decided = Vec::new();
        if site.identity.is_some() {
            decided.push("identity");
        }
        if site.ftp_endpoint.is_some() {
            decided.push("ftp_endpoint");
        }
        self.add("Daemon", Vec::new(), &daemon, &decided);
    }

    /// Keys, base source, and its pockets.
    fn sources(&mut self, codename: &Codename, profile: &Profile) {
        for name in &profile.keyrings {
            let key = AptKey::new(name.as_str());
            self.add("AptKey", vec![("key_id", repr(name))], &key, &["key_id"]);
            if let Some(last) = self.wanted.last_mut() {
                last.remedy = Some(format!("apt install {}", profile.keyring_package));
            }
        }
        let extra = profile.extra.iter();
        for source in std::iter::once(base(codename, profile))
            .chain(extra.map(|extra| pocket(codename, profile, extra)))
        {
            let identifiers = vec![
                ("origin", repr(&source.origin)),
                ("codename", repr(&source.suite)),
            ];
            let decided = [
                "origin",
                "codename",
                "suite",
                "apt_keys",
                "extra_identifiers",
                "check_valid_until",
                "remove_from_component",
            ];
            self.add("Source", identifiers, &source, &decided);
        }
    }

    fn distribution(
        &mut self,
        codename: &Codename,
        profile: &Profile,
        architectures: &[Architecture],
        facts: &HostFacts,
    ) {
        let base = base(codename, profile);
        let extra: Vec<PrioritySource> = profile
            .extra
            .iter()
            .map(|extra| PrioritySource {
                source: pocket(codename, profile, extra).name(),
                priority: extra.priority,
            })
            .collect();
        let is_optional =
            |architecture: &Architecture| profile.optional_architectures.contains(architecture);
        // The machine's own, if it may; else the first.
        let mut mandatory = architectures.iter().filter(|one| !is_optional(one));
        let builds_all = mandatory
            .clone()
            .find(|one| **one == facts.architecture)
            .or_else(|| mandatory.next());
        let architectures = architectures.iter().map(|architecture| ArchitectureOption {
            architecture: architecture.clone(),
            optional: is_optional(architecture),
            build_architecture_all: Some(architecture) == builds_all,
        });
        let mut distribution = Distribution::new(
            codename.clone(),
            base.name(),
            profile.components.clone(),
            architectures.collect(),
        );
        distribution.extra_sources = extra;
        let mut decided = vec![
            "base_source",
            "extra_sources",
            "components",
            "architectures",
        ];
        if !profile.deb_build_options.is_empty() {
            distribution
                .deb_build_options
                .clone_from(&profile.deb_build_options);
            decided.push("deb_build_options");
        }
        if let Some(blocks) = &profile.setup_blocks {
            distribution.sbuild_setup_blocks.clone_from(blocks);
            decided.push("sbuild_setup_blocks");
        }
        if let Some(resolver) = &profile.resolver {
            distribution.build_dep_resolver.clone_from(resolver);
            decided.push("build_dep_resolver");
        }
        let identifiers = vec![("base_source", described(&base))];
        self.add("Distribution", identifiers, &distribution, &decided);
    }

    fn repositories(&mut self, site: &Site) {
        for (identity, wanted) in &site.repositories {
            let presets = Layout::presets().into_iter();
            if let Some(layout) = presets
                .into_iter()
                .find(|preset| preset.name == wanted.layout)
            {
                self.add(
                    "Layout",
                    vec![("name", repr(&layout.name))],
                    &layout,
                    &["name"],
                );
            }
            let repository = Repository::new(
                identity.clone(),
                wanted.layout.clone(),
                wanted.dists.clone(),
            );
            let identifiers = vec![("identity", repr(identity.as_str()))];
            let decided = ["identity", "layout", "distributions"];
            self.add("Repository", identifiers, &repository, &decided);
        }
    }

    fn chroots(
        &mut self,
        codename: &Codename,
        profile: &Profile,
        architectures: &[Architecture],
        backend: BackendName,
    ) {
        let base = base(codename, profile);
        for architecture in architectures {
            let chroot = Chroot {
                codename: codename.clone(),
                architecture: architecture.clone(),
                source: base.name(),
                backend: backend.into(),
                debootstrap_extra_options: profile.debootstrap_options.clone(),
            };
            let architecture = format!("<Architecture: Architecture '{architecture}'>");
            let identifiers = vec![("source", described(&base)), ("architecture", architecture)];
            let mut decided = vec!["codename", "architecture", "source"];
            if !profile.debootstrap_options.is_empty() {
                decided.push("debootstrap_extra_options");
            }
            self.add(backend.class(), identifiers, &chroot, &decided);
        }
    }

    /// Fields that the site gives itself; items that nothing else makes.
    fn overlay(&mut self, site: &Site) -> Result<(), Error> {
        for kind in Kind::ALL {
            for (name, given) in site.items.get(&kind).into_iter().flatten() {
                let item = Reference::new(kind, name);
                let found = self.wanted.iter_mut();
                let mut found = found.filter(|wanted| wanted.item.as_ref() == Ok(&item));
                let wrong = |fault: String| Error::Option {
                    option: "items",
                    given: item.to_string(),
                    fault,
                };
                if let Some(wanted) = found.next() {
                    for (field, value) in given {
                        wanted.fields[field] = value.clone();
                        wanted.decided.insert(field.clone(), value.clone());
                    }
                    let named = edit::names(kind, &wanted.fields);
                    let (named, _) = named.map_err(|error| wrong(error.to_string()))?;
                    if named != item {
                        return Err(wrong(format!("its fields name {named}")));
                    }
                    continue;
                }
                let fields = Value::Object(given.clone());
                let named = edit::names(kind, &fields);
                let (named, _) = named.map_err(|error| wrong(error.to_string()))?;
                if named != item {
                    return Err(wrong(format!("its fields name {named}")));
                }
                let wanted = Wanted {
                    class: class(kind),
                    identifiers: vec![("name", repr(name))],
                    item: Ok(item),
                    decided: given.clone(),
                    fields,
                    remedy: None,
                };
                // Before what may name it.
                let place = |wanted: &Wanted| matches!(&wanted.item, Ok(other) if other.kind > kind && other.kind != Kind::Daemon);
                let place = self.wanted.iter().position(place);
                let place = place.unwrap_or(self.wanted.len());
                self.wanted.insert(place, wanted);
            }
        }
        Ok(())
    }
}

fn base(codename: &Codename, profile: &Profile) -> Source {
    source(codename, profile, codename.as_str(), &profile.origin)
}

fn pocket(codename: &Codename, profile: &Profile, extra: &Extra) -> Source {
    let origin = extra.origin.as_ref().unwrap_or(&profile.origin);
    Source {
        extra_identifiers: extra.identifiers.clone(),
        remove_from_component: extra.remove_from_component.clone(),
        ..source(codename, profile, &extra.suite, origin)
    }
}

fn source(codename: &Codename, profile: &Profile, suite: &str, origin: &str) -> Source {
    let keys = profile.keyrings.iter().cloned().map(SignedBy::Key);
    Source {
        origin: origin.to_owned(),
        codename: codename.clone(),
        suite: suite.to_owned(),
        archives: Vec::new(),
        components: Vec::new(),
        architectures: Vec::new(),
        apt_keys: keys.collect(),
        check_valid_until: profile.check_valid_until,
        codeversion: codeversion(
            &profile.origin,
            codename.as_str(),
            profile.version.as_deref(),
        ),
        codeversion_override: String::new(),
        extra_identifiers: BTreeMap::new(),
        remove_from_component: String::new(),
        description: String::new(),
    }
}

/// As stock writes a source within another item.
pub(super) fn described(source: &Source) -> String {
    format!(
        "<Source: Source '{} {}' ({})>",
        source.origin, source.suite, source.codeversion
    )
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Archive => "Archive",
        Kind::AptKey => "AptKey",
        Kind::Source => "Source",
        Kind::Distribution => "Distribution",
        Kind::Layout => "Layout",
        Kind::EmailAddress => "EmailAddress",
        Kind::Repository => "Repository",
        Kind::Chroot => "DirChroot",
        Kind::Uploader => "Uploader",
        Kind::Remote => "Remote",
        Kind::Daemon => "Daemon",
    }
}

impl Wanted {
    /// The JSON that stock makes its hash of.
    pub fn identity(&self) -> Value {
        let identifiers = self.identifiers.iter();
        let identifiers: Map<String, Value> = identifiers
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect();
        json!({
            "class": format!("<class 'mini_buildd.models.{}'>", self.class),
            "identifiers": identifiers,
        })
    }

    /// `Source({'origin': 'Debian', 'codename': 'trixie'})`
    pub fn name(&self) -> String {
        let identifiers = self.identifiers.iter();
        let identifiers: Vec<String> = identifiers
            .map(|(name, value)| format!("'{name}': {value}"))
            .collect();
        format!("{}({{{}}})", self.class, identifiers.join(", "))
    }
}
