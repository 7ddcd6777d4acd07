//! Packages from files of the administrator's, by the same rules as uploads.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::archive::{self, Installation};
use crate::deb::{BinaryPackage, Changes, PackageName, Version};
use crate::model::version_scheme::Mandatory;
use crate::model::{Diststr, EventType};
use crate::pgp;
use crate::store::catalog::Catalog;

use super::{Error, Repositories, suite, tell};

/// Files that are read and written together, about: they are open at once, and a process may have 1024 by default.
const OPEN: usize = 384;
/// Larger ones are refused.
const CHANGES_LIMIT: u64 = 8 << 20;

/// A package that was included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    pub source: PackageName,
    pub version: Version,
    /// `false`: it was there already.
    pub changed: bool,
}

impl Repositories {
    /// Installs what .changes files list, or a .dsc with the .debs beside it on the command line.
    ///
    /// Many are taken in parts, each all or nothing; those that are there already change nothing, so it may be repeated.
    pub fn include(
        &self,
        diststr: &Diststr,
        files: &[PathBuf],
        included: &mut dyn FnMut(Included),
    ) -> Result<(), Error> {
        if diststr.rollback.is_some() {
            return Err(Error::Rollback(diststr.clone()));
        }
        let mut given = given(files)?.into_iter();
        let archive = self.archive(&diststr.repository);
        let catalog = self.store.read(Catalog::load)?;
        let rollbacks = suite(&catalog, diststr)?.rollback;
        let mandatory = mandatory(&catalog, diststr)?;
        loop {
            let part = part(&mut given)?;
            if part.is_empty() {
                return Ok(());
            }
            let prepared = archive.prepare_all(&part)?;
            for prepared in &prepared {
                let checked = mandatory
                    .as_ref()
                    .map(|rule| rule.check(prepared.version()));
                checked.transpose().map_err(|fault| Error::Version {
                    package: format!("{} {}", prepared.source(), prepared.version()),
                    diststr: Box::new(diststr.clone()),
                    fault: fault.to_string(),
                })?;
            }
            let done = self.store.write(|tx| {
                let mut done = Vec::with_capacity(prepared.len());
                for prepared in &prepared {
                    let (source, version) = (prepared.source(), prepared.version());
                    // As of an upload.
                    let present = archive.list(tx, source)?.into_iter();
                    let mut higher = present
                        .filter(|listed| listed.diststr == *diststr && listed.version > *version);
                    if let Some(higher) = higher.next() {
                        return Err(Error::Archive(archive::Error::Lower {
                            package: format!("{source} {version}"),
                            diststr: Box::new(diststr.clone()),
                            present: higher.version,
                        }));
                    }
                    let changed = archive.install(tx, prepared, diststr, rollbacks)?;
                    if changed {
                        tell(tx, EventType::Installed, diststr, source, version)?;
                    }
                    done.push(Included {
                        source: source.clone(),
                        version: version.clone(),
                        changed,
                    });
                }
                Ok::<_, Error>(done)
            })?;
            done.into_iter().for_each(&mut *included);
        }
    }
}

/// What was given; a .changes is read when its turn comes, so that few are in memory.
enum Given {
    Changes(PathBuf),
    Dsc(Installation),
}

/// The next ones, as many as may be open together.
fn part(given: &mut impl Iterator<Item = Given>) -> Result<Vec<Installation>, Error> {
    let (mut part, mut open) = (Vec::new(), 0);
    while open < OPEN
        && let Some(given) = given.next()
    {
        let installation = match given {
            Given::Changes(path) => of_changes(&path)?,
            Given::Dsc(installation) => installation,
        };
        // A .dsc tells only later what it lists.
        open += installation
            .listed
            .len()
            .max(installation.binaries.len() + 3);
        part.push(installation);
    }
    Ok(part)
}

