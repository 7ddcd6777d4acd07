use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deb::sources_list;
use crate::deb::{Architecture, Codename, Component};
pub use crate::model::build_sources::NoArchive;
use crate::model::{Invalid, Item, Kind, Reference, invalid, is_one_line};

/// Archive (mirror) that one builds from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Ends with exactly one slash.
    pub url: String,
    /// Milliseconds that it took when it last had a source; none: it never had one.
    #[serde(default)]
    pub ping: Option<u64>,
}

impl Archive {
    /// One that nobody asked yet.
    pub fn new(url: String) -> Archive {
        Archive { url, ping: None }
    }
}

impl Item for Archive {
    const KIND: &'static str = Kind::Archive.as_str();
    fn name(&self) -> String {
        self.url.clone()
    }
    fn validate(&self) -> Result<(), Invalid> {
        archive_fault(&self.url).map_or(Ok(()), |fault| Err(invalid(self, "url", fault)))
    }
}

/// A distribution of an archive, as its Release file names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub origin: String,
    pub codename: Codename,
    /// Name below dists/ where it is not the codename: `trixie-security`.
    pub suite: String,
    /// URLs of archives that carry it, best first; its check finds them.
    #[serde(default)]
    pub archives: Vec<String>,
    pub components: Vec<Component>,
    pub architectures: Vec<Architecture>,
    /// Who signs it; one good signature is enough.
    pub apt_keys: Vec<SignedBy>,
    pub check_valid_until: bool,
    /// `13` for trixie, `~SID` for sid; part of version numbers.
    pub codeversion: String,
    /// Instead of what the Release file says; empty: none.
    #[serde(default)]
    pub codeversion_override: String,
    /// Fields that its Release file must have besides Origin; Codename where that is not `suite`.
    #[serde(default)]
    pub extra_identifiers: BTreeMap<String, String>,
    /// What its components begin with there and nowhere else: `updates/`.
    #[serde(default)]
    pub remove_from_component: String,
    /// As its Release file says.
    #[serde(default)]
    pub description: String,
}

/// Keys that apt is to accept, as its option Signed-By has them, or an item that has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignedBy {
    Armored(String),
    /// Of this host.
    KeyringFile(std::path::PathBuf),
    /// Name of an [`crate::model::AptKey`].
    Key(String),
}

impl Item for Source {
    const KIND: &'static str = Kind::Source.as_str();
    fn name(&self) -> String {
        format!("{}:{}", self.origin, self.suite)
    }
    fn validate(&self) -> Result<(), Invalid> {
        if self.origin.is_empty() || !is_one_line(&self.origin) || self.origin.contains(',') {
            return Err(invalid(self, "origin", "must be one line without comma"));
        }
        if !is_suite_path(&self.suite) {
            return Err(invalid(self, "suite", "is no path below dists/"));
        }
        if let Some(fault) = self.archives.iter().find_map(|url| archive_fault(url)) {
            return Err(invalid(self, "archives", fault));
        }
        for (field, codeversion) in [
            ("codeversion", &self.codeversion),
            ("codeversion_override", &self.codeversion_override),
        ] {
            if !is_codeversion(codeversion) && (field == "codeversion" || !codeversion.is_empty()) {
                return Err(invalid(self, field, "can't be part of a version"));
            }
        }
        for (name, value) in &self.extra_identifiers {
            if name == "Origin" {
                let fault = "Origin has a field of its own";
                return Err(invalid(self, "extra_identifiers", fault));
            }
            let is_field =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !is_field || value.is_empty() || !is_one_line(value) || value.contains(',') {
                let fault = format!("{name:?}: {value:?} is no field of a Release file");
                return Err(invalid(self, "extra_identifiers", fault));
            }
        }
        let is_file = |path: &std::path::Path| {
            let mut parts = path.components();
            let is_plain = !parts.any(|part| part == std::path::Component::ParentDir);
            path.is_absolute() && is_plain && path.to_str().is_some_and(is_one_line)
        };
        if let Some(path) = self.apt_keys.iter().find_map(|key| match key {
            SignedBy::KeyringFile(path) => Some(path).filter(|path| !is_file(path)),
            SignedBy::Armored(_) | SignedBy::Key(_) => None,
        }) {
            let fault = format!("{} is no absolute path of a file", path.display());
            return Err(invalid(self, "apt_keys", fault));
        }
        if !is_one_line(&self.remove_from_component) {
            return Err(invalid(self, "remove_from_component", "must be one line"));
        }
        Ok(())
    }
    fn references(&self) -> Vec<Reference> {
        let keys = self.apt_keys.iter().filter_map(|key| match key {
            SignedBy::Key(name) => Some(Reference::new(Kind::AptKey, name)),
            SignedBy::Armored(_) | SignedBy::KeyringFile(_) => None,
        });
        keys.collect()
    }
}

