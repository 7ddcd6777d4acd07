//! The sources.list and preferences of a build, as its buildrequest carries them.
use std::fmt::Write as _;

use crate::deb::{Component, Suite};
use crate::model::{Distribution, Diststr, Layout, Repository, Source};

/// What a build may install from: the base, the extra sources, our own suites.
pub struct BuildSources<'a> {
    pub distribution: &'a Distribution,
    pub base: &'a Source,
    /// In the distribution's order, each with its priority.
    pub extra: Vec<(&'a Source, i32)>,
    pub repository: &'a Repository,
    pub layout: &'a Layout,
    /// Where the upload goes.
    pub suite: &'a Suite,
    /// Our own base URL without trailing slash.
    pub url: &'a str,
    /// Origin of our own Release files.
    pub origin: &'a str,
    /// Priority of our own suites: the upload's, else the distribution's.
    pub internal_apt_priority: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no archive carries source {0}")]
pub struct NoArchive(pub String);

impl BuildSources<'_> {
    /// One line a source; the base first, our own suites last.
    pub fn sources_list(&self) -> Result<String, NoArchive> {
        let extra = self.extra.iter().map(|(source, _)| *source);
        let mut list = String::new();
        for source in std::iter::once(self.base).chain(extra) {
            let line = source.apt_source(&self.distribution.components)?;
            writeln!(list, "{line}").expect("a String takes everything");
        }
        let url = format!("{}/repositories/{}", self.url, self.repository.identity);
        let components = words(&self.distribution.sorted_components());
        for dist in self.own() {
            writeln!(list, "deb [] {url} {dist} {components}").expect("a String takes everything");
        }
        Ok(list)
    }

    /// One stanza for each source but the base, which stays unpinned.
    pub fn preferences(&self) -> String {
        let extra = self
            .extra
            .iter()
            .map(|(source, priority)| (source.pin(), *priority));
        let own = self
            .own()
            .map(|dist| (own_pin(&dist, self.origin), self.internal_apt_priority));
        extra
            .chain(own)
            .fold(String::new(), |text, (pin, priority)| {
                text + &format!("Package: *\nPin: {pin}\nPin-Priority: {priority}\n\n")
            })
    }

    fn own(&self) -> impl Iterator<Item = Diststr> {
        self.layout
            .build_suites(self.suite)
            .into_iter()
            .map(|options| {
                self.repository
                    .dist(&self.distribution.codename, &options.suite)
            })
    }
}

/// Pin of a distribution of ours: `release n=trixie-test-unstable, o=ORIGIN`.
pub fn own_pin(dist: &Diststr, origin: &str) -> String {
    format!("release n={dist}, o={origin}")
}

fn words(components: &[Component]) -> String {
    let words: Vec<&str> = components.iter().map(Component::as_str).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::distribution::tests::trixie;
    use crate::model::repository::tests::test_repository;
    use crate::model::source::tests::source;

    const SOURCES_LIST: &str = "\
deb [check-valid-until=yes] http://buildd.test:9999/debian/ trixie main contrib non-free non-free-firmware
deb [check-valid-until=yes] http://buildd.test:9999/debian/ trixie-security main contrib non-free non-free-firmware
deb [check-valid-until=yes] http://buildd.test:9999/debian/ trixie-backports main contrib non-free non-free-firmware
deb [] http://buildd.test:8066/repositories/test trixie-test-unstable main contrib non-free non-free-firmware
deb [] http://buildd.test:8066/repositories/test trixie-test-testing main contrib non-free non-free-firmware
deb [] http://buildd.test:8066/repositories/test trixie-test-stable main contrib non-free non-free-firmware
";
    const PREFERENCES: &str = "\
Package: *
Pin: release o=Debian, n=trixie-security
Pin-Priority: 500

Package: *
Pin: release o=Debian Backports, n=trixie-backports
Pin-Priority: 1

Package: *
Pin: release n=trixie-test-unstable, o=Mini-Buildd archive ident on buildd.test
Pin-Priority: 1

Package: *
Pin: release n=trixie-test-testing, o=Mini-Buildd archive ident on buildd.test
Pin-Priority: 1

Package: *
Pin: release n=trixie-test-stable, o=Mini-Buildd archive ident on buildd.test
Pin-Priority: 1

";

    fn with_sources<T>(look: impl FnOnce(BuildSources<'_>) -> T) -> T {
        let base = source("Debian", "trixie");
        let security = source("Debian", "trixie-security");
        let backports = source("Debian Backports", "trixie-backports");
        look(BuildSources {
            distribution: &trixie(),
            base: &base,
            extra: vec![(&security, 500), (&backports, 1)],
            repository: &test_repository(),
            layout: &Layout::standard(),
            suite: &"unstable".parse().unwrap(),
            url: "http://buildd.test:8066",
            origin: "Mini-Buildd archive ident on buildd.test",
            internal_apt_priority: 1,
        })
    }

    #[test]
    fn sources_and_pins_are_stocks() {
        with_sources(|sources| {
            assert_eq!(sources.sources_list().unwrap(), SOURCES_LIST);
            assert_eq!(sources.preferences(), PREFERENCES);
        });
    }

    #[test]
    fn experimental_builds_see_all_other_suites() {
        with_sources(|sources| {
            let suite = "experimental".parse().unwrap();
            let sources = BuildSources {
                suite: &suite,
                internal_apt_priority: 500,
                ..sources
            };
            let text = sources.preferences();
            for suite in ["experimental", "stable", "hotfix", "testing", "unstable"] {
                assert!(
                    text.contains(&format!("n=trixie-test-{suite}, ")),
                    "{suite}"
                );
            }
            assert!(!text.contains("snapshot") && text.contains("Pin-Priority: 500\n\n"));
        });
    }

    #[test]
    fn a_source_that_no_archive_carries_is_named() {
        with_sources(|sources| {
            let mut base = source("Debian", "trixie");
            base.archives.clear();
            let sources = BuildSources {
                base: &base,
                ..sources
            };
            assert_eq!(
                sources.sources_list(),
                Err(NoArchive("Debian:trixie".into()))
            );
        });
    }
}
