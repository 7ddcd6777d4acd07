//! Texts of the Release files of a dist and of its indices. Pure.
use jiff::{Timestamp, ToSpan};

use crate::deb::Paragraph;
use crate::deb::release::{IndexFile, Release};

use crate::pgp::SigningKeys;

use super::DistSettings;

/// Value of Signed-By: apt accepts the next Release only if one of these keys signed it, or a subkey of one (apt-secure(8)).
pub(super) fn signed_by(keys: &SigningKeys) -> String {
    keys.fingerprints().join(",")
}

/// Text of Release; `files` in any order.
pub(super) fn dist(
    settings: &DistSettings,
    keys: &SigningKeys,
    date: Timestamp,
    files: Vec<IndexFile>,
) -> String {
    let valid_until = settings
        .valid_days
        .and_then(|days| date.checked_add(24.hours() * i64::from(days)).ok());
    Release {
        acquire_by_hash: true,
        valid_until,
        ..release(settings, keys, date, files)
    }
    .to_string()
}

/// Text of the Release of a state that never changes again, under a name of its own.
pub(super) fn state(
    settings: &DistSettings,
    suite: &str,
    keys: &SigningKeys,
    date: Timestamp,
    files: Vec<IndexFile>,
) -> String {
    Release {
        suite: suite.to_owned(),
        ..release(settings, keys, date, files)
    }
    .to_string()
}

fn release(
    settings: &DistSettings,
    keys: &SigningKeys,
    date: Timestamp,
    mut files: Vec<IndexFile>,
) -> Release {
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let name = settings.diststr.to_string();
    Release {
        origin: settings.origin.clone(),
        label: name.clone(),
        suite: name.clone(),
        codename: name.clone(),
        date,
        valid_until: None,
        architectures: settings
            .architectures
            .iter()
            .map(ToString::to_string)
            .collect(),
        components: settings
            .components
            .iter()
            .map(ToString::to_string)
            .collect(),
        description: name,
        not_automatic: settings.not_automatic,
        but_automatic_upgrades: settings.but_automatic_upgrades,
        acquire_by_hash: false,
        signed_by: signed_by(keys),
        files,
    }
}

/// Release files beside Packages and Sources: path and text, as reprepro writes them.
pub(super) fn of_indices(settings: &DistSettings) -> Vec<(String, String)> {
    let name = settings.diststr.to_string();
    let yes_or_no = |value| if value { "yes" } else { "no" };
    let mut releases = Vec::new();
    for component in &settings.components {
        let directories = settings
            .architectures
            .iter()
            .map(|word| (format!("{component}/binary-{word}"), word.as_str()))
            .chain([(format!("{component}/source"), "source")]);
        for (directory, architecture) in directories {
            let mut release = Paragraph::default();
            release.set("Archive", name.as_str());
            release.set("Component", component.as_str());
            release.set("Origin", settings.origin.as_str());
            release.set("Label", name.as_str());
            release.set("Architecture", architecture);
            release.set("NotAutomatic", yes_or_no(settings.not_automatic));
            release.set(
                "ButAutomaticUpgrades",
                yes_or_no(settings.but_automatic_upgrades),
            );
            release.set("Description", name.as_str());
            releases.push((format!("{directory}/Release"), release.to_string()));
        }
    }
    releases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_files_of_indices_have_the_size_of_stock() {
        let settings = DistSettings {
            diststr: "trixie-test-unstable".parse().unwrap(),
            origin: "Mini-Buildd archive ident on buildd.test".into(),
            components: vec!["main".parse().unwrap()],
            architectures: vec!["amd64".parse().unwrap()],
            not_automatic: true,
            but_automatic_upgrades: true,
            keep: 1,
            valid_days: None,
            sha512: false,
        };
        let sizes: Vec<(String, usize)> = of_indices(&settings)
            .into_iter()
            .map(|(path, text)| (path, text.len()))
            .collect();
        // As in a Release file of stock.
        assert_eq!(
            sizes,
            [
                ("main/binary-amd64/Release".to_owned(), 221),
                ("main/source/Release".to_owned(), 222)
            ]
        );
    }

    #[test]
    fn a_rollback_says_that_upgrades_are_not_automatic() {
        let settings = DistSettings {
            diststr: "trixie-test-unstable-rollback0".parse().unwrap(),
            origin: "Test".into(),
            components: vec!["main".parse().unwrap()],
            architectures: vec!["amd64".parse().unwrap()],
            not_automatic: true,
            but_automatic_upgrades: false,
            keep: 1,
            valid_days: None,
            sha512: false,
        };
        let keys = super::super::fixture::keys();
        let text = dist(&settings, &keys, Timestamp::UNIX_EPOCH, Vec::new());
        for line in [
            "Origin: Test\n",
            "Label: trixie-test-unstable-rollback0\n",
            "Suite: trixie-test-unstable-rollback0\n",
            "Codename: trixie-test-unstable-rollback0\n",
            "Architectures: amd64\n",
            "NotAutomatic: yes\nButAutomaticUpgrades: no\n",
            "Acquire-By-Hash: yes\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
