//! What events tell about messages.
use serde_json::{Map, Value};

use crate::deb::{FileName, Paragraph};
use crate::model::BuildKey;
use crate::model::event::{extra, problem};

/// Keys, the .changes if it lies below var/events, the fields of one message.
pub fn message(
    key: &BuildKey,
    changes: Option<&FileName>,
    paragraph: &Paragraph,
) -> Map<String, Value> {
    let path = changes.map(|changes| format!("{key}/{changes}"));
    extra(key, path.as_deref(), Some(paragraph))
}

/// Adds why something failed (RFC 7807).
pub fn with_error(mut extra: Map<String, Value>, status: u16, detail: &str) -> Map<String, Value> {
    extra.insert("error".into(), problem(status, detail));
    extra
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
