//! Events made of messages, in stock's shape: the order of the keys in `extra` is stock's, too.
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::deb::{FileName, Paragraph};
use crate::model::event::{extra_of, problem};
use crate::model::{BuildKey, Event, EventType};

/// What `extra` tells about one message: keys, its .changes if that lies below var/events, its fields.
pub fn message(
    key: &BuildKey,
    changes: Option<&FileName>,
    paragraph: &Paragraph,
) -> Map<String, Value> {
    let package = &key.package;
    let mut extra = Map::new();
    extra.insert("timecode".into(), package.timecode.as_str().into());
    extra.insert("key".into(), package.to_string().into());
    extra.insert("bkey".into(), key.to_string().into());
    let changes = changes.map(|changes| format!("{key}/{changes}"));
    extra.insert("changes".into(), changes.into());
    extra.insert("architecture".into(), key.architecture.as_str().into());
    for (name, value) in extra_of(paragraph) {
        if name != "timecode" {
            extra.insert(name, value);
        }
    }
    extra
}

/// Adds why something failed (RFC 7807).
pub fn with_error(
    mut extra: Map<String, Value>,
    status: u16,
    detail: &str,
) -> Map<String, Value> {
    extra.insert("error".into(), problem(status, detail));
    extra
}

pub fn event(
    kind: EventType,
    distribution: &str,
    key: &BuildKey,
    now: Timestamp,
    extra: Map<String, Value>,
) -> Event {
    Event {
        kind,
        distribution: distribution.into(),
        source: key.package.source.to_string(),
        version: key.package.version.to_string(),
        timestamp: now,
        extra,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_upload_has_the_keys_of_stock_in_order() {
        let key: BuildKey = "badver/1.0/20261122:054816:970087/source".parse().unwrap();
        let paragraph: Paragraph = "Source: badver\nArchitecture: source\nVersion: 1.0\n\
            Maintainer: Upl <upl@buildd.test>\nChanged-By: Upl <upl@buildd.test>\n"
            .parse()
            .unwrap();
        let changes: FileName = "badver_1.0_source.changes".parse().unwrap();
        let extra = with_error(message(&key, Some(&changes), &paragraph), 400, "no");
        let names: Vec<&String> = extra.keys().collect();
        assert_eq!(
            names,
            [
                "timecode",
                "key",
                "bkey",
                "changes",
                "architecture",
                "maintainer",
                "changed_by",
                "error"
            ]
        );
        assert_eq!(
            extra["changes"],
            "badver/1.0/20261122:054816:970087/source/badver_1.0_source.changes"
        );
    }
}
