use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::deb::Paragraph;
use crate::model::key::BuildKey;
use crate::model::message::{PREFIX, snake_case, strip_prefix};

/// What happened to a package: one JSON file below var/events, in stock's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Raw from the changes; meta names stay.
    pub distribution: String,
    pub source: String,
    pub version: String,
    /// ISO 8601 with microseconds and `+00:00`.
    #[serde(with = "timestamp")]
    pub timestamp: Timestamp,
    pub extra: Map<String, Value>,
}

/// The build of one architecture, as an event tells of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Build<'a> {
    pub architecture: &'a str,
    /// How it ended.
    pub status: Option<&'a str>,
    /// Path below [`Event::log_place`].
    pub log: &'a str,
}

impl<'a> Build<'a> {
    fn of(extra: &'a Map<String, Value>) -> Option<Build<'a>> {
        let word = |name| extra.get(name).and_then(Value::as_str);
        Some(Build {
            architecture: word("architecture")?,
            status: word("sbuild_status"),
            log: word("buildlog")?,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventType {
    Rejected,
    Building,
    Built,
    Packaging,
    Installed,
    Failed,
    Migrated,
    Removed,
}

impl EventType {
    pub const ALL: [EventType; 8] = [
        EventType::Rejected,
        EventType::Building,
        EventType::Built,
        EventType::Packaging,
        EventType::Installed,
        EventType::Failed,
        EventType::Migrated,
        EventType::Removed,
    ];
}

impl FromStr for EventType {
    type Err = String;
    fn from_str(text: &str) -> Result<EventType, String> {
        let found = EventType::ALL
            .into_iter()
            .find(|kind| kind.to_string() == text);
        found.ok_or_else(|| {
            let known = EventType::ALL.map(|kind| kind.to_string());
            format!("{text:?} is none of {}", known.join(", "))
        })
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            EventType::Rejected => "REJECTED",
            EventType::Building => "BUILDING",
            EventType::Built => "BUILT",
            EventType::Packaging => "PACKAGING",
            EventType::Installed => "INSTALLED",
            EventType::Failed => "FAILED",
            EventType::Migrated => "MIGRATED",
            EventType::Removed => "REMOVED",
        })
    }
}

impl EventType {
    fn is_of_a_build(self) -> bool {
        matches!(self, EventType::Building | EventType::Built)
    }
}

impl Event {
    /// What happened to the part `key` of an upload; `extra` as [`extra`] makes it.
    pub fn new(
        kind: EventType,
        distribution: &str,
        key: &BuildKey,
        timestamp: Timestamp,
        extra: Map<String, Value>,
    ) -> Event {
        Event {
            kind,
            distribution: distribution.to_owned(),
            source: key.package.source.to_string(),
            version: key.package.version.to_string(),
            timestamp,
            extra,
        }
    }

    /// Why something failed.
    pub fn reason(&self) -> Option<&str> {
        self.extra.get("error")?.get("detail")?.as_str()
    }

    /// Builds that it is about: its own, or those whose results decided.
    pub fn builds(&self) -> Vec<Build<'_>> {
        if self.kind.is_of_a_build() {
            return Build::of(&self.extra).into_iter().collect();
        }
        let results = self.extra.get("buildresults").and_then(Value::as_object);
        let results = results.into_iter().flat_map(Map::values);
        results
            .filter_map(|result| Build::of(result.as_object()?))
            .collect()
    }

    /// Path on the server that logs of its builds are below; who builds still has them, and they grow.
    pub fn log_place(&self) -> &'static str {
        if self.kind.is_of_a_build() {
            "/mini_buildd/builds-dir"
        } else {
            "/mini_buildd/events-dir"
        }
    }

    /// Name of its file: `BASE_TYPE[_ARCH].json`; the architecture only for BUILDING and BUILT.
    pub fn file_name(&self) -> String {
        let version = self.version.split_once(':');
        let version = version.map_or(self.version.as_str(), |(_, rest)| rest);
        let architecture = self.extra.get("architecture").and_then(Value::as_str);
        match architecture.filter(|_| self.kind.is_of_a_build()) {
            Some(architecture) => {
                format!(
                    "{}_{version}_{}_{architecture}.json",
                    self.source, self.kind
                )
            }
            None => format!("{}_{version}_{}.json", self.source, self.kind),
        }
    }
}

/// The extra of an event, in stock's order: keys, path of the .changes below the events, then its fields.
///
/// A field of an upload can't take the place of what we know ourselves.
pub fn extra(
    key: &BuildKey,
    changes: Option<&str>,
    paragraph: Option<&Paragraph>,
) -> Map<String, Value> {
    let known = json!({
        "timecode": key.package.timecode.as_str(),
        "key": key.package.to_string(),
        "bkey": key.to_string(),
        "changes": changes,
        "architecture": key.architecture,
    });
    let Value::Object(mut extra) = known else {
        unreachable!("the macro's braces make an object");
    };
    for (name, value) in paragraph.map(extra_of).unwrap_or_default() {
        extra.entry(name).or_insert(value);
    }
    extra
}

/// The fields that an event takes from a .changes paragraph: every `X-Mini-Buildd-…` field snake_cased, and
/// architecture, maintainer, changed_by.
pub fn extra_of(paragraph: &Paragraph) -> Map<String, Value> {
    let named = ["Architecture", "Maintainer", "Changed-By"]
        .into_iter()
        .filter_map(|name| Some((snake_case(name), paragraph.get(name)?)));
    let own = paragraph.fields().filter_map(|(name, value)| {
        let name = snake_case(strip_prefix(name, PREFIX)?);
        (!RESERVED.contains(&name.as_str())).then_some((name, value))
    });
    named
        .chain(own)
        .map(|(name, value)| (name, Value::from(value)))
        .collect()
}

/// What only we say about an upload.
const RESERVED: [&str; 9] = [
    "architecture",
    "maintainer",
    "changed_by",
    "changes",
    "key",
    "bkey",
    "error",
    "buildrequests",
    "buildresults",
];

/// The error object of events and of the API (RFC 7807), with stock's titles.
pub fn problem(status: u16, detail: &str) -> Value {
    json!({
        "type": "about:blank",
        "status": status,
        "title": title(status),
        "detail": detail,
        "instance": "about:blank",
    })
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad request syntax or unsupported method",
        401 => "No permission -- see authorization schemes",
        403 => "Request forbidden -- authorization will not help",
        404 => "Nothing matches the given URI",
        405 => "Specified method is invalid for this resource",
        409 => "Request conflict",
        413 => "Entity is too large",
        415 => "Entity body in unsupported format",
        429 => "The user has sent too many requests in a given amount of time (\"rate limiting\")",
        500 => "Server got itself in trouble",
        501 => "Server does not support this operation",
        503 => "The server cannot process the request due to a high load",
        _ => "",
    }
}

