//! The items of a new instance: one repository for the host's own release.
use std::path::{Path, PathBuf};

use crate::deb::{Component, sources_list};
use crate::endpoint::ServerEndpoint;
use crate::model::chroot::Backend;
use crate::model::daemon;
use crate::model::distribution::{ArchitectureOption, PrioritySource};
use crate::model::source::{SignedBy, codeversion};
use crate::model::{
    AptKey, Archive, Chroot, Daemon, Distribution, Item, Layout, Limits, Repository, Source,
    Uploader,
};

use super::distributions::Database;
use super::{Error, HostFacts};

/// What of a set-up is not the host's to decide.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Default: the host's short name.
    pub identity: Option<String>,
    pub ftp_endpoint: ServerEndpoint,
    /// Default: one a processor.
    pub max_parallel_builds: Option<u32>,
    /// User and armored key of everybody who may upload.
    pub uploaders: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Items {
    pub daemon: Daemon,
    pub archives: Vec<Archive>,
    /// Keyrings that the sources name.
    pub apt_keys: Vec<AptKey>,
    /// The base source first.
    pub sources: Vec<Source>,
    pub layout: Layout,
    pub distribution: Distribution,
    pub repository: Repository,
    pub chroot: Chroot,
    pub uploaders: Vec<Uploader>,
}

/// Priority of updates within a release, as stock's presets have it.
const UPDATES_PRIORITY: i32 = 500;

/// Decides what a new instance on this host has.
pub fn items(facts: &HostFacts, wishes: &Wishes, database: &Database) -> Result<Items, Error> {
    let base = source(facts, facts.codename.as_str())?.ok_or_else(|| Error::NoSource {
        codename: facts.codename.to_string(),
    })?;
    let mut sources = vec![base];
    let distributor = database.distributor_of(&facts.codename, &facts.origin);
    let pockets = distributor.map(|one| database.profile(one, &facts.codename).extra);
    let pockets = pockets.unwrap_or_default();
    for pocket in ["updates", "security"] {
        let suite = format!("{}-{pocket}", facts.codename);
        let known = pockets.iter().find(|known| known.suite == suite);
        sources.extend(source(facts, &suite)?.map(|mut source| {
            if let Some(known) = known {
                source.extra_identifiers.clone_from(&known.identifiers);
                source
                    .remove_from_component
                    .clone_from(&known.remove_from_component);
            }
            source
        }));
    }
    let mut archives: Vec<Archive> = sources
        .iter()
        .flat_map(|source| source.archives.iter())
        .map(|url| Archive::new(url.clone()))
        .collect();
    archives.sort_by(|a, b| a.url.cmp(&b.url));
    archives.dedup();
    let mut apt_keys: Vec<AptKey> = Vec::new();
    for signers in sources.iter().flat_map(|source| &source.apt_keys) {
        if let SignedBy::Key(name) = signers
            && apt_keys.iter().all(|key| key.key_id != *name)
        {
            apt_keys.push(AptKey::new(name.as_str()));
        }
    }
    let layout = Layout::standard();
    let repository = repository(facts, &layout)?;
    let uploaders = wishes.uploaders.iter().map(|(user, key)| Uploader {
        user: user.clone(),
        key: key.clone(),
        may_upload_to: vec![repository.identity.clone()],
    });
    Ok(Items {
        daemon: daemon(facts, wishes),
        archives,
        apt_keys,
        distribution: distribution(facts, &sources),
        chroot: Chroot {
            codename: facts.codename.clone(),
            architecture: facts.architecture.clone(),
            source: sources[0].name(),
            backend: Backend::Dir,
            debootstrap_extra_options: Vec::new(),
        },
        uploaders: uploaders.collect(),
        sources,
        layout,
        repository,
    })
}

pub(super) fn daemon(facts: &HostFacts, wishes: &Wishes) -> Daemon {
    let identity = wishes.identity.clone();
    Daemon {
        identity: identity.unwrap_or_else(|| identity_of(&facts.hostname)),
        custom_archive_origin: String::new(),
        email_address: format!("mini-buildd@{}", facts.hostname),
        ftp_endpoint: wishes.ftp_endpoint.clone(),
        max_parallel_builds: wishes
            .max_parallel_builds
            .unwrap_or(facts.processors)
            .max(1),
        event_queue_size: 500,
        expire_events_after_days: 336,
        expire_builds_after_days: 5,
        renew_chroots_after_days: daemon::renew_chroots_after_days(),
        limits: Limits::default(),
        gnupg_keyserver: String::new(),
        notify: Vec::new(),
        allow_emails_to: String::new(),
    }
}