impl Source {
    /// Selects its packages in apt_preferences(5): `release o=Debian, n=trixie-security`.
    pub fn pin(&self) -> String {
        let others = [("a", "Suite"), ("v", "Version"), ("l", "Label")];
        let others = others
            .iter()
            .filter_map(|(letter, field)| Some((letter, self.extra_identifiers.get(*field)?)));
        others.fold(
            format!("release o={}, n={}", self.origin, self.expected_codename()),
            |pin, (letter, value)| format!("{pin}, {letter}={value}"),
        )
    }

    /// The field Codename of its Release file.
    pub fn expected_codename(&self) -> &str {
        if let Some(codename) = self.extra_identifiers.get("Codename") {
            return codename;
        }
        // Up to buster the directory of security updates is buster/updates, its Codename buster.
        match self.suite.split_once('/') {
            Some((codename, _)) => codename,
            None => &self.suite,
        }
    }

    /// Its apt source on the best archive, with those of `components` that it has.
    pub fn apt_source(&self, components: &[Component]) -> Result<sources_list::Source, NoArchive> {
        let archive = self
            .archives
            .first()
            .ok_or_else(|| NoArchive(self.name()))?;
        let mut components: Vec<Component> = components
            .iter()
            .filter(|component| self.components.contains(component))
            .cloned()
            .collect();
        sort_components(&mut components);
        let check = if self.check_valid_until { "yes" } else { "no" };
        Ok(sources_list::Source {
            types: vec!["deb".into()],
            uri: archive.clone(),
            suite: self.suite.clone(),
            components: components.into_iter().map(String::from).collect(),
            options: vec![("check-valid-until".into(), check.into())],
        })
    }
}

/// The order in which stock writes components; others follow by name.
const COMPONENTS: [&str; 7] = [
    "main",
    "contrib",
    "non-free",
    "non-free-firmware",
    "universe",
    "restricted",
    "multiverse",
];

pub fn sort_components(components: &mut [Component]) {
    let rank = |component: &Component| {
        let known = COMPONENTS.iter().position(|name| component == name);
        known.unwrap_or(COMPONENTS.len())
    };
    components.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
}

/// The part of version numbers that stands for a distribution, from Origin, Codename and Version of its Release file.
///
/// Without Version `~CODENAME`; Debian since wheezy the major number; others the first two numbers: 24.04 → 2404.
pub fn codeversion(origin: &str, codename: &str, version: Option<&str>) -> String {
    let numbers: Vec<&str> = version
        .unwrap_or_default()
        .split('.')
        .map(|part| {
            let end = part.find(|c: char| !c.is_ascii_digit());
            &part[..end.unwrap_or(part.len())]
        })
        .take_while(|number| !number.is_empty())
        .take(2)
        .collect();
    let is_debian = origin == "Debian" || origin.starts_with("Debian ");
    match *numbers.as_slice() {
        [] => format!("~{}", codename.to_ascii_uppercase()),
        // wheezy is 7.
        [major, ..] if is_debian && major.parse().is_ok_and(|major: u32| major >= 7) => {
            major.to_owned()
        }
        _ => numbers.concat(),
    }
}