mod timestamp {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00"))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::buildresult::tests::buildresult;

    /// Stock's separators have a blank, which serde_json's have not.
    fn compact(stock: &str) -> String {
        let value: Value = serde_json::from_str(stock).unwrap();
        serde_json::to_string(&value).unwrap()
    }

    const REJECTED: &str = r#"{"type": "REJECTED", "distribution": "trixie-test-unstable", "source": "badver", "version": "1.0", "timestamp": "2026-11-22T05:48:16.994455+00:00", "extra": {"timecode": "20261122:054816:970087", "key": "badver/1.0/20261122:054816:970087", "bkey": "badver/1.0/20261122:054816:970087/source", "changes": "badver/1.0/20261122:054816:970087/source/badver_1.0_source.changes", "architecture": "source", "maintainer": "Upl <upl@buildd.test>", "changed_by": "Upl <upl@buildd.test>", "error": {"type": "about:blank", "status": 400, "title": "Bad request syntax or unsupported method", "detail": "Version restrictions failed for suite 'unstable': '~test13\\+[1-9]' not in '1.0'", "instance": "about:blank"}}}"#;
    const BUILT: &str = r#"{"type": "BUILT", "distribution": "trixie-test-unstable", "source": "mbd-test-cpp", "version": "2026~test13+1", "timestamp": "2026-11-22T05:54:10.558628+00:00", "extra": {"timecode": "20261122:054621:058520", "key": "mbd-test-cpp/2026~test13+1/20261122:054621:058520", "bkey": "mbd-test-cpp/2026~test13+1/20261122:054621:058520/amd64", "changes": "x/y.changes", "architecture": "amd64", "builder": "http://buildd.test:8066", "buildlog": "mbd-test-cpp/2026~test13+1/20261122:054621:058520/amd64/mbd-test-cpp_2026~test13+1_amd64.buildlog", "buildlog_installed": "http://buildd.test:8066/mini_buildd/events-dir/mbd-test-cpp/2026~test13+1/20261122:054621:058520/amd64/mbd-test-cpp_2026~test13+1_amd64.buildlog", "upload_to": "ftp://buildd.test:8067", "sbuild_autopkgtest": "no tests", "sbuild_build_space": "100", "sbuild_build_time": "3", "sbuild_lintian": "warn", "sbuild_package_time": "5", "sbuild_space": "100", "sbuild_status": "successful"}}"#;
    const MIGRATED: &str = r#"{"type": "MIGRATED", "distribution": "trixie-test-testing", "source": "ident-archive-keyring", "version": "2026~test13+1", "timestamp": "2026-11-22T05:53:10.195607+00:00", "extra": {"timecode": "20261122:055310:195474", "key": "ident-archive-keyring/2026~test13+1/20261122:055310:195474", "bkey": "ident-archive-keyring/2026~test13+1/20261122:055310:195474/source", "changes": null, "architecture": "source"}}"#;

