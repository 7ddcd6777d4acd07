//! Where archives are guessed from: the host's apt, the templates of python-apt-common, a caching proxy beside us.
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::deb::{Architecture, Codename};
use crate::fetch;

use super::distributions::{Database, Distributor};
use super::host::HostFacts;

/// Where python-apt-common has what software sources are called where.
const TEMPLATES: &str = "/usr/share/python-apt/templates";
/// Port and words of apt-cacher-ng's answer to nothing in particular.
const PROXY_PORT: u16 = 3142;
const PROXY_NAME: &str = "apt-cacher";
const PROXY_TIME: Duration = Duration::from_secs(5);

/// Archives of the host's apt that have releases of known distributors.
pub fn of_apt(facts: &HostFacts, database: &Database) -> Vec<String> {
    let is_known = |suite: &str| {
        let codename = suite.split(['-', '/']).next().unwrap_or_default();
        let codename: Option<Codename> = codename.parse().ok();
        codename.is_some_and(|codename| database.distributor_of(&codename, "").is_some())
    };
    let sources = facts.apt_sources.iter();
    let sources = sources
        .filter(|source| source.types.iter().any(|kind| kind == "deb") && is_known(&source.suite));
    unique(sources.map(|source| source.uri.as_str()))
}

/// A distributor's own archives; none without the templates.
pub fn of_templates(distributor: &Distributor, machine: &Architecture) -> Vec<String> {
    let Some(name) = &distributor.mirrors else {
        return Vec::new();
    };
    let path = Path::new(TEMPLATES).join(format!("{name}.info"));
    parse(&fs::read_to_string(path).unwrap_or_default(), machine)
}

/// Base URLs of what a machine's packages come from, in the order of a template.
fn parse(template: &str, machine: &Architecture) -> Vec<String> {
    let own = format!("BaseURI-{machine}");
    let mut found = Vec::new();
    for stanza in template.split("\n\n") {
        let field = |name: &str| {
            stanza.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key == name).then(|| value.trim())
            })
        };
        if field("RepositoryType") == Some("deb") {
            found.extend(field(&own).or_else(|| field("BaseURI")));
        }
    }
    unique(found.into_iter().filter(|url| url.starts_with("http")))
}

/// What distributors have below a caching proxy of this host, if one listens.
pub fn of_proxy(hostname: &str, distributors: &[&Distributor]) -> Vec<String> {
    let base = format!("http://{hostname}:{PROXY_PORT}/");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let answer = runtime.block_on(fetch::Client::new().get(&base, 1 << 20, PROXY_TIME));
    // It answers "not acceptable", and says who it is.
    let (Ok(said) | Err(fetch::Error::Status { body: said, .. })) = answer else {
        return Vec::new();
    };
    if !String::from_utf8_lossy(&said)
        .to_lowercase()
        .contains(PROXY_NAME)
    {
        return Vec::new();
    }
    let paths = distributors.iter().flat_map(|one| &one.proxy_paths);
    paths.map(|path| format!("{base}{path}/")).collect()
}

/// Each once, with exactly one slash at its end.
fn unique<'a>(urls: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found = Vec::new();
    for url in urls {
        let url = format!("{}/", url.trim_end_matches('/'));
        if !found.contains(&url) {
            found.push(url);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_the_machines_own_archive() {
        let template = "Suite: a\nRepositoryType: deb\nBaseURI: http://ports.test/u\nBaseURI-amd64: http://mirror.test/u\n\n\
            Suite: b\nRepositoryType: deb-src\nBaseURI: http://src.test/u\n\n\
            Suite: c\nRepositoryType: deb\nBaseURI: cdrom:x\n\n\
            Suite: d\nRepositoryType: deb\nBaseURI: http://mirror.test/u/\n";
        let on = |machine: &str| parse(template, &machine.parse().unwrap());
        assert_eq!(on("amd64"), ["http://mirror.test/u/"]);
        assert_eq!(
            on("arm64"),
            ["http://ports.test/u/", "http://mirror.test/u/"]
        );
    }
}
