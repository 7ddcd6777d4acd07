//! How what is wanted differs from what is there, in the JSON that stock's clients know.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::deb::{Codename, hexadecimal};
use crate::lifecycle::{self, edit};
use crate::model::{AptKey, Check, Kind, Reference, SignedBy, Status};
use crate::store::Transaction;
use crate::store::catalog::Catalog;

use super::parts::Part;
use super::wanted::Wanted;

/// Fields that are found out, not decided.
pub fn is_found_out(kind: Kind, field: &str) -> bool {
    match kind {
        Kind::Archive => field == "ping",
        Kind::AptKey => field == "found",
        Kind::Source => [
            "archives",
            "components",
            "architectures",
            "description",
            "codeversion",
        ]
        .contains(&field),
        Kind::Remote => field == "key",
        _ => false,
    }
}

/// One item that is wanted, beside what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub wanted: Wanted,
    /// Fields and status; none: it is missing.
    pub present: Option<(Value, Status)>,
    /// What was done to it.
    pub actions: Vec<&'static str>,
}

/// Stock's words for what an item is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Missing,
    Exists,
    Active,
    Changed,
    Failed,
    Deactivated,
}

impl State {
    const ALL: [State; 6] = [
        State::Missing,
        State::Exists,
        State::Active,
        State::Changed,
        State::Failed,
        State::Deactivated,
    ];

    fn as_str(self) -> &'static str {
        match self {
            State::Missing => "MISSING",
            State::Exists => "EXISTS",
            State::Active => "ACTIVE",
            State::Changed => "CHANGED",
            State::Failed => "FAILED",
            State::Deactivated => "DEACTIVATED",
        }
    }

    fn severity(self) -> u8 {
        match self {
            State::Exists | State::Active => 0,
            State::Deactivated => 1,
            State::Missing | State::Changed => 2,
            State::Failed => 3,
        }
    }
}

/// Looks up what is wanted.
pub fn inspect(
    tx: &Transaction<'_>,
    wanted: Vec<Wanted>,
) -> Result<Vec<Instance>, lifecycle::Error> {
    let catalog = Catalog::load(tx)?;
    wanted
        .into_iter()
        .map(|wanted| {
            let present = match &wanted.item {
                Ok(item) => present(tx, item)?,
                Err(part) => has(&catalog, part).then(|| (Value::Null, Status::Removed)),
            };
            Ok(Instance {
                wanted,
                present,
                actions: Vec::new(),
            })
        })
        .collect()
}