    #[test]
    fn stocks_events_survive_a_round_trip() {
        for stock in [REJECTED, BUILT, MIGRATED] {
            let event: Event = serde_json::from_str(stock).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), compact(stock));
        }
    }

    #[test]
    fn events_are_made_in_stocks_order() {
        let result = buildresult();
        let extra = extra(
            &result.key(),
            Some("x/y.changes"),
            Some(&result.to_paragraph()),
        );
        let time = "2026-11-22T05:54:10.558628Z".parse().unwrap();
        let event = Event::new(
            EventType::Built,
            &result.subject.distribution,
            &result.key(),
            time,
            extra,
        );
        assert_eq!(serde_json::to_string(&event).unwrap(), compact(BUILT));
        assert_eq!(
            event.file_name(),
            "mbd-test-cpp_2026~test13+1_BUILT_amd64.json"
        );

        let stock: Event = serde_json::from_str(REJECTED).unwrap();
        let detail =
            r"Version restrictions failed for suite 'unstable': '~test13\+[1-9]' not in '1.0'";
        assert_eq!(stock.extra["error"], problem(400, detail));
        assert_eq!(stock.file_name(), "badver_1.0_REJECTED.json");

        let key: BuildKey = "ident-archive-keyring/2026~test13+1/20261122:055310:195474/source"
            .parse()
            .unwrap();
        let stock: Event = serde_json::from_str(MIGRATED).unwrap();
        assert_eq!(stock.extra, super::extra(&key, None, None));
    }

    #[test]
    fn an_upload_cannot_fake_what_we_say() {
        let key: BuildKey = "hello/1:1/20261122:055310:195474/source".parse().unwrap();
        let paragraph = "\
Architecture: i386
Changed-By: Upl <upl@buildd.test>
X-Mini-Buildd-Key: other
X-Mini-Buildd-Error: none
X-Mini-Buildd-Timecode: other
X-Mini-Buildd-Changed-By: other
X-Mini-Buildd-Originally-Changed-By: Orig <o@buildd.test>
";
        let extra = extra(&key, None, Some(&paragraph.parse().unwrap()));
        assert_eq!(extra["key"], "hello/1:1/20261122:055310:195474");
        assert_eq!(extra["timecode"], "20261122:055310:195474");
        assert_eq!(extra["architecture"], "source");
        assert_eq!(extra["changed_by"], "Upl <upl@buildd.test>");
        assert_eq!(extra["originally_changed_by"], "Orig <o@buildd.test>");
        assert!(!extra.contains_key("error"));
    }

    #[test]
    fn whole_seconds_are_written_to_the_microsecond() {
        let mut event: Event = serde_json::from_str(MIGRATED).unwrap();
        event.timestamp = "2026-11-22T05:53:10Z".parse().unwrap();
        let text = serde_json::to_string(&event).unwrap();
        assert!(
            text.contains("\"2026-11-22T05:53:10.000000+00:00\""),
            "{text}"
        );
    }
}
