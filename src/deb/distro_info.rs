//! The tables of distro-info-data: what is known of each release of a distributor.
use jiff::civil::Date;

use super::Codename;

/// A release, as one of the tables has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// What a dist is called: `bookworm`.
    pub series: String,
    /// `12`, `24.04`; none for what is never released.
    pub version: Option<String>,
    /// When work on it began; releases have this order.
    pub created: Option<Date>,
    pub released: Option<Date>,
    /// When its regular support ends.
    pub end_of_support: Option<Date>,
    /// When the distributor's archive ends to support it, Debian's long-term support included.
    pub end_of_life: Option<Date>,
    /// When the last extended support ends, be it for money.
    pub end_of_extended: Option<Date>,
}

/// How long a release counts as supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As long as all of it is.
    Regular,
    /// As long as anybody supports any of it.
    Extended,
    Forever,
}

impl Release {
    /// Tells whether one builds for it at a date; work on it must have begun.
    pub fn is_supported(&self, support: Support, at: Date) -> bool {
        let end = match support {
            Support::Regular => self.end_of_support,
            Support::Extended => self
                .end_of_extended
                .or(self.end_of_life)
                .or(self.end_of_support),
            Support::Forever => None,
        };
        self.created.is_some_and(|created| created <= at) && end.is_none_or(|end| at <= end)
    }

    pub fn is_released(&self, at: Date) -> bool {
        self.released.is_some_and(|released| released <= at)
    }
}

/// Reads a table (debian.csv, ubuntu.csv); lines that are none of its rows are passed over.
pub fn parse(table: &str) -> Vec<Release> {
    let mut lines = table.lines().map(|line| line.split(',').collect());
    let head: Vec<&str> = lines.next().unwrap_or_default();
    let column = |name: &str| head.iter().position(|column| *column == name);
    let [series, version, created, released, eol, eol_lts] =
        ["series", "version", "created", "release", "eol", "eol-lts"].map(column);
    let extended = ["eol-elts", "eol-esm", "eol-legacy"].map(column);
    let release = |row: Vec<&str>| {
        let text =
            |column: Option<usize>| row.get(column?).copied().filter(|text| !text.is_empty());
        let date = |column| text(column)?.parse().ok();
        Some(Release {
            series: text(series)?.to_owned(),
            // Ubuntu's say `24.04 LTS`.
            version: text(version).map(|text| text.split(' ').next().unwrap_or(text).to_owned()),
            created: date(created),
            released: date(released),
            end_of_support: date(eol),
            end_of_life: date(eol_lts).or(date(eol)),
            end_of_extended: extended.into_iter().filter_map(date).max(),
        })
    };
    lines.filter_map(release).collect()
}

pub fn find<'a>(releases: &'a [Release], codename: &Codename) -> Option<&'a Release> {
    let mut releases = releases.iter();
    releases.find(|release| release.series == codename.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_by_the_names_of_their_columns() {
        let debian = "version,codename,series,created,release,eol,eol-lts,eol-elts\n\
                      11,Bullseye,bullseye,2019-07-06,2021-08-14,2024-08-14,2026-08-31,2031-06-30\n\
                      14,Forky,forky,2025-08-09\n\
                      ,Sid,sid,1993-08-16\n";
        let releases = parse(debian);
        let named = |name: &str| find(&releases, &name.parse().unwrap()).unwrap();
        assert_eq!(named("bullseye").version.as_deref(), Some("11"));
        let day = |text: &str| text.parse::<Date>().unwrap();
        let bullseye = named("bullseye");
        for (support, at, is) in [
            (Support::Regular, "2024-08-14", true),
            (Support::Regular, "2024-08-15", false),
            (Support::Extended, "2031-06-30", true),
            (Support::Extended, "2031-07-01", false),
            (Support::Forever, "2099-01-01", true),
            (Support::Forever, "2019-07-05", false),
        ] {
            assert_eq!(bullseye.is_supported(support, day(at)), is, "{at}");
        }
        assert!(!named("forky").is_released(day("2026-11-30")));
        let end = "2026-08-31".parse().unwrap();
        assert_eq!(named("bullseye").end_of_life, Some(end));
        assert_eq!(named("forky").end_of_life, None);
        assert_eq!(named("sid").version, None);
        let ubuntu = "version,codename,series,created,release,eol,eol-server,eol-esm,eol-legacy\n\
                      14.04 LTS,Trusty Tahr,trusty,2013-10-17,2014-04-17,2019-04-25,2019-04-25,2024-04-25,2026-04-28\n";
        let trusty = parse(ubuntu).remove(0);
        assert_eq!(trusty.version.as_deref(), Some("14.04"));
        assert_eq!(trusty.end_of_life, Some("2019-04-25".parse().unwrap()));
        assert!(parse("").is_empty());
    }
}
