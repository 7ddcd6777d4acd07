use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

impl fmt::Display for EventType {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl Event {
    /// Name of its file: `BASE_TYPE[_ARCH].json`; the architecture only for BUILDING and BUILT.
    pub fn file_name(&self) -> String {
        todo!()
    }
}

/// The fields that an event takes from a .changes paragraph: every `X-Mini-Buildd-…` field snake_cased, and
/// architecture, maintainer, changed_by.
pub fn extra_of(_paragraph: &crate::deb::Paragraph) -> Map<String, Value> {
    todo!()
}

/// The error object of events and of the API (RFC 7807), with stock's titles.
pub fn problem(_status: u16, _detail: &str) -> Value {
    todo!()
}

mod timestamp {
    use jiff::Timestamp;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        _time: &Timestamp,
        _serializer: S,
    ) -> Result<S::Ok, S::Error> {
        todo!()
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        _deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        todo!()
    }
}