/// The short host name, without what an identity can't have.
fn identity_of(hostname: &str) -> String {
    let short = hostname.split('.').next().unwrap_or_default();
    let allowed = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-';
    let identity: String = short.chars().filter(allowed).collect();
    if identity.is_empty() {
        "mini-buildd".into()
    } else {
        identity
    }
}

/// A suite of the host's apt, if its apt has it.
fn source(facts: &HostFacts, suite: &str) -> Result<Option<Source>, Error> {
    let carries = |source: &&sources_list::Source| {
        source.suite == suite
            && source.types.iter().any(|kind| kind == "deb")
            && source.is_for(facts.architecture.as_str())
    };
    let found: Vec<&sources_list::Source> = facts.apt_sources.iter().filter(carries).collect();
    let Some(first) = found.first() else {
        return Ok(None);
    };
    let mut components: Vec<Component> = Vec::new();
    for name in found.iter().flat_map(|source| &source.components) {
        let component = name.parse()?;
        if !components.contains(&component) {
            components.push(component);
        }
    }
    let mut archives: Vec<String> = Vec::new();
    for url in found.iter().map(|source| with_slash(&source.uri)) {
        if !archives.contains(&url) {
            archives.push(url);
        }
    }
    let own_option = first.option("check-valid-until");
    Ok(Some(Source {
        origin: facts.origin.clone(),
        codeversion: codeversion(
            &facts.origin,
            facts.codename.as_str(),
            facts.version.as_deref(),
        ),
        codename: facts.codename.clone(),
        codeversion_override: String::new(),
        extra_identifiers: std::collections::BTreeMap::new(),
        remove_from_component: String::new(),
        description: String::new(),
        suite: suite.into(),
        archives,
        components,
        architectures: vec![facts.architecture.clone()],
        apt_keys: vec![key(facts, first)?],
        check_valid_until: own_option.map_or(facts.check_valid_until, |value| value != "no"),
    }))
}

fn with_slash(url: &str) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

/// The key that the source names, else the distribution's.
fn key(facts: &HostFacts, source: &sources_list::Source) -> Result<SignedBy, Error> {
    let package = format!("{}-archive-keyring", facts.origin.to_lowercase());
    match source.option("signed-by") {
        Some(key) if key.contains("BEGIN PGP") => return Ok(SignedBy::Armored(armored(key))),
        Some(path) if path.starts_with('/') => {
            let first = path.split([' ', ',']).next().unwrap_or(path);
            return Ok(keyring(Path::new(first)));
        }
        Some(_) | None => {}
    }
    let path = PathBuf::from(format!("/usr/share/keyrings/{package}.gpg"));
    if facts.keyrings.contains(&path) {
        return Ok(keyring(&path));
    }
    Err(Error::NoKeyring {
        origin: facts.origin.clone(),
        codename: facts.codename.to_string(),
        package,
    })
}

/// A keyring that a package installed is an item of its own.
fn keyring(path: &Path) -> SignedBy {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let item = AptKey::new(name);
    if item.keyring_file().as_deref() == Some(path) {
        return SignedBy::Key(item.key_id);
    }
    SignedBy::KeyringFile(path.to_owned())
}

/// In a deb822 source, a dot stands for an empty line.
fn armored(key: &str) -> String {
    let lines = key.lines().map(str::trim);
    let lines: Vec<&str> = lines
        .map(|line| if line == "." { "" } else { line })
        .collect();
    format!("{}\n", lines.join("\n").trim())
}

fn distribution(facts: &HostFacts, sources: &[Source]) -> Distribution {
    let extra = sources[1..].iter().map(|source| PrioritySource {
        source: source.name(),
        priority: UPDATES_PRIORITY,
    });
    let architecture = ArchitectureOption {
        architecture: facts.architecture.clone(),
        optional: false,
        build_architecture_all: true,
    };
    Distribution {
        extra_sources: extra.collect(),
        ..Distribution::new(
            facts.codename.clone(),
            sources[0].name(),
            sources[0].components.clone(),
            vec![architecture],
        )
    }
}

