//! What the options of the call `setup` say, and the site that they mean on this host.
use std::collections::BTreeMap;

use serde_json::Value;

use crate::deb::distro_info::Support;
use crate::deb::{Architecture, Codename};
use crate::endpoint::ServerEndpoint;
use crate::model::Kind;
use crate::model::repository::Identity;

use super::backend_name::BackendName;
use super::distributions::{Database, Distributor};
use super::host::HostFacts;
use super::site::{DEFAULT_LAYOUT, Site, SiteRepository, fault};
use super::{Error, machine, mirrors};

/// Repositories that stock knows by name.
const OPEN_REPOSITORY: &str = "test";
const DEVELOPER_REPOSITORY: &str = "debdev";
const DEVELOPER_LAYOUT: &str = "Debian Developer";
const DEVELOPER_KEYRING: &str = "/usr/share/keyrings/debian-keyring.gpg";

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
