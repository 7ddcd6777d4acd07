//! What an administrator wants of an instance, in stock's words: the file of `mini-buildd setup --file`, and what the
//! options of the call `setup` make of nothing.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::deb::distro_info::Support;
use crate::deb::{Architecture, Codename};
use crate::endpoint::ServerEndpoint;
use crate::model::daemon::check_identity;
use crate::model::repository::Identity;
use crate::model::{Chroot, Daemon, Kind, Repository, Source};
use crate::store::catalog::Catalog;

use super::distributions::{Database, Distributor};
use super::host::HostFacts;
use super::{Error, machine, mirrors};

/// All that is wanted; what stands nowhere is as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    pub identity: Option<String>,
    pub ftp_endpoint: Option<ServerEndpoint>,
    pub archives: Vec<String>,
    /// Codenames of base sources; their pockets come with them.
    pub sources: Vec<Codename>,
    pub chroots_backend: BackendName,
    pub remotes: Vec<String>,
    pub distributions: BTreeMap<Codename, Vec<Architecture>>,
    pub repositories: BTreeMap<Identity, SiteRepository>,
    pub chroots: BTreeMap<Codename, Vec<Architecture>>,
    /// Fields that differ from what the rest makes of them, and items that the rest doesn't make; by kind and name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<Kind, BTreeMap<String, Map<String, Value>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteRepository {
    pub dists: Vec<Codename>,
    #[serde(default = "default_layout")]
    pub layout: String,
}

const DEFAULT_LAYOUT: &str = "Default";
/// Repositories that stock knows by name.
const OPEN_REPOSITORY: &str = "test";
const DEVELOPER_REPOSITORY: &str = "debdev";
const DEVELOPER_LAYOUT: &str = "Debian Developer";
const DEVELOPER_KEYRING: &str = "/usr/share/keyrings/debian-keyring.gpg";

fn default_layout() -> String {
    DEFAULT_LAYOUT.into()
}

/// How new chroots are kept, in stock's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendName {
    #[default]
    Dir,
    File,
    BtrfsSnapshot,
}

/// What the options of the call `setup` say.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of stock's"
)]
pub struct Request {
    pub identity: Option<String>,
    pub ftp_endpoint: Option<ServerEndpoint>,
    pub from_origins: Vec<String>,
    pub archives: Vec<String>,
    pub archives_from_origins: bool,
    pub archives_from_apt_sources: bool,
    pub archives_from_proxy: bool,
    pub sources: Vec<Codename>,
    pub sources_from_origins: bool,
    pub distributions: Vec<String>,
    pub distributions_from_sources: bool,
    pub repositories: Vec<String>,
    pub repositories_from_distributions: Vec<String>,
    pub chroots: Vec<String>,
    pub chroots_from_sources: bool,
    pub chroots_backend: BackendName,
    pub remotes: Vec<String>,
}

impl Request {
    /// Asks for nothing but to be told how things are.
    pub fn is_empty(&self) -> bool {
        let lists = [
            &self.from_origins,
            &self.archives,
            &self.distributions,
            &self.repositories,
            &self.repositories_from_distributions,
            &self.chroots,
            &self.remotes,
        ];
        lists.iter().all(|list| list.is_empty())
            && self.identity.is_none()
            && self.ftp_endpoint.is_none()
            && self.sources.is_empty()
            && ![
                self.archives_from_origins,
                self.archives_from_apt_sources,
                self.archives_from_proxy,
                self.sources_from_origins,
                self.distributions_from_sources,
                self.chroots_from_sources,
            ]
            .contains(&true)
    }
}