fn archive_fault(url: &str) -> Option<&'static str> {
    let is_known = ["http://", "https://", "ftp://", "file:/"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    if !is_known || !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Some("is no http, https, ftp or file URL");
    }
    let place = url.split_once("://").map_or("", |(_, place)| place);
    let authority = place.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Some(
            "has a user or password, which everybody could read in apt's sources; apt_auth.conf(5) has a place for it",
        );
    }
    if url.contains(['?', '#']) {
        return Some("is no URL of a directory");
    }
    (!url.ends_with('/') || url.ends_with("//")).then_some("must end with exactly one slash")
}

fn is_suite_path(suite: &str) -> bool {
    suite.split('/').all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".+_-".contains(&b))
    })
}

fn is_codeversion(codeversion: &str) -> bool {
    let word = codeversion.strip_prefix('~').unwrap_or(codeversion);
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn source(origin: &str, suite: &str) -> Source {
        Source {
            origin: origin.into(),
            codename: "trixie".parse().unwrap(),
            suite: suite.into(),
            archives: vec!["http://buildd.test:9999/debian/".into()],
            components: ["non-free-firmware", "main", "non-free", "contrib"]
                .map(|name| name.parse().unwrap())
                .into(),
            architectures: vec!["amd64".parse().unwrap()],
            apt_keys: Vec::new(),
            check_valid_until: true,
            codeversion: "13".into(),
            codeversion_override: String::new(),
            extra_identifiers: BTreeMap::new(),
            remove_from_component: String::new(),
            description: String::new(),
        }
    }

    #[test]
    fn codeversions_follow_stocks_rule() {
        for (origin, codename, version, codeversion) in [
            ("Debian", "trixie", Some("13.1"), "13"),
            ("Debian", "trixie", Some("13"), "13"),
            ("Debian", "wheezy", Some("7.11"), "7"),
            ("Debian", "squeeze", Some("6.0.10"), "60"),
            ("Debian", "sid", None, "~SID"),
            ("Debian Backports", "trixie", Some("13-updates"), "13"),
            ("Ubuntu", "noble", Some("24.04"), "2404"),
            ("PureOS", "amber", Some("9.0"), "90"),
            ("Other", "rolling", Some("rolling"), "~ROLLING"),
        ] {
            assert_eq!(super::codeversion(origin, codename, version), codeversion);
        }
    }

    #[test]
    fn security_updates_of_old_releases_are_pinned_by_their_codename() {
        assert_eq!(
            source("Debian", "buster/updates").pin(),
            "release o=Debian, n=buster"
        );
    }

    #[test]
    fn components_are_those_of_both_in_stocks_order() {
        let components = ["universe", "extra", "contrib", "main"].map(|name| name.parse().unwrap());
        let source = source("Debian", "trixie").apt_source(&components).unwrap();
        assert_eq!(source.components, ["main", "contrib"]);
        let mut components = components;
        sort_components(&mut components);
        let names = components.map(String::from);
        assert_eq!(names, ["main", "contrib", "universe", "extra"]);
    }

    #[test]
    fn urls_of_archives_end_with_one_slash() {
        for (url, is_good) in [
            ("http://buildd.test/debian/", true),
            ("http://buildd.test/debian", false),
            ("http://buildd.test/debian//", false),
            ("/srv/debian/", false),
            ("http://buildd.test/a b/", false),
            ("http://user:secret@buildd.test/debian/", false),
            ("http://buildd.test/debian/#a/", false),
            ("file:/srv/debian/", true),
        ] {
            assert_eq!(
                Archive::new(url.into()).validate().is_ok(),
                is_good,
                "{url}"
            );
        }
    }

    #[test]
    fn broken_sources_are_named() {
        assert_eq!(source("Debian", "buster/updates").validate(), Ok(()));
        for suite in [
            "",
            "../trixie",
            "trixie/",
            "a b",
            "trixie
x",
        ] {
            assert_eq!(
                source("Debian", suite).validate().unwrap_err().field,
                "suite"
            );
        }
        assert_eq!(
            source(
                "De
bian", "sid"
            )
            .validate()
            .unwrap_err()
            .field,
            "origin"
        );
    }
}
