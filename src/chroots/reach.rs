//! What a session reaches, and what its resolver is told of that.
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, MountBuilder};
use sandbox::{Forwarding, Network};

use super::Error;
use super::near::{self, Near};

const RESOLVER: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// What a session reaches.
pub(super) enum Reach<'a> {
    Nothing,
    Near {
        near: &'a Near,
        /// Its own resolv.conf, where this host's would not do.
        resolver: Option<String>,
        /// Gets its files.
        directory: &'a Path,
    },
    Host,
}

impl<'a> Reach<'a> {
    pub(super) fn near(near: &'a Near, directory: &'a Path) -> Reach<'a> {
        Reach::Near {
            near,
            resolver: near::resolver(&of_host(RESOLVER)),
            directory,
        }
    }

    /// What apt gets.
    pub(super) fn outside(&self) -> Network {
        match self {
            Reach::Nothing => Network::None,
            Reach::Near { .. } => Network::Forwarded,
            Reach::Host => Network::Host,
        }
    }

    pub(super) fn forwarding(&self) -> Option<Forwarding> {
        match self {
            Reach::Near { near, resolver, .. } => Some(Forwarding {
                program: near::pasta(),
                ports: near.ports.iter().copied().collect(),
                resolver: resolver.is_some(),
                patience: near::START,
            }),
            Reach::Nothing | Reach::Host => None,
        }
    }

    /// Configuration of the resolver.
    pub(super) fn files(&self) -> Result<Vec<Mount>, Error> {
        let (near, resolver, directory) = match self {
            Reach::Nothing => return Ok(Vec::new()),
            Reach::Host => {
                return Ok([RESOLVER, HOSTS]
                    .into_iter()
                    .filter_map(host_file)
                    .collect());
            }
            Reach::Near {
                near,
                resolver,
                directory,
            } => (near, resolver, directory),
        };
        let changed = [
            (RESOLVER, resolver.clone()),
            (HOSTS, near.hosts(&of_host(HOSTS))),
        ];
        let mut mounts = Vec::new();
        for (path, text) in changed {
            let Some(text) = text else {
                mounts.extend(host_file(path));
                continue;
            };
            let file = directory.join(path.trim_start_matches("/etc/"));
            std::fs::write(&file, text).map_err(|source| Error::Write {
                path: file.clone(),
                source,
            })?;
            mounts.push(bound(file, path));
        }
        Ok(mounts)
    }
}

fn of_host(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Shows a file of the host under its own name, read-only; `None` where the host has none.
fn host_file(path: &str) -> Option<Mount> {
    let source = std::fs::canonicalize(path).ok()?;
    Some(bound(source, path))
}

fn bound(source: PathBuf, path: &str) -> Mount {
    MountBuilder::default()
        .destination(Path::new(path))
        .typ("bind")
        .source(source)
        .options(["bind", "ro", "nosuid", "nodev"].map(str::to_owned))
        .build()
        .expect("a mount with a destination is valid")
}