/// An item, if it is there.
pub fn present(
    tx: &Transaction<'_>,
    item: &Reference,
) -> Result<Option<(Value, Status)>, lifecycle::Error> {
    match edit::show(tx, item) {
        Ok(found) => Ok(Some(found)),
        Err(lifecycle::Error::Unknown { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn has(catalog: &Catalog, part: &Part) -> bool {
    let distribution = |codename: &Codename| catalog.distribution(codename);
    match part {
        Part::Component(codename, component) => {
            distribution(codename).is_some_and(|found| found.components.contains(component))
        }
        Part::Architecture(codename, architecture) => distribution(codename).is_some_and(|found| {
            let mut options = found.architectures.iter();
            options.any(|option| option.architecture == *architecture)
        }),
        Part::PrioritySource(codename, source) => distribution(codename).is_some_and(|found| {
            let mut extra = found.extra_sources.iter();
            extra.any(|extra| extra.source == *source)
        }),
    }
}

impl Instance {
    /// Stock's hash of what tells it from others.
    pub fn hash(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let sorted: BTreeMap<_, _> = self.wanted.identifiers.iter().cloned().collect();
        let identifiers: Vec<String> = sorted
            .iter()
            .map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)))
            .collect();
        let class = format!("<class 'mini_buildd.models.{}'>", self.wanted.class);
        let text = format!(
            "{{\"class\": {}, \"identifiers\": {{{}}}}}",
            quoted(&class),
            identifiers.join(", ")
        );
        let digest = Sha256::digest(text.as_bytes());
        hexadecimal(&digest)
    }

    /// What an update would write: the present fields with those that the site decides.
    pub fn target(&self) -> Value {
        let Some((present, _)) = &self.present else {
            return self.wanted.fields.clone();
        };
        let mut target = present.clone();
        for (field, value) in &self.wanted.decided {
            if !is_same(&present[field], value) {
                target[field] = value.clone();
            }
        }
        target
    }

    /// Tells whether an update would change anything.
    pub fn differs(&self) -> bool {
        match &self.present {
            None => true,
            Some((present, _)) => self.target() != *present,
        }
    }

    fn state(&self) -> State {
        match &self.present {
            None => State::Missing,
            Some((_, status)) => match (&self.wanted.item, status) {
                (Err(_), _) => State::Exists,
                (Ok(item), _) if !item.kind.has_status() => State::Exists,
                (_, Status::Active { .. }) => State::Active,
                (_, Status::Prepared(Check::Changed)) => State::Changed,
                (_, Status::Prepared(Check::Failed | Check::FailedReactivate)) => State::Failed,
                (_, Status::Removed | Status::Prepared(_)) => State::Deactivated,
            },
        }
    }

    /// Differences in what the site decides, and in what else differs from a new one.
    fn differences(&self) -> [(Vec<String>, Map<String, Value>); 2] {
        let mut setup = (Vec::new(), Map::new());
        let mut model = (Vec::new(), Map::new());
        let Ok(item) = &self.wanted.item else {
            return [setup, model];
        };
        let fields = self.wanted.fields.as_object().into_iter().flatten();
        for (field, target) in fields {
            let is_decided = self.wanted.decided.contains_key(field);
            if !is_decided && is_found_out(item.kind, field) {
                continue;
            }
            let (names, differences) = if is_decided { &mut setup } else { &mut model };
            names.push(field.clone());
            let Some((present, _)) = &self.present else {
                continue;
            };
            // What a new one has empty, somebody may have filled on purpose.
            let is_filled = !is_decided && is_empty(target);
            if !is_same(&present[field], target) && !is_filled {
                differences.insert(field.clone(), difference(&present[field], target));
            }
        }
        [setup, model]
    }

    pub fn to_json(&self) -> Value {
        let [setup, model] = self.differences();
        let state = self.state();
        let name = match &self.wanted.item {
            Ok(item) if item.kind == Kind::Daemon => "1".to_owned(),
            Ok(item) => item.name.clone(),
            Err(Part::Component(_, name)) => name.to_string(),
            Err(Part::Architecture(_, name)) => name.to_string(),
            Err(Part::PrioritySource(_, name)) => name.clone(),
        };
        json!({
            "identity": self.wanted.identity(),
            "identity_hash": self.hash(),
            "identity_str": self.wanted.name(),
            "diff": {
                "setup": {"fields": setup.0, "diff": setup.1},
                "model": {"fields": model.0, "diff": model.1},
            },
            "status": state.as_str(),
            "actions": self.actions,
            "status_severity": state.severity(),
            "change_instance_url": format!("admin:mini_buildd_{}_change", self.wanted.class.to_lowercase()),
            "change_instance_pk": name,
        })
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Lists have no order.
pub fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_array(), b.as_array()) {
        (Some(a), Some(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|one| b.iter().any(|other| is_same_key(one, other)))
        }
        _ => without_nulls(a) == without_nulls(b),
    }
}

/// Without fields that have no value: TOML has no null.
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .filter(|(_, value)| !value.is_null())
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// A keyring file is the same whether an item stands between or not.
fn is_same_key(a: &Value, b: &Value) -> bool {
    let file = |value: &Value| {
        let key: SignedBy = serde_json::from_value(value.clone()).ok()?;
        match key {
            SignedBy::KeyringFile(path) => Some(path),
            SignedBy::Key(name) => AptKey::new(name).keyring_file(),
            SignedBy::Armored(_) => None,
        }
    };
    without_nulls(a) == without_nulls(b) || file(a).is_some_and(|a| Some(a) == file(b))
}

fn difference(present: &Value, target: &Value) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let (Some(present), Some(target)) = (present.as_array(), target.as_array()) {
        let beyond = |of: &[Value], other: &[Value]| -> Vec<String> {
            let beyond = of.iter();
            beyond
                .filter(|one| !other.iter().any(|other| is_same_key(one, other)))
                .map(text)
                .collect()
        };
        return json!({"missing": beyond(target, present), "unknown": beyond(present, target)});
    }
    json!({"current": text(present), "target": text(target)})
}

/// Counts that tell at a glance whether something is to be done.
pub fn report(instances: &[Instance]) -> Value {
    let mut report = Map::new();
    let mut add = |title: &str, severity: u8, quantity: usize, search: &str| {
        let severity = if quantity > 0 { severity } else { 0 };
        report.insert(
            title.into(),
            json!({"severity": severity, "quantity": quantity, "search": search}),
        );
    };
    let differ = |at: usize| {
        let instances = instances.iter();
        instances
            .filter(|instance| !instance.differences()[at].1.is_empty())
            .count()
    };
    add("Total instances traversed", 0, instances.len(), "");
    add("Differences from setup", 2, differ(0), "\"setup diff\"");
    add(
        "Differences from model defaults",
        1,
        differ(1),
        "\"model diff\"",
    );
    for state in State::ALL {
        if matches!(state, State::Exists | State::Active) {
            continue;
        }
        let name = state.as_str();
        let title = format!("{}{} instances", &name[..1], name[1..].to_lowercase());
        let of_state = instances
            .iter()
            .filter(|instance| instance.state() == state);
        add(&title, state.severity(), of_state.count(), name);
    }
    report.into()
}