/// The suite's rule for versions.
fn mandatory(catalog: &Catalog, diststr: &Diststr) -> Result<Option<Mandatory>, Error> {
    let found = || {
        let (repository, _) = catalog.repository(&diststr.repository)?;
        let layout = catalog.layout(&repository.layout)?;
        let distribution = catalog.distribution(&diststr.codename)?;
        let base = catalog.source(&distribution.base_source);
        let codeversion = base.map_or("", |base| base.codeversion.as_str());
        let options = layout.suite(&diststr.suite)?;
        let identity = diststr.repository.as_str();
        Some(Mandatory::of(layout, options, identity, codeversion))
    };
    Ok(found().transpose()?)
}

/// One for each .changes or .dsc; packages that stand alone belong to the .dsc of their source.
fn given(files: &[PathBuf]) -> Result<Vec<Given>, Error> {
    let mut given = Vec::new();
    let mut sources = BTreeMap::new();
    let mut packages = Vec::new();
    let fault = |file: &PathBuf, fault: String| Error::File {
        file: file.clone(),
        fault,
    };
    for file in files {
        match extension(file) {
            "changes" => given.push(Given::Changes(file.clone())),
            "dsc" => {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let installation = Installation {
                    dsc: file.clone(),
                    binaries: Vec::new(),
                    directories: vec![directory(file)],
                    listed: Vec::new(),
                };
                if sources.insert(name.into_owned(), installation).is_some() {
                    return Err(fault(file, "is given twice".into()));
                }
            }
            "deb" | "ddeb" | "udeb" => packages.push(file),
            _ => {
                let why = "is neither a .changes, a .dsc nor a package";
                return Err(fault(file, why.into()));
            }
        }
    }
    for package in packages {
        let (source, version) = source_of(package)?;
        let dsc = format!("{source}_{}.dsc", version.without_epoch());
        let Some(installation) = sources.get_mut(&dsc) else {
            let why =
                format!("was built from {source} {version}, whose .dsc is not given beside it");
            return Err(fault(package, why));
        };
        installation.binaries.push(package.clone());
    }
    given.extend(sources.into_values().map(Given::Dsc));
    Ok(given)
}

/// What a .changes lists.
fn of_changes(path: &Path) -> Result<Installation, Error> {
    let changes = read_changes(path)?;
    let directory = directory(path);
    let fault = |fault: String| Error::File {
        file: path.to_owned(),
        fault,
    };
    let Some(dsc) = changes.file_ending_with(".dsc") else {
        return Err(fault("lists no .dsc, or several".into()));
    };
    let is_package = |file: &PathBuf| matches!(extension(file), "deb" | "ddeb" | "udeb");
    let files = changes.files.iter();
    let binaries = files
        .map(|listed| directory.join(listed.name.as_str()))
        .filter(is_package)
        .collect();
    let named = format!("{}_{}.dsc", changes.source, changes.version.without_epoch());
    if dsc.name.as_str() != named {
        return Err(fault(format!("lists {}, not {named}", dsc.name)));
    }
    Ok(Installation {
        dsc: directory.join(dsc.name.as_str()),
        binaries,
        directories: vec![directory],
        listed: changes.files,
    })
}

fn read_changes(path: &Path) -> Result<Changes, Error> {
    let content = crate::message::read_text(path, CHANGES_LIMIT).map_err(|error| Error::File {
        file: path.to_owned(),
        fault: crate::cause::with_causes(&error),
    })?;
    // Whoever has this machine's shell may do without a signature.
    let text = pgp::unauthenticated_text(&content)?;
    text.parse().map_err(|source| Error::Malformed {
        file: path.to_owned(),
        source,
    })
}

fn source_of(package: &Path) -> Result<(PackageName, Version), Error> {
    let package = read_package(package)?;
    Ok((package.source, package.source_version))
}

fn read_package(path: &Path) -> Result<BinaryPackage, Error> {
    let file = std::fs::File::open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    BinaryPackage::read(&mut std::io::BufReader::new(file)).map_err(|source| Error::Malformed {
        file: path.to_owned(),
        source,
    })
}

fn extension(path: &Path) -> &str {
    path.extension()
        .and_then(std::ffi::OsStr::to_str)
        .unwrap_or_default()
}

fn directory(path: &Path) -> PathBuf {
    path.parent()
        .filter(|parent| *parent != Path::new(""))
        .unwrap_or(Path::new("."))
        .to_owned()
}
