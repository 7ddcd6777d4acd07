use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan as _, Zoned};
use serde::{Deserialize, Serialize};

use crate::deb::FileName;

/// As a name of a kept time has it: `2026-11-22T05:40`.
const TIME: &str = "%Y-%m-%dT%H:%M";
/// apt makes one file name of it, the dist and the index.
const LONGEST: usize = 100;

/// Name of a snapshot below `dists/DIST/snapshots/`: `^[A-Za-z0-9][A-Za-z0-9+.~_:-]*$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName(String);

/// How often the rule makes a snapshot, in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// From Sunday on.
    Weekly,
    /// From the first of the month on.
    Monthly,
    /// From the first of January on.
    Yearly,
}

/// For how many weeks the snapshots that are made by rule are kept; 0: none are made, and those there stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotRule {
    pub weekly: u32,
    pub monthly: u32,
    pub yearly: u32,
}

impl Default for SnapshotRule {
    /// As stock's.
    fn default() -> SnapshotRule {
        SnapshotRule {
            weekly: 8,
            monthly: 48,
            yearly: 192,
        }
    }
}

impl Period {
    pub const ALL: [Period; 3] = [Period::Weekly, Period::Monthly, Period::Yearly];

    /// Name of the snapshot that is made now: `WEEKLY_2026-11-22T05:40`.
    pub fn name(self, now: &Zoned) -> SnapshotName {
        SnapshotName(format!("{}{}", self.prefix(), now.strftime(TIME)))
    }

    /// The period of a name that [`Period::name`] made, and its local time.
    pub fn of(name: &SnapshotName) -> Option<(Period, DateTime)> {
        Period::ALL.into_iter().find_map(|period| {
            let time = name.as_str().strip_prefix(period.prefix())?;
            Some((period, DateTime::strptime(TIME, time).ok()?))
        })
    }

    fn prefix(self) -> &'static str {
        match self {
            Period::Weekly => "WEEKLY_",
            Period::Monthly => "MONTHLY_",
            Period::Yearly => "YEARLY_",
        }
    }

    /// First day of the period that a day is in.
    fn start(self, day: Date) -> Date {
        match self {
            Period::Weekly => day.saturating_sub(day.weekday().to_sunday_zero_offset().days()),
            Period::Monthly => day.first_of_month(),
            Period::Yearly => day.first_of_year(),
        }
    }
}

impl SnapshotRule {
    /// Tells whether the period that `now` is in has no snapshot yet; `last` is when one was made last.
    ///
    /// A daemon that was down at the beginning of a period is late, not too late.
    pub fn is_due(&self, period: Period, last: Option<Timestamp>, now: &Zoned) -> bool {
        let day = |last: Timestamp| last.to_zoned(now.time_zone().clone()).date();
        self.weeks(period) > 0 && last.is_none_or(|last| day(last) < period.start(now.date()))
    }

    /// Tells whether a snapshot has been kept for long enough; one that somebody named is never.
    pub fn is_expired(&self, name: &SnapshotName, now: &Zoned) -> bool {
        let Some((period, made)) = Period::of(name) else {
            return false;
        };
        let weeks = i64::from(self.weeks(period));
        weeks > 0 && made.saturating_add(weeks.weeks()) < now.datetime()
    }

    /// Names the first period that is kept for too long.
    pub fn fault(&self) -> Option<String> {
        // 100 years; a Span of jiff takes more.
        let is_long = |period: &Period| self.weeks(*period) > 5200;
        let period = Period::ALL.into_iter().find(is_long)?;
        Some(format!("{period:?}: must be 5200 weeks at most").to_lowercase())
    }

    fn weeks(&self, period: Period) -> u32 {
        match period {
            Period::Weekly => self.weekly,
            Period::Monthly => self.monthly,
            Period::Yearly => self.yearly,
        }
    }
}