fn repository(facts: &HostFacts, layout: &Layout) -> Result<Repository, Error> {
    let identity = "test".parse().map_err(|fault| crate::deb::Error::Field {
        field: "identity".into(),
        fault,
    })?;
    Ok(Repository::new(
        identity,
        layout.name.clone(),
        vec![facts.codename.clone()],
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::distributions::tests::database;
    use super::*;

    const APT_SOURCES: &str = "\
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.test/debian trixie main contrib
deb-src http://mirror.test/debian trixie main
deb http://mirror.test/debian trixie-updates main
deb http://security.test/debian-security trixie-security main
deb http://other.test/apt stable main
";

    pub(in super::super) fn facts() -> HostFacts {
        HostFacts {
            origin: "Debian".into(),
            codename: "trixie".parse().unwrap(),
            version: Some("13".into()),
            architecture: "amd64".parse().unwrap(),
            hostname: "build-1.example.test".into(),
            processors: 4,
            apt_sources: sources_list::Source::parse_list(APT_SOURCES).unwrap(),
            check_valid_until: true,
            keyrings: vec!["/usr/share/keyrings/debian-archive-keyring.gpg".into()],
        }
    }

    fn wishes() -> Wishes {
        Wishes {
            identity: None,
            ftp_endpoint: "tcp6:port=8067".parse().unwrap(),
            max_parallel_builds: None,
            uploaders: vec![("me".into(), "key".into())],
        }
    }

    #[test]
    fn host_becomes_a_repository_for_its_own_release() {
        let items = items(&facts(), &wishes(), &database()).unwrap();
        items.validate().unwrap();
        assert_eq!(items.daemon.identity, "build-1");
        assert_eq!(items.daemon.max_parallel_builds, 4);
        let sources: Vec<String> = items.sources.iter().map(Item::name).collect();
        assert_eq!(
            sources,
            [
                "Debian:trixie",
                "Debian:trixie-updates",
                "Debian:trixie-security"
            ]
        );
        assert_eq!(items.sources[0].codeversion, "13");
        assert_eq!(items.sources[0].archives, ["http://mirror.test/debian/"]);
        assert_eq!(items.archives.len(), 2);
        assert_eq!(items.apt_keys[0].key_id, "debian-archive-keyring.gpg");
        assert_eq!(items.apt_keys.len(), 1);
        let distribution = &items.distribution;
        assert_eq!(distribution.components.len(), 2);
        assert!(distribution.architectures[0].build_architecture_all);
        assert_eq!(distribution.extra_sources[1].priority, 500);
        assert!(!items.repository.allow_unauthenticated_uploads);
        assert_eq!(items.chroot.name(), "trixie:amd64");
        assert_eq!(
            items.uploaders[0].may_upload_to,
            [items.repository.identity]
        );
    }

    #[test]
    fn host_without_an_apt_source_for_its_release_is_told_so() {
        let mut facts = facts();
        facts.apt_sources.clear();
        let error = items(&facts, &wishes(), &database()).unwrap_err();
        assert!(error.to_string().contains("trixie"), "{error}");
    }

    #[test]
    fn sources_of_other_architectures_are_passed_over() {
        let mut facts = facts();
        let ports = "deb [arch=arm64,riscv64] http://ports.test/debian trixie main\n";
        let sources = format!("{ports}{APT_SOURCES}");
        facts.apt_sources = sources_list::Source::parse_list(&sources).unwrap();
        let items = items(&facts, &wishes(), &database()).unwrap();
        assert_eq!(items.sources[0].archives, ["http://mirror.test/debian/"]);
    }

    #[test]
    fn source_without_signed_by_needs_the_distributions_keyring() {
        let mut facts = facts();
        facts.keyrings.clear();
        let error = items(&facts, &wishes(), &database()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("install debian-archive-keyring")
        );
    }

    #[test]
    fn odd_host_names_make_an_identity() {
        assert_eq!(identity_of("my_host.test"), "myhost");
        assert_eq!(identity_of("___"), "mini-buildd");
    }
}