impl Site {
    /// What the options mean on this host.
    pub fn of_request(
        request: &Request,
        facts: &HostFacts,
        database: &Database,
    ) -> Result<Site, Error> {
        let origins = origins(&request.from_origins, database)?;
        let native = machine::native(&facts.architecture);
        let mut archives = request.archives.clone();
        if request.archives_from_apt_sources {
            archives.extend(mirrors::of_apt(facts, database));
        }
        if request.archives_from_proxy {
            let distributors: Vec<&Distributor> = origins.iter().map(|(one, _)| *one).collect();
            archives.extend(mirrors::of_proxy(&facts.hostname, &distributors));
        }
        if request.archives_from_origins {
            for (distributor, _) in &origins {
                archives.extend(mirrors::of_templates(distributor, &facts.architecture));
            }
        }
        let mut sources = request.sources.clone();
        if request.sources_from_origins {
            for (distributor, support) in &origins {
                sources.extend(database.codenames(distributor, *support));
            }
        }
        let of_sources = |wanted: bool| -> BTreeMap<Codename, Vec<Architecture>> {
            let sources = sources.iter().filter(|_| wanted);
            sources
                .map(|codename| (codename.clone(), native.clone()))
                .collect()
        };
        let mut distributions = of_sources(request.distributions_from_sources);
        distributions.extend(by_codename(
            "distributions",
            &request.distributions,
            &native,
        )?);
        let mut chroots = of_sources(request.chroots_from_sources);
        chroots.extend(by_codename("chroots", &request.chroots, &native)?);
        let mut repositories = BTreeMap::new();
        for wanted in &request.repositories_from_distributions {
            let dists = distributions.keys().cloned().collect();
            let (identity, layout) = match wanted.split_once(':') {
                Some((identity, layout)) => (identity, Some(layout)),
                None => (wanted.as_str(), None),
            };
            add_repository(&mut repositories, wanted, identity, layout, dists)?;
        }
        for wanted in &request.repositories {
            let parts: Vec<&str> = wanted.splitn(3, ':').collect();
            let [identity, layout, codenames] = *parts.as_slice() else {
                return Err(fault(
                    "repositories",
                    wanted,
                    "is not ID:LAYOUT:CODENAME[+CODENAME…]",
                ));
            };
            let dists = codenames
                .split('+')
                .map(str::parse)
                .collect::<Result<_, _>>();
            let dists = dists.map_err(|error: crate::deb::Error| {
                fault("repositories", wanted, &error.to_string())
            })?;
            add_repository(&mut repositories, wanted, identity, Some(layout), dists)?;
        }
        let mut site = Site {
            identity: request.identity.clone(),
            ftp_endpoint: request.ftp_endpoint.clone(),
            archives: unique(archives),
            sources: unique(sources),
            chroots_backend: request.chroots_backend,
            remotes: unique(request.remotes.clone()),
            distributions,
            repositories,
            chroots,
            items: BTreeMap::new(),
        };
        site.taint();
        site.check()?;
        Ok(site)
    }

    /// Who may upload to the repositories that stock knows by name.
    fn taint(&mut self) {
        for identity in self.repositories.keys() {
            let field = match identity.as_str() {
                OPEN_REPOSITORY => ("allow_unauthenticated_uploads", Value::Bool(true)),
                DEVELOPER_REPOSITORY => ("extra_uploader_keyrings", vec![DEVELOPER_KEYRING].into()),
                _ => continue,
            };
            let items = self.items.entry(Kind::Repository).or_default();
            let fields = items.entry(identity.to_string()).or_default();
            fields.insert(field.0.into(), field.1);
        }
    }

    /// Adds to the lists of what is asked for those that there are already.
    pub(super) fn keep(&mut self, present: &Site) {
        fn add<T: PartialEq + Clone>(wanted: &mut Vec<T>, present: Option<&Vec<T>>) {
            for one in present.into_iter().flatten() {
                if !wanted.contains(one) {
                    wanted.push(one.clone());
                }
            }
        }
        for (identity, wanted) in &mut self.repositories {
            let present = present.repositories.get(identity);
            add(&mut wanted.dists, present.map(|present| &present.dists));
        }
        for (codename, wanted) in &mut self.distributions {
            add(wanted, present.distributions.get(codename));
        }
    }

