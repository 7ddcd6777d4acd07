//! What is sent of a file: all, a part, or that it did not change (RFC 9110, sections 13 and 14).
use std::ops::Range;

use axum::http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// What tells one content of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    pub(super) size: u64,
    pub(super) etag: String,
    /// Full seconds.
    pub(super) last_modified: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    NotModified,
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

impl Validators {
    pub(super) fn new(size: u64, modified: Timestamp, now: Timestamp) -> Validators {
        // A file may change again in the second of its last change, and dates have no more than seconds: until the
        // second is over it gets the date before, so that the next conditional request gets what is new then.
        let second = modified.as_second();
        let is_settled = second < now.as_second();
        let date = if is_settled {
            second
        } else {
            now.as_second() - 1
        };
        Validators::dated(size, modified, date)
    }

    /// Of a file whose every content has another second, as Release files of our archives do.
    ///
    /// apt keeps the date it knows when the same file comes with a later one, and would get it again and again.
    pub(super) fn of_release(size: u64, modified: Timestamp) -> Validators {
        Validators::dated(size, modified, modified.as_second())
    }

    fn dated(size: u64, modified: Timestamp, second: i64) -> Validators {
        Validators {
            size,
            etag: format!("\"{:x}-{size:x}\"", modified.as_nanosecond()),
            last_modified: Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// Decides what a GET or HEAD with these headers gets.
    pub(super) fn decide(&self, headers: &HeaderMap) -> Delivery {
        if self.is_known(headers) {
            return Delivery::NotModified;
        }
        match text(headers, &RANGE).filter(|_| self.is_range_of_this(headers)) {
            Some(range) => self.part(range),
            None => Delivery::Whole,
        }
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        // If-None-Match wins over If-Modified-Since (section 13.2.2).
        if headers.contains_key(IF_NONE_MATCH) {
            let tags = headers.get_all(IF_NONE_MATCH);
            return tags
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| tag == "*" || tag == self.etag);
        }
        text(headers, &IF_MODIFIED_SINCE)
            .and_then(parse_date)
            .is_some_and(|date| self.last_modified <= date)
    }

    fn is_range_of_this(&self, headers: &HeaderMap) -> bool {
        match text(headers, &IF_RANGE) {
            None => !headers.contains_key(IF_RANGE),
            Some(tag) if tag.starts_with('"') => tag == self.etag,
            Some(date) => parse_date(date) == Some(self.last_modified),
        }
    }

    /// One range only; what is no range, or more than one, is ignored, as the RFC allows.
    fn part(&self, range: &str) -> Delivery {
        let Some((first, last)) = range
            .strip_prefix("bytes=")
            .and_then(|range| range.trim().split_once('-'))
        else {
            return Delivery::Whole;
        };
        let size = self.size;
        let range = match (number(first), number(last)) {
            (Some(first), _) if last.is_empty() => first..size,
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
            (None, Some(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
            _ => return Delivery::Whole,
        };
        if range.is_empty() {
            return Delivery::Unsatisfiable;
        }
        Delivery::Part(range)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

fn parse_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// `Sun, 22 Nov 2026 05:57:58 GMT`
pub(super) fn date(time: Timestamp) -> String {
    rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .expect("file dates lie within the years 0 to 9999")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: &str = "2026-11-22T05:57:58.25Z";
    const DATE: &str = "Sun, 22 Nov 2026 05:57:58 GMT";

    fn file(size: u64) -> Validators {
        let modified: Timestamp = MODIFIED.parse().unwrap();
        Validators::new(size, modified, "2026-11-23T00:00:00Z".parse().unwrap())
    }

    fn decide(file: &Validators, headers: &[(HeaderName, &str)]) -> Delivery {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect();
        file.decide(&headers)
    }

    #[test]
    fn date_is_of_http() {
        assert_eq!(date(file(1).last_modified), DATE);
    }

    #[test]
    fn known_content_is_not_sent_again() {
        let file = file(10);
        let etag = file.etag.clone();
        let known = [
            (IF_MODIFIED_SINCE, DATE),
            (IF_MODIFIED_SINCE, "Mon, 23 Nov 2026 05:57:58 GMT"),
            (IF_NONE_MATCH, etag.as_str()),
            (IF_NONE_MATCH, "\"x\", *"),
        ];
        for header in known {
            assert_eq!(decide(&file, &[header]), Delivery::NotModified);
        }
        let unknown = [
            (IF_MODIFIED_SINCE, "Sun, 22 Nov 2026 05:57:57 GMT"),
            (IF_MODIFIED_SINCE, "yesterday"),
            (IF_NONE_MATCH, "\"x\""),
        ];
        for header in unknown {
            assert_eq!(decide(&file, &[header]), Delivery::Whole);
        }
    }

    #[test]
    fn tag_wins_over_date() {
        let headers = [(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, DATE)];
        assert_eq!(decide(&file(10), &headers), Delivery::Whole);
    }

    #[test]
    fn file_of_this_second_is_not_known_by_its_date() {
        let modified: Timestamp = MODIFIED.parse().unwrap();
        let young = Validators::new(10, modified, "2026-11-22T05:57:58.9Z".parse().unwrap());
        assert_eq!(date(young.last_modified), "Sun, 22 Nov 2026 05:57:57 GMT");
        let later = date(young.last_modified);
        assert_eq!(
            decide(&file(10), &[(IF_MODIFIED_SINCE, &later)]),
            Delivery::Whole
        );
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        for (range, delivery) in [
            ("bytes=0-0", Delivery::Part(0..1)),
            ("bytes=2-", Delivery::Part(2..10)),
            ("bytes=2-100", Delivery::Part(2..10)),
            ("bytes=-3", Delivery::Part(7..10)),
            ("bytes=-30", Delivery::Part(0..10)),
            ("bytes=0-99999999999999999999999", Delivery::Part(0..10)),
            ("bytes=10-", Delivery::Unsatisfiable),
            ("bytes=99999999999999999999999-", Delivery::Unsatisfiable),
            ("bytes=-0", Delivery::Unsatisfiable),
            ("bytes=5-4", Delivery::Whole),
            ("bytes=1-2,4-5", Delivery::Whole),
            ("bytes=a-b", Delivery::Whole),
            ("bytes=-", Delivery::Whole),
            ("bytes=+1-2", Delivery::Whole),
            ("lines=1-2", Delivery::Whole),
        ] {
            assert_eq!(decide(&file(10), &[(RANGE, range)]), delivery, "{range}");
        }
    }

    #[test]
    fn range_of_another_content_gets_all() {
        let file = file(10);
        let part = Delivery::Part(2..10);
        let etag = file.etag.clone();
        for (validator, delivery) in [
            (DATE, part.clone()),
            (etag.as_str(), part),
            ("Sun, 22 Nov 2026 05:57:57 GMT", Delivery::Whole),
            ("\"x\"", Delivery::Whole),
        ] {
            let headers = [(RANGE, "bytes=2-"), (IF_RANGE, validator)];
            assert_eq!(decide(&file, &headers), delivery, "{validator}");
        }
    }
}
