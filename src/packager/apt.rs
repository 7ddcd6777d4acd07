//! What a build's apt is told: sources, pins, keys. All of it goes into `.config/` of the buildrequest.
use std::fmt::Write;

use crate::deb::{Component, sources_list};
use crate::model::source::AptKey;
use crate::model::{Source, SuiteOptions};
use crate::pgp::{self, Keyring};
use crate::store::catalog::Catalog;

use super::target::Target;

/// Content of `apt_sources.list`: base source, extra sources, our own suites that may serve this one.
pub fn sources_list(target: &Target<'_>, catalog: &Catalog, url: &str) -> String {
    let extra = extra_sources(target, catalog).map(|(source, _)| source);
    let foreign = std::iter::once(target.base)
        .chain(extra)
        .filter_map(|source| foreign_line(target, source));
    let own = own_suites(target).into_iter().map(|suite| {
        let repository = &target.repository;
        sources_list::Source {
            types: vec!["deb".into()],
            uri: format!("{url}/repositories/{}", repository.identity),
            suite: dist(target, suite),
            components: names(&target.distribution.components),
            options: Vec::new(),
        }
    });
    foreign.chain(own).fold(String::new(), |mut text, source| {
        let _ = writeln!(text, "{}", source.to_string().trim_end());
        text
    })
}

/// Content of `apt_preferences`: the base source stays unpinned.
pub fn preferences(
    target: &Target<'_>,
    catalog: &Catalog,
    origin: &str,
    internal_priority: i32,
) -> String {
    let extra = extra_sources(target, catalog).map(|(source, priority)| {
        let pin = format!("release o={}, n={}", source.origin, source.codename);
        (pin, priority)
    });
    let own = own_suites(target).into_iter().map(|suite| {
        let pin = format!("release n={}, o={origin}", dist(target, suite));
        (pin, internal_priority)
    });
    extra.chain(own).fold(String::new(), |mut text, (pin, priority)| {
        let _ = write!(
            text,
            "Package: *\nPin: {pin}\nPin-Priority: {priority}\n\n"
        );
        text
    })
}

/// Content of `apt_keys`: our own and the extra sources'; the base source's come with the chroot.
pub fn keys(target: &Target<'_>, catalog: &Catalog, own: &str) -> Result<String, pgp::Error> {
    let mut keyring = Keyring::default();
    keyring.add(own.as_bytes())?;
    for (source, _) in extra_sources(target, catalog) {
        for key in &source.apt_keys {
            match key {
                AptKey::Armored(text) => keyring.add(text.as_bytes())?,
                AptKey::KeyringFile(path) => keyring.add_file(path)?,
            }
        }
    }
    keyring.to_armored()
}

fn extra_sources<'a>(
    target: &'a Target<'_>,
    catalog: &'a Catalog,
) -> impl Iterator<Item = (&'a Source, i32)> {
    target.distribution.extra_sources.iter().filter_map(|extra| {
        let source = catalog.source(&extra.source)?;
        Some((source, extra.priority))
    })
}

fn own_suites<'a>(target: &Target<'a>) -> Vec<&'a SuiteOptions> {
    target.layout.build_suites(&target.suite.suite)
}

fn dist(target: &Target<'_>, suite: &SuiteOptions) -> String {
    target
        .repository
        .dist(&target.diststr.codename, &suite.suite)
        .to_string()
}

/// `None` for a source that no known archive carries.
fn foreign_line(target: &Target<'_>, source: &Source) -> Option<sources_list::Source> {
    let wanted = &target.distribution.components;
    let components: Vec<Component> = wanted
        .iter()
        .filter(|component| source.components.contains(component))
        .cloned()
        .collect();
    let valid_until = if source.check_valid_until { "yes" } else { "no" };
    Some(sources_list::Source {
        types: vec!["deb".into()],
        uri: source.archives.first()?.clone(),
        suite: source.suite.clone(),
        components: names(&components),
        options: vec![("check-valid-until".into(), valid_until.into())],
    })
}

fn names(components: &[Component]) -> Vec<String> {
    components.iter().map(ToString::to_string).collect()
}