    /// What there is, without fields that differ from their defaults.
    pub fn of_catalog(catalog: &Catalog, is_base: impl Fn(&Source) -> bool) -> Site {
        let daemon = catalog.daemons.values().next();
        let daemon: Option<&Daemon> = daemon.map(|(daemon, _)| daemon);
        let distributions = catalog.distributions.values();
        let mut sources: Vec<Codename> = catalog
            .sources
            .values()
            .filter(|(source, _)| is_base(source))
            .map(|(source, _)| source.codename.clone())
            .collect();
        sources.dedup();
        let repositories = catalog
            .repositories
            .values()
            .map(|(found, _): &(Repository, _)| {
                let wanted = SiteRepository {
                    dists: found.distributions.clone(),
                    layout: found.layout.clone(),
                };
                (found.identity.clone(), wanted)
            });
        let mut chroots: BTreeMap<Codename, Vec<Architecture>> = BTreeMap::new();
        for (chroot, _) in catalog.chroots.values() {
            let architectures = chroots.entry(chroot.codename.clone()).or_default();
            architectures.push(chroot.architecture.clone());
        }
        let backend = catalog.chroots.values().next();
        Site {
            identity: daemon.map(|daemon| daemon.identity.clone()),
            ftp_endpoint: daemon.map(|daemon| daemon.ftp_endpoint.clone()),
            archives: catalog.archives.keys().cloned().collect(),
            sources,
            chroots_backend: backend.map_or(BackendName::Dir, |(chroot, _): &(Chroot, _)| {
                chroot.backend.into()
            }),
            remotes: catalog.remotes.keys().cloned().collect(),
            distributions: distributions
                .map(|(found, _)| {
                    let options = found.architectures.iter();
                    let architectures = options.map(|option| option.architecture.clone());
                    (found.codename.clone(), architectures.collect())
                })
                .collect(),
            repositories: repositories.collect(),
            chroots,
            items: BTreeMap::new(),
        }
    }

    /// Reads a file; a fault names line and field.
    pub fn parse(text: &str) -> Result<Site, String> {
        let site: Site = toml::from_str(text).map_err(|fault| fault.to_string())?;
        site.check().map_err(|error| error.to_string())?;
        Ok(site)
    }

    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    /// Finds what contradicts itself.
    fn check(&self) -> Result<(), Error> {
        if let Some(identity) = &self.identity
            && let Err(wrong) = check_identity(identity)
        {
            return Err(fault("identity", identity, wrong));
        }
        for codename in self.distributions.keys().chain(self.chroots.keys()) {
            if !self.sources.contains(codename) {
                let wrong = "is no codename of `sources`; add it there";
                return Err(fault("distributions and chroots", codename.as_str(), wrong));
            }
        }
        for (identity, repository) in &self.repositories {
            for codename in &repository.dists {
                if !self.distributions.contains_key(codename) {
                    let wrong = format!("has {codename}, which is none of `distributions`");
                    return Err(fault("repositories", identity.as_str(), &wrong));
                }
            }
        }
        let lists = self.distributions.iter().chain(&self.chroots);
        for (codename, architectures) in lists {
            if architectures.is_empty() {
                return Err(fault("architectures", codename.as_str(), "has none"));
            }
        }
        Ok(())
    }
}

fn fault(option: &'static str, given: &str, fault: &str) -> Error {
    Error::Option {
        option,
        given: given.into(),
        fault: fault.into(),
    }
}

/// Reads `Debian:lts`.
fn origins<'a>(
    wanted: &[String],
    database: &'a Database,
) -> Result<Vec<(&'a Distributor, Support)>, Error> {
    let one = |wanted: &String| {
        let (name, support) = wanted.split_once(':').unwrap_or((wanted, ""));
        let support = match support {
            "" => Support::Regular,
            "lts" => Support::Extended,
            "all" => Support::Forever,
            _ => {
                return Err(fault(
                    "from_origins",
                    wanted,
                    "ends with neither :lts nor :all",
                ));
            }
        };
        let known = database.distributors.iter();
        let known: Vec<&str> = known.map(|known| known.origin.as_str()).collect();
        let distributor = database.distributor(name).ok_or_else(|| {
            let wrong = format!("is nobody that is known; there is: {}", known.join(", "));
            fault("from_origins", name, &wrong)
        })?;
        Ok((distributor, support))
    };
    wanted.iter().map(one).collect()
}