/// What a person is told: a line for each item that is not as wanted.
pub fn summary(instances: &[Instance]) -> Vec<(String, String, String)> {
    let mut lines = Vec::new();
    for instance in instances {
        let state = instance.state();
        let [setup, _] = instance.differences();
        let differences = setup.1.iter().map(|(field, difference)| {
            let word = |name: &str| difference[name].as_str().map(str::to_owned);
            match (word("current"), word("target")) {
                (Some(current), Some(target)) => format!("{field}: {current:?} → {target:?}"),
                _ => format!("{field}: {}", lists(difference)),
            }
        });
        let differences: Vec<String> = differences.collect();
        if state.severity() == 0 && differences.is_empty() && instance.actions.is_empty() {
            continue;
        }
        let did = instance.actions.join(", ");
        let what = match (state.severity() == 0, did.is_empty()) {
            (true, _) => did,
            (false, true) => state.as_str().to_lowercase(),
            (false, false) => format!("{} ({did})", state.as_str().to_lowercase()),
        };
        lines.push((instance.title(), what, differences.join("; ")));
    }
    lines
}

fn lists(difference: &Value) -> String {
    let list = |name: &str, sign: char| {
        let list = difference[name].as_array().into_iter().flatten();
        let list = list.filter_map(Value::as_str);
        list.map(move |one| format!("{sign}{one}"))
            .collect::<Vec<_>>()
    };
    let mut words = list("missing", '+');
    words.extend(list("unknown", '-'));
    words.join(" ")
}

impl Instance {
    /// What a person calls it.
    fn title(&self) -> String {
        match &self.wanted.item {
            Ok(item) => item.to_string(),
            Err(Part::Component(codename, name)) => format!("component {name} of {codename}"),
            Err(Part::Architecture(codename, name)) => format!("architecture {name} of {codename}"),
            Err(Part::PrioritySource(codename, name)) => format!("pocket {name} of {codename}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(class: &'static str, identifiers: &[(&'static str, &str)]) -> Instance {
        let identifiers = identifiers.iter();
        Instance {
            wanted: Wanted {
                class,
                identifiers: identifiers
                    .map(|(name, value)| (*name, (*value).to_owned()))
                    .collect(),
                item: Ok(Reference::new(Kind::Source, "Debian:trixie")),
                decided: Map::new(),
                fields: json!({"a": ["x", "y"], "b": 1, "c": ""}),
                remedy: None,
            },
            present: None,
            actions: Vec::new(),
        }
    }

    #[test]
    fn hashes_are_stocks() {
        let source = [("origin", "'Debian'"), ("codename", "'trixie'")];
        for (instance, hash) in [
            (
                instance("Daemon", &[]),
                "121dc1bb1d0aaff679ff76c3197b48c407aeae44f79eec4175bbffacadb6aa9e",
            ),
            (
                instance("AptKey", &[("key_id", "'73A4F27B8DD47936'")]),
                "77a77128b6337296eb0672e28477a2bec0a833acf00b30b1b6dbaa4908775548",
            ),
            (
                instance("Source", &source),
                "90ff4679197b033a1fd90dde16f9f6baf354152e0b310746ea34f6a77ef97f72",
            ),
        ] {
            assert_eq!(instance.hash(), hash);
        }
    }

    #[test]
    fn an_update_writes_what_the_site_decides_and_keeps_the_rest() {
        let mut instance = instance("Source", &[]);
        assert_eq!(instance.target(), instance.wanted.fields);
        let active = Status::Active {
            checked: jiff::Timestamp::UNIX_EPOCH,
        };
        let present = json!({"a": ["y", "x"], "b": 2, "c": "mine"});
        instance.present = Some((present.clone(), active));
        instance.wanted.decided = [("a".into(), json!(["x", "y"]))].into_iter().collect();
        assert!(!instance.differs(), "lists have no order");
        instance.wanted.decided.insert("b".into(), json!(1));
        assert_eq!(
            instance.target(),
            json!({"a": ["y", "x"], "b": 1, "c": "mine"})
        );
        let [setup, model] = instance.differences();
        assert_eq!(setup.1["b"], json!({"current": "2", "target": "1"}));
        assert!(model.1.is_empty(), "what is empty by default may be filled");
        instance
            .wanted
            .decided
            .insert("a".into(), json!(["x", "z"]));
        instance.wanted.fields["a"] = json!(["x", "z"]);
        let [setup, _] = instance.differences();
        assert_eq!(setup.1["a"], json!({"missing": ["z"], "unknown": ["y"]}));
    }
}
