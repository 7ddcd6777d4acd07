//! Where dput's configuration says that a target is.
use std::path::{Path, PathBuf};

use configparser::ini::Ini;

use crate::endpoint::{self, ClientEndpoint, Scheme};

/// Where to upload to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `ftp://HOST:PORT`
    pub(super) url: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("can't read {path}: {fault}", path = path.display())]
    Read { path: PathBuf, fault: String },
    #[error(
        "no section {name} in {files}; make one with: mini-buildd api dput_conf http://HOST:8066 >>~/.dput.cf"
    )]
    NoSection { name: String, files: String },
    #[error("target {name} has the method {method:?}; only ftp and ftps are known here")]
    Method { name: String, method: String },
    #[error("target {name} has no {field}")]
    Missing { name: String, field: &'static str },
    #[error("target {name}: {fault}")]
    Malformed { name: String, fault: String },
}

impl Target {
    pub(super) fn find(name: &str, config: Option<&Path>) -> Result<Target, Error> {
        if name.contains("://") {
            let malformed = |fault: String| Error::Malformed {
                name: name.to_owned(),
                fault,
            };
            let endpoint: ClientEndpoint = name
                .parse()
                .map_err(|fault| malformed(format!("{fault}")))?;
            if !matches!(endpoint.scheme, Scheme::Ftp | Scheme::Ftps) {
                return Err(malformed("is no ftp or ftps URL".into()));
            }
            return Ok(Target {
                url: endpoint.url(),
            });
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let files = match config {
            Some(config) => vec![config.to_owned()],
            None => home
                .map(|home| home.join(".dput.cf"))
                .into_iter()
                .chain([PathBuf::from("/etc/dput.cf")])
                .filter(|path| path.exists())
                .collect(),
        };
        for path in &files {
            let failed = |fault: String| Error::Read {
                path: path.clone(),
                fault,
            };
            let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
            if let Some(found) = section(&text, name).map_err(failed)? {
                return of(name, &found);
            }
        }
        let files: Vec<String> = files
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        Err(Error::NoSection {
            name: name.to_owned(),
            files: if files.is_empty() {
                "~/.dput.cf or /etc/dput.cf".into()
            } else {
                files.join(" or ")
            },
        })
    }

    /// The instance's HTTP endpoint: by stock's rule, its port is the one before.
    pub(super) fn http(&self) -> Result<ClientEndpoint, String> {
        let ftp: ClientEndpoint = self
            .url
            .parse()
            .map_err(|fault: endpoint::Error| fault.to_string())?;
        let port = ftp.port.checked_sub(1).ok_or("port 0 has none before it")?;
        Ok(ClientEndpoint {
            scheme: match ftp.scheme {
                Scheme::Ftps => Scheme::Https,
                _ => Scheme::Http,
            },
            port,
            ..ftp
        })
    }
}

/// Method and host of a section.
struct Section {
    method: Option<String>,
    fqdn: Option<String>,
}

fn section(text: &str, name: &str) -> Result<Option<Section>, String> {
    let mut ini = Ini::new_cs();
    ini.read(text.to_owned())?;
    if !ini.sections().iter().any(|section| section == name) {
        return Ok(None);
    }
    let value = |key| ini.get(name, key).or_else(|| ini.get("DEFAULT", key));
    Ok(Some(Section {
        method: value("method"),
        fqdn: value("fqdn"),
    }))
}

fn of(name: &str, section: &Section) -> Result<Target, Error> {
    let method = section.method.as_deref().unwrap_or("ftp");
    if !matches!(method, "ftp" | "ftps") {
        return Err(Error::Method {
            name: name.to_owned(),
            method: method.to_owned(),
        });
    }
    let missing = || Error::Missing {
        name: name.to_owned(),
        field: "fqdn",
    };
    let fqdn = section.fqdn.as_deref().ok_or_else(missing)?;
    let malformed = |fault: String| Error::Malformed {
        name: name.to_owned(),
        fault,
    };
    let endpoint: ClientEndpoint = format!("{method}://{fqdn}")
        .parse()
        .map_err(|fault: endpoint::Error| malformed(fault.to_string()))?;
    Ok(Target {
        url: endpoint.url(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
# mine
[DEFAULT]
login = anonymous
[mini-buildd-peer]
method   = ftp
fqdn     = mbd-peer.localdomain:8067
incoming = /incoming
[other]
method: scp
fqdn: elsewhere
[empty]
";

    fn found(name: &str) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("dput.cf");
        std::fs::write(&config, CONFIG).unwrap();
        let target = Target::find(name, Some(&config));
        target
            .map(|target| target.url)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_section_of_dputs_configuration_is_a_target() {
        let url = found("mini-buildd-peer").unwrap();
        assert_eq!(url, "ftp://mbd-peer.localdomain:8067");
        let http = Target { url }.http().unwrap();
        assert_eq!(http.url(), "http://mbd-peer.localdomain:8066");
        assert_eq!(found("ftp://h:1").unwrap(), "ftp://h:1");
    }

    #[test]
    fn what_is_wrong_with_a_target_is_named() {
        assert!(
            found("nowhere")
                .unwrap_err()
                .contains("no section nowhere in ")
        );
        assert!(found("other").unwrap_err().contains("method \"scp\""));
        assert_eq!(found("empty").unwrap_err(), "target empty has no fqdn");
        assert!(
            found("http://h:1")
                .unwrap_err()
                .contains("no ftp or ftps URL")
        );
    }
}