impl SnapshotName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl FromStr for SnapshotName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}
impl TryFrom<String> for SnapshotName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text.len() <= LONGEST && FileName::is_safe(&text) {
            return Ok(SnapshotName(text));
        }
        Err(format!(
            "snapshot {text:?} must match [A-Za-z0-9][A-Za-z0-9+.~_:-]* and have {LONGEST} letters at most"
        ))
    }
}
impl From<SnapshotName> for String {
    fn from(name: SnapshotName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Period::{Monthly, Weekly, Yearly};

    /// 2026-11-22 is a Sunday.
    fn berlin(time: &str) -> Zoned {
        format!("{time}[Europe/Berlin]").parse().unwrap()
    }

    #[test]
    fn names_are_stocks() {
        let now = berlin("2026-11-22T05:40:59");
        for (period, expected) in [
            (Weekly, "WEEKLY_2026-11-22T05:40"),
            (Monthly, "MONTHLY_2026-11-22T05:40"),
            (Yearly, "YEARLY_2026-11-22T05:40"),
        ] {
            let name = period.name(&now);
            assert_eq!(name.as_str().parse(), Ok(name.clone()));
            assert_eq!(name.as_str(), expected);
            let minute = now.datetime().with().second(0).build().unwrap();
            assert_eq!(Period::of(&name), Some((period, minute)));
        }
    }

    #[test]
    fn names_stay_below_their_directory() {
        for name in ["before-upgrade", "1.0~rc1", &"a".repeat(LONGEST)] {
            assert!(name.parse::<SnapshotName>().is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "-a", "a b", "a\n", &"a".repeat(101)] {
            assert!(name.parse::<SnapshotName>().is_err(), "{name}");
        }
        assert!(serde_json::from_str::<SnapshotName>("\"../x\"").is_err());
    }

    #[test]
    fn snapshots_are_due_once_a_period_and_late_ones_too() {
        for (period, last, now, expected) in [
            (Weekly, "2026-11-15T00:10", "2026-11-21T23:59", false),
            (Weekly, "2026-11-15T00:10", "2026-11-22T00:00", true),
            (Weekly, "2026-11-22T00:00", "2026-11-22T00:01", false),
            // Down on Sunday.
            (Weekly, "2026-11-15T00:10", "2026-11-25T12:00", true),
            (Weekly, "2026-11-25T12:00", "2026-11-28T12:00", false),
            (Weekly, "2026-11-25T12:00", "2026-11-29T00:00", true),
            (Weekly, "2026-12-27T00:10", "2027-01-02T12:00", false),
            (Monthly, "2026-11-01T00:10", "2026-11-30T23:59", false),
            (Monthly, "2026-11-01T00:10", "2026-12-01T00:00", true),
            (Monthly, "2026-09-01T00:10", "2026-12-05T00:00", true),
            (Yearly, "2026-01-01T00:10", "2026-12-31T23:59", false),
            (Yearly, "2026-01-01T00:10", "2027-01-01T00:00", true),
            // The clock was wrong.
            (Weekly, "2027-11-15T00:10", "2026-11-22T00:00", false),
        ] {
            let (made, now) = (berlin(last), berlin(now));
            let due = SnapshotRule::default().is_due(period, Some(made.timestamp()), &now);
            assert_eq!(due, expected, "{period:?} {last} {now}");
            assert!(SnapshotRule::default().is_due(period, None, &now));
        }
    }

    #[test]
    fn the_day_begins_where_the_daemon_is() {
        let last = "2026-11-21T23:30:00Z".parse().unwrap();
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let rule = SnapshotRule::default();
        for (zone, expected) in [("UTC", true), ("Europe/Berlin", false)] {
            let now = now.in_tz(zone).unwrap();
            assert_eq!(rule.is_due(Weekly, Some(last), &now), expected, "{zone}");
        }
    }

    #[test]
    fn snapshots_are_kept_for_their_weeks() {
        for (name, now, expected) in [
            ("WEEKLY_2026-01-04T00:10", "2026-03-01T00:10", false),
            ("WEEKLY_2026-01-04T00:10", "2026-03-01T00:11", true),
            ("MONTHLY_2026-01-04T00:10", "2026-12-06T00:10", false),
            ("MONTHLY_2026-01-04T00:10", "2026-12-06T00:11", true),
            ("YEARLY_2026-01-01T00:10", "2029-09-06T00:10", false),
            ("YEARLY_2026-01-01T00:10", "2029-09-06T00:11", true),
            ("WEEKLY_2026-01-04", "2036-01-01T00:00", false),
            ("before-upgrade", "2036-01-01T00:00", false),
        ] {
            let expired = SnapshotRule::default().is_expired(&name.parse().unwrap(), &berlin(now));
            assert_eq!(expired, expected, "{name} {now}");
        }
    }

    #[test]
    fn a_period_that_is_off_makes_nothing_and_deletes_nothing() {
        let rule: SnapshotRule = serde_json::from_str(r#"{"weekly": 0}"#).unwrap();
        let now = berlin("2026-11-22T00:10");
        let old = "WEEKLY_2020-01-04T00:10".parse().unwrap();
        assert!(!rule.is_due(Weekly, None, &now) && !rule.is_expired(&old, &now));
        assert!(rule.is_due(Monthly, None, &now));
        let rule = SnapshotRule {
            yearly: u32::MAX,
            ..rule
        };
        let fault = rule.fault().unwrap();
        assert_eq!(fault, "yearly: must be 5200 weeks at most");
    }
}
