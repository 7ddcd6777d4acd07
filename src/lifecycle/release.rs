//! The Release file of an archive: what it says of a source, and whether it may be believed.
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::deb::{Architecture, Component, Paragraph};
use crate::fetch;
use crate::model::Source;
use crate::model::source::{self, sort_components};
use crate::pgp::{self, Keyring};

use super::Failure;

const LONGEST: usize = 16 << 20;
const TIME: Duration = Duration::from_secs(15);

/// What an archive has of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) components: Vec<Component>,
    pub(super) architectures: Vec<Architecture>,
    pub(super) description: String,
    pub(super) codeversion: String,
}

/// Who may have signed, and until when.
pub(super) struct Trust {
    pub(super) keyring: Keyring,
    /// Nobody signs it any more: keys that have expired since count.
    pub(super) is_archived: bool,
    pub(super) now: Timestamp,
}

/// Asks an archive for a source: what it has, and in how many milliseconds it answered.
pub(super) fn ask(archive: &str, source: &Source, trust: &Trust) -> Result<(Found, u64), Failure> {
    let directory = format!("{archive}dists/{}", source.suite);
    let began = Instant::now();
    let get = |name: &str| super::get(&format!("{directory}/{name}"), LONGEST, TIME);
    let text = match get("InRelease") {
        Ok(signed) => trust.verify(&signed)?,
        Err(error) if is_missing(&error) => {
            let text = get("Release")?;
            let signature = String::from_utf8(get("Release.gpg")?)?;
            trust.keyring.verify_detached(&text, &signature)?;
            String::from_utf8(text)?
        }
        Err(error) => return Err(error),
    };
    let ping = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let release: Paragraph = text.parse()?;
    Ok((compare(&release, source, trust)?, ping))
}

fn is_missing(error: &Failure) -> bool {
    matches!(
        error.downcast_ref(),
        Some(fetch::Error::Status {
            status: 403 | 404 | 410,
            ..
        })
    )
}

impl Trust {
    fn verify(&self, signed: &[u8]) -> Result<String, Failure> {
        let good = self.keyring.verify(signed);
        if good.is_ok() || !self.is_archived {
            return Ok(good?.text);
        }
        let claimed: Paragraph = pgp::unauthenticated_text(signed)?.parse()?;
        let date = time(claimed.required("Date")?)?;
        Ok(self.keyring.verify_at(signed, SystemTime::from(date))?.text)
    }
}

fn time(text: &str) -> Result<Timestamp, Failure> {
    let text = text.replace("UTC", "+0000").replace("GMT", "+0000");
    let zoned = rfc2822::DateTimeParser::new()
        .parse_zoned(text.trim())
        .map_err(|fault| format!("{text:?} is no date: {fault}"))?;
    Ok(zoned.timestamp())
}

/// Tells whether a Release file is that of the source, and what it has.
fn compare(release: &Paragraph, source: &Source, trust: &Trust) -> Result<Found, Failure> {
    let mut wanted = vec![
        ("Origin", source.origin.as_str()),
        ("Codename", source.expected_codename()),
    ];
    let more = source.extra_identifiers.iter();
    wanted.extend(
        more.filter(|(name, _)| *name != "Codename")
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    for (name, value) in wanted {
        let found = release.get(name).unwrap_or_default();
        if found != value {
            return Err(format!("its {name} is {found:?}, not {value:?}").into());
        }
    }
    if let Some(until) = release.get("Valid-Until")
        && source.check_valid_until
        && !trust.is_archived
        && time(until)? < trust.now
    {
        return Err(format!("it was valid until {until}").into());
    }
    let mut components: Vec<Component> = Vec::new();
    for name in release
        .get("Components")
        .unwrap_or_default()
        .split_whitespace()
    {
        let name = name
            .strip_prefix(source.remove_from_component.as_str())
            .unwrap_or(name);
        let component = name.parse()?;
        if !components.contains(&component) {
            components.push(component);
        }
    }
    sort_components(&mut components);
    let mut architectures: Vec<Architecture> = Vec::new();
    for name in release
        .get("Architectures")
        .unwrap_or_default()
        .split_whitespace()
    {
        let architecture: Architecture = name.parse()?;
        if architecture.is_machine() {
            architectures.push(architecture);
        }
    }
    let codeversion = match source.codeversion_override.as_str() {
        "" => source::codeversion(
            &source.origin,
            source.codename.as_str(),
            release.get("Version"),
        ),
        wanted => wanted.to_owned(),
    };
    Ok(Found {
        components,
        architectures,
        description: release.get("Description").unwrap_or_default().to_owned(),
        codeversion,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::source::tests::source;

    const RELEASE: &str = "Origin: Debian\nCodename: trixie\nSuite: stable\nVersion: 13.1\n\
        Valid-Until: Sat, 01 Aug 2026 08:00:00 UTC\nArchitectures: all amd64 i386\n\
        Components: main updates/contrib\nDescription: Debian 13.1\n";

    fn trust(now: &str) -> Trust {
        Trust {
            keyring: Keyring::default(),
            is_archived: false,
            now: now.parse().unwrap(),
        }
    }

    fn fault(change: impl FnOnce(&mut Source), now: &str) -> Option<String> {
        let mut source = source("Debian", "trixie");
        source.remove_from_component = "updates/".into();
        change(&mut source);
        let found = compare(&RELEASE.parse().unwrap(), &source, &trust(now));
        found.err().map(|fault| fault.to_string())
    }

    const BEFORE: &str = "2026-08-01T07:59:59Z";

    #[test]
    fn a_release_says_what_it_has() {
        let mut source = source("Debian", "trixie");
        source.remove_from_component = "updates/".into();
        let found = compare(&RELEASE.parse().unwrap(), &source, &trust(BEFORE)).unwrap();
        let words = found.components.iter().map(Component::as_str);
        assert_eq!(words.collect::<Vec<_>>(), ["main", "contrib"]);
        let words = found.architectures.iter().map(Architecture::as_str);
        assert_eq!(words.collect::<Vec<_>>(), ["amd64", "i386"]);
        assert_eq!(
            (found.description.as_str(), found.codeversion.as_str()),
            ("Debian 13.1", "13")
        );
        source.codeversion_override = "~X".into();
        let found = compare(&RELEASE.parse().unwrap(), &source, &trust(BEFORE)).unwrap();
        assert_eq!(found.codeversion, "~X");
    }

    #[test]
    fn another_release_is_told_by_its_fields() {
        assert_eq!(fault(|_| {}, BEFORE), None);
        let no = |change: fn(&mut Source)| fault(change, BEFORE).unwrap();
        assert_eq!(
            no(|source| source.origin = "Ubuntu".into()),
            "its Origin is \"Debian\", not \"Ubuntu\""
        );
        assert_eq!(
            no(|source| source.suite = "forky".into()),
            "its Codename is \"trixie\", not \"forky\""
        );
        let label = |source: &mut Source| {
            source
                .extra_identifiers
                .insert("Label".into(), "Debian-Security".into());
        };
        assert_eq!(no(label), "its Label is \"\", not \"Debian-Security\"");
    }

    #[test]
    fn a_release_that_is_out_of_date_is_not_used() {
        let after = "2026-08-01T08:00:01Z";
        assert!(fault(|_| {}, after).unwrap().contains("01 Aug 2026"));
        assert_eq!(
            fault(|source| source.check_valid_until = false, after),
            None
        );
    }
}
