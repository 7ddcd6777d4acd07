//! What a refused message says of itself: good enough to tell people which one it was, and for nothing else.
use jiff::Timestamp;
use serde_json::Value;

use crate::deb::{Architecture, FileName, Paragraph};
use crate::events::record;
use crate::model::{BuildKey, Event, EventType, PackageKey, Timecode};
use crate::pgp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Under the time of arrival, so that it is nobody else's.
    pub key: BuildKey,
    pub distribution: String,
    /// Those with valid names.
    pub files: Vec<FileName>,
    people: Paragraph,
}

/// Reads what can be read; the file's name helps out, then placeholders do.
pub fn of(content: &[u8], changes: &FileName, arrival: &Timecode) -> Claim {
    let paragraph = pgp::unauthenticated_text(content)
        .ok()
        .and_then(|text| text.parse::<Paragraph>().ok())
        .unwrap_or_default();
    let mut name = changes.as_str().split('_');
    let source = word(paragraph.get("Source"))
        .or_else(|| word(name.next()))
        .unwrap_or_else(|| valid("unknown"));
    let version = word(paragraph.get("Version"))
        .or_else(|| word(name.next()))
        .unwrap_or_else(|| valid("0"));
    let architecture: Architecture =
        word(paragraph.get("Architecture")).unwrap_or_else(|| valid("source"));
    let package = PackageKey {
        source,
        version,
        timecode: arrival.clone(),
    };
    let distribution: Option<FileName> = word(paragraph.get("Distribution"));
    Claim {
        key: package.build(architecture.as_str()),
        distribution: distribution.map_or_else(|| "unknown".into(), |word| word.to_string()),
        files: listed(&paragraph),
        people: people(&paragraph),
    }
}

impl Claim {
    /// The event that tells of the refusal; nothing in it is verified, and it says so.
    pub fn rejected(&self, reason: &str, now: Timestamp) -> Event {
        let mut extra = record::message(&self.key, None, &self.people);
        extra.insert("unverified".into(), Value::Bool(true));
        let extra = record::with_error(extra, 400, reason);
        Event::new(
            EventType::Rejected,
            &self.distribution,
            &self.key,
            now,
            extra,
        )
    }
}

fn word<T: std::str::FromStr>(text: Option<&str>) -> Option<T> {
    text?.trim().parse().ok()
}

fn valid<T: std::str::FromStr<Err = crate::deb::Error>>(placeholder: &str) -> T {
    placeholder.parse().expect("placeholders are valid words")
}

fn listed(paragraph: &Paragraph) -> Vec<FileName> {
    let lines = paragraph.get("Files").unwrap_or_default().lines();
    lines
        .filter_map(|line| word(line.split_whitespace().last()))
        .collect()
}

/// Who is to be told; other fields of an unverified text go nowhere.
fn people(paragraph: &Paragraph) -> Paragraph {
    let mut people = Paragraph::default();
    for field in ["Maintainer", "Changed-By"] {
        if let Some(value) = paragraph.get(field) {
            people.set(field, value);
        }
    }
    people
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(content: &str, name: &str) -> Claim {
        let arrival = "20261122:054816:970087".parse().unwrap();
        of(content.as_bytes(), &name.parse().unwrap(), &arrival)
    }

    #[test]
    fn readable_text_names_the_upload() {
        let text = "Source: badver\nVersion: 1.0\nArchitecture: source\nDistribution: trixie-test-unstable\n\
            Maintainer: Upl <upl@buildd.test>\nX-Mini-Buildd-Error: forged\n";
        let claim = claim(text, "x_1_source.changes");
        assert_eq!(
            claim.key.to_string(),
            "badver/1.0/20261122:054816:970087/source"
        );
        let event = claim.rejected("why", Timestamp::UNIX_EPOCH);
        assert_eq!(event.extra["maintainer"], "Upl <upl@buildd.test>");
        assert_eq!(event.extra["unverified"], true);
        assert_eq!(event.extra["changes"], Value::Null);
        assert_eq!(event.extra["error"]["detail"], "why");
    }

    #[test]
    fn hostile_words_are_not_used() {
        let text = "Source: ../../etc\nVersion: /1\nArchitecture: ..\nDistribution: a/b\nFiles:\n 0 0 a b ../x\n";
        let claim = claim(text, "hello_1.0_source.changes");
        assert_eq!(
            claim.key.to_string(),
            "hello/1.0/20261122:054816:970087/source"
        );
        assert_eq!(claim.distribution, "unknown");
        assert!(claim.files.is_empty());
    }

    #[test]
    fn garbage_gets_placeholders() {
        let claim = claim("\u{0}", "..changes".trim_start_matches('.'));
        assert!(claim.key.to_string().ends_with("/source"));
    }
}