/// Reads `CODENAME:ARCH[+ARCH…]`; `native` stands for what the machine runs.
fn by_codename(
    option: &'static str,
    wanted: &[String],
    native: &[Architecture],
) -> Result<BTreeMap<Codename, Vec<Architecture>>, Error> {
    let mut found = BTreeMap::new();
    for given in wanted {
        let (codename, names) = given.split_once(':').unwrap_or((given, "native"));
        let wrong = |error: crate::deb::Error| fault(option, given, &error.to_string());
        let codename: Codename = codename.parse().map_err(wrong)?;
        let mut architectures: Vec<Architecture> = Vec::new();
        for name in names.split('+') {
            if name == "native" {
                architectures.extend(native.iter().cloned());
            } else {
                architectures.push(name.parse().map_err(wrong)?);
            }
        }
        found.insert(codename, unique(architectures));
    }
    Ok(found)
}

fn add_repository(
    repositories: &mut BTreeMap<Identity, SiteRepository>,
    given: &str,
    identity: &str,
    layout: Option<&str>,
    dists: Vec<Codename>,
) -> Result<(), Error> {
    let wrong = |wrong: String| fault("repositories", given, &wrong);
    let layout = layout.filter(|layout| !layout.is_empty());
    let layout = layout.unwrap_or(match identity {
        DEVELOPER_REPOSITORY => DEVELOPER_LAYOUT,
        _ => DEFAULT_LAYOUT,
    });
    let identity: Identity = identity.parse().map_err(wrong)?;
    let layout = layout.to_owned();
    repositories.insert(identity, SiteRepository { dists, layout });
    Ok(())
}

fn unique<T: PartialEq>(list: Vec<T>) -> Vec<T> {
    let mut found = Vec::new();
    for one in list {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::distributions::tests::database;
    use super::super::items::tests::facts;
    use super::*;

    #[test]
    fn options_make_a_site() {
        let request = Request {
            from_origins: vec!["Debian".into()],
            archives: vec!["http://mirror.test/debian/".into()],
            archives_from_apt_sources: true,
            sources_from_origins: true,
            distributions: vec!["trixie:amd64+i386".into(), "sid:amd64".into()],
            repositories: vec!["test:Default:trixie+sid".into()],
            repositories_from_distributions: vec!["debdev".into()],
            chroots: vec!["trixie:amd64".into()],
            ..Request::default()
        };
        let site = Site::of_request(&request, &facts(), &database()).unwrap();
        let codenames: Vec<&str> = site.sources.iter().map(Codename::as_str).collect();
        assert_eq!(codenames, ["sid", "forky", "trixie"]);
        assert_eq!(site.archives.len(), 2, "{:?}", site.archives);
        assert_eq!(
            site.repositories[&"debdev".parse().unwrap()].layout,
            DEVELOPER_LAYOUT
        );
        let open = &site.items[&Kind::Repository]["test"]["allow_unauthenticated_uploads"];
        assert_eq!(*open, Value::Bool(true));
        let text = site.to_toml().unwrap();
        assert_eq!(Site::parse(&text).unwrap(), site, "{text}");
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        let refused = |request: Request| {
            let site = Site::of_request(&request, &facts(), &database());
            site.unwrap_err().to_string()
        };
        let one = |text: &str| vec![text.to_owned()];
        for (request, said) in [
            (
                Request {
                    from_origins: one("SuSE"),
                    ..Request::default()
                },
                "SuSE",
            ),
            (
                Request {
                    from_origins: one("Debian:old"),
                    ..Request::default()
                },
                ":lts",
            ),
            (
                Request {
                    distributions: one("trixie"),
                    ..Request::default()
                },
                "sources",
            ),
            (
                Request {
                    distributions: one("tri xie:amd64"),
                    ..Request::default()
                },
                "tri xie",
            ),
            (
                Request {
                    repositories: one("test:Default"),
                    ..Request::default()
                },
                "ID:LAYOUT",
            ),
            (
                Request {
                    repositories: one("test:Default:sid"),
                    ..Request::default()
                },
                "sid",
            ),
            (
                Request {
                    identity: Some("a b".into()),
                    ..Request::default()
                },
                "identity",
            ),
        ] {
            let refusal = refused(request);
            assert!(refusal.contains(said), "{refusal}");
        }
        let fault = Site::parse("sources = [\"sid\"]\nsorces = 1\n").unwrap_err();
        assert!(
            fault.contains("sorces") && fault.contains("line 2"),
            "{fault}"
        );
    }
}
