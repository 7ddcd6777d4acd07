//! From files somewhere to verified files in the pool and stanzas in hand.
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use crate::deb::{
    Architecture, BinaryPackage, Checksums, Component, Dsc, FileName, ListedFile, PackageName,
    Summing, Version, relation,
};
use crate::pgp;

use super::disk::{self, Doing};
use super::pool::{self, Incoming};
use super::{ArchiveDir, Error, Installation, stanza};

/// Largest .dsc that is read; Debian's largest have some 100 KiB.
pub(super) const MAX_DSC: u64 = 8 << 20;

/// An installation whose files are verified, parsed and in the pool.
#[derive(Debug)]
pub struct Prepared {
    pub(super) source: PackageName,
    pub(super) version: Version,
    pub(super) component: Component,
    /// The source package first.
    pub(super) packages: Vec<Package>,
}

/// A package as the database will have it.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) kind: Kind,
    pub(super) name: PackageName,
    pub(super) version: Version,
    /// `source` for a .dsc.
    pub(super) architecture: Architecture,
    pub(super) component: Component,
    pub(super) section: String,
    pub(super) priority: String,
    pub(super) stanza: String,
    pub(super) file_list: Vec<String>,
    /// Path in the pool and SHA-256.
    pub(super) files: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Dsc,
    Deb,
    Udeb,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Dsc => "dsc",
            Kind::Deb => "deb",
            Kind::Udeb => "udeb",
        }
    }

    /// Name of the index that lists it, below its component; `binary-all` is part of all binary ones.
    pub(super) fn index_name(self, architecture: &Architecture) -> String {
        match self {
            Kind::Dsc => "source".to_owned(),
            Kind::Deb => format!("binary-{architecture}"),
            Kind::Udeb => format!("debian-installer/binary-{architecture}"),
        }
    }
}

impl Prepared {
    pub fn source(&self) -> &PackageName {
        &self.source
    }

    pub fn version(&self) -> &Version {
        &self.version
    }
}

impl Package {
    pub(super) fn index_name(&self) -> String {
        self.kind.index_name(&self.architecture)
    }

    /// `hello 1.0 amd64`, for people.
    pub(super) fn title(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.architecture)
    }
}

/// Reads and places all, or none; so many that their files may be open at once.
pub(super) fn prepare(
    archive: &ArchiveDir,
    installations: &[Installation],
) -> Result<Vec<Prepared>, Error> {
    let mut files = Vec::new();
    let mut all = Vec::with_capacity(installations.len());
    for installation in installations {
        let (prepared, incoming) = read(archive, installation)?;
        all.push(prepared);
        files.extend(incoming);
    }
    pool::place(archive, &files.iter().collect::<Vec<_>>())?;
    Ok(all)
}

fn read(
    archive: &ArchiveDir,
    installation: &Installation,
) -> Result<(Prepared, Vec<Incoming>), Error> {
    let Installation {
        dsc, directories, ..
    } = installation;
    let (source, mut files) = read_source(archive, dsc, directories, None)?;
    let mut prepared = Prepared {
        source: source.name.clone(),
        version: source.version.clone(),
        component: source.component.clone(),
        packages: vec![source],
    };
    for path in &installation.binaries {
        let source = (&prepared.source, &prepared.version);
        let (package, incoming) = read_binary(source, path, None)?;
        prepared.packages.push(package);
        files.push(incoming);
    }
    refuse_twins(&prepared.packages)?;
    check_listed(installation, &files)?;
    Ok((prepared, files))
}

/// Holds files against their .changes; those too that are not installed.
fn check_listed(installation: &Installation, files: &[Incoming]) -> Result<(), Error> {
    for listed in &installation.listed {
        let file = files.iter().find(|file| file.name == listed.name);
        let checksums = if let Some(file) = file {
            &file.checksums
        } else {
            let path = installation.dsc.with_file_name(listed.name.as_str());
            &disk::checksums(&open(&path)?).doing("read", &path)?
        };
        listed.compare(checksums).map_err(|differs| {
            fault(
                &listed.name,
                &format!("is not as in its .changes: {differs}"),
            )
        })?;
    }
    Ok(())
}

/// Reads a .dsc and what it lists; `component` is by its section where none is given.
pub(super) fn read_source(
    archive: &ArchiveDir,
    path: &Path,
    directories: &[PathBuf],
    component: Option<&Component>,
) -> Result<(Package, Vec<Incoming>), Error> {
    let name = file_name(path)?;
    let file = open(path)?;
    let bytes = disk::read_bounded(&file, MAX_DSC).doing("read", path)?;
    let dsc = parse_dsc(&name, &bytes)?;
    check_name(
        &name,
        &format!("{}_{}.dsc", dsc.source, dsc.version.without_epoch()),
    )?;
    let (component, directory) = place(&dsc, &name, component)?;
    let incoming = |name: FileName, file: File, checksums: Checksums| Incoming {
        source: dsc.source.clone(),
        name,
        directory: directory.clone(),
        file,
        checksums,
    };
    let checksums = Checksums::of(&mut &bytes[..]).doing("read", path)?;
    let mut files = vec![incoming(name.clone(), file, checksums)];
    for listed in &dsc.files {
        let (file, checksums) = find_listed(archive, directories, &dsc, &name, listed)?;
        files.push(incoming(listed.name.clone(), file, checksums));
    }
    let listed: Vec<(FileName, Checksums)> = files
        .iter()
        .map(|file| (file.name.clone(), file.checksums.clone()))
        .collect();
    Ok((source(&dsc, &name, Some(&component), &listed)?, files))
}

/// What a .dsc makes of a source package; its files, itself first.
pub(super) fn source(
    dsc: &Dsc,
    name: &FileName,
    component: Option<&Component>,
    files: &[(FileName, Checksums)],
) -> Result<Package, Error> {
    let (component, directory) = place(dsc, name, component)?;
    let (section, priority) = stanza::source_section(dsc);
    Ok(Package {
        kind: Kind::Dsc,
        name: dsc.source.clone(),
        version: dsc.version.clone(),
        architecture: "source"
            .parse()
            .expect("a valid word of an Architecture field"),
        section: section.to_owned(),
        priority: priority.to_owned(),
        stanza: stanza::sources(dsc, &directory, files),
        file_list: Vec::new(),
        files: files
            .iter()
            .map(|(name, checksums)| (format!("{directory}/{name}"), checksums.sha256.clone()))
            .collect(),
        component,
    })
}

/// Component, by its section where none is given, and directory in the pool.
fn place(
    dsc: &Dsc,
    name: &FileName,
    component: Option<&Component>,
) -> Result<(Component, String), Error> {
    let (section, _) = stanza::source_section(dsc);
    let by_section = stanza::component(section).map_err(|source| malformed(name, source))?;
    let component = component.cloned().unwrap_or(by_section);
    let directory = pool::directory(&component, &dsc.source);
    Ok((component, directory))
}

pub(super) fn parse_dsc(name: &FileName, bytes: &[u8]) -> Result<Dsc, Error> {
    let text = pgp::unauthenticated_text(bytes).map_err(|source| Error::Signature {
        file: name.to_string(),
        source,
    })?;
    text.parse().map_err(|source| malformed(name, source))
}

/// Opens and verifies a file that the .dsc lists: from the given directories, else from the pool.
fn find_listed(
    archive: &ArchiveDir,
    directories: &[PathBuf],
    dsc: &Dsc,
    dsc_name: &FileName,
    listed: &ListedFile,
) -> Result<(File, Checksums), Error> {
    // dpkg-source refuses others; and no source may bring a .deb into the pool.
    let is_ours = listed
        .name
        .as_str()
        .strip_prefix(dsc.source.as_str())
        .is_some_and(|rest| rest.starts_with('_'));
    let is_package = [".dsc", ".deb", ".ddeb", ".udeb"]
        .iter()
        .any(|end| listed.name.as_str().ends_with(end));
    if !is_ours || is_package {
        return Err(Error::Checksum {
            file: listed.name.clone(),
            fault: "is no name of a source file".to_owned(),
            dsc: dsc_name.clone(),
        });
    }
    let open = |path: PathBuf| match disk::open_regular(&path) {
        Ok(file) => Ok(Some((file, path))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing("open", &path),
    };
    let mut found = None;
    for directory in directories {
        found = open(directory.join(listed.name.as_str()))?;
        if found.is_some() {
            break;
        }
    }
    if found.is_none() {
        let pooled = archive
            .store
            .read(|tx| pool::find(tx, &archive.repository, &dsc.source, &listed.name))?;
        if let Some(pooled) = pooled {
            found = open(archive.directory.join(pooled.path))?;
        }
    }
    let Some((file, path)) = found else {
        return Err(Error::Missing {
            file: listed.name.clone(),
            dsc: dsc_name.clone(),
        });
    };
    let checksums = disk::checksums(&file).doing("read", &path)?;
    listed
        .compare(&checksums)
        .map_err(|fault| Error::Checksum {
            file: listed.name.clone(),
            fault,
            dsc: dsc_name.clone(),
        })?;
    Ok((file, checksums))
}

/// Reads a package that was built from a source; `component` is by its section where none is given.
pub(super) fn read_binary(
    (source, source_version): (&PackageName, &Version),
    path: &Path,
    component: Option<&Component>,
) -> Result<(Package, Incoming), Error> {
    let name = file_name(path)?;
    let file = open(path)?;
    let (binary, package, checksums) = self::binary(&name, &file, component)?;
    if binary.source != *source || binary.source_version.as_str() != source_version.as_str() {
        return Err(fault(
            &name,
            &format!(
                "field Source: was built from {} {}, not from {source} {source_version}",
                binary.source, binary.source_version
            ),
        ));
    }
    let incoming = Incoming {
        directory: pool::directory(&package.component, &binary.source),
        source: binary.source,
        name,
        file,
        checksums,
    };
    Ok((package, incoming))
}

/// Reads what a .deb, .ddeb or .udeb says, and its sums; its name must agree.
pub(super) fn binary(
    name: &FileName,
    file: &File,
    component: Option<&Component>,
) -> Result<(BinaryPackage, Package, Checksums), Error> {
    let (kind, extension) = match name.as_str().rsplit_once('.') {
        Some((_, "deb")) => (Kind::Deb, "deb"),
        // Debug symbols as Ubuntu names them.
        Some((_, "ddeb")) => (Kind::Deb, "ddeb"),
        Some((_, "udeb")) => (Kind::Udeb, "udeb"),
        _ => return Err(fault(name, "is neither a .deb, a .ddeb nor a .udeb")),
    };
    let mut summing = Summing::new(file);
    let (binary, file_list) = BinaryPackage::read_all(&mut BufReader::new(&mut summing))
        .map_err(|source| malformed(name, source))?;
    let checksums = summing.finish().doing("read", Path::new(name.as_str()))?;
    let version = binary.version.without_epoch();
    check_name(
        name,
        &format!(
            "{}_{version}_{}.{extension}",
            binary.name, binary.architecture
        ),
    )?;
    for field in relation::OF_BINARY {
        if let Some(value) = binary.paragraph.get(field) {
            relation::check(value).map_err(|why| fault(name, &format!("field {field}: {why}")))?;
        }
    }
    let section = binary.paragraph.get("Section").unwrap_or("misc");
    let by_section = stanza::component(section).map_err(|source| malformed(name, source))?;
    let component = component.cloned().unwrap_or(by_section);
    let in_pool = format!("{}/{name}", pool::directory(&component, &binary.source));
    let package = Package {
        kind,
        section: section.to_owned(),
        priority: binary
            .paragraph
            .get("Priority")
            .unwrap_or("optional")
            .to_owned(),
        stanza: stanza::packages(&binary, &in_pool, &checksums),
        name: binary.name.clone(),
        version: binary.version.clone(),
        architecture: binary.architecture.clone(),
        component,
        file_list,
        files: vec![(in_pool, checksums.sha256.clone())],
    };
    Ok((binary, package, checksums))
}

/// An index has a name once; apt would choose one of two by chance.
fn refuse_twins(packages: &[Package]) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for package in packages {
        let key = (&package.component, package.index_name(), &package.name);
        if !seen.insert(key) {
            return Err(Error::Fault {
                file: package.title(),
                fault: "comes twice".to_owned(),
            });
        }
    }
    Ok(())
}

pub(super) fn file_name(path: &Path) -> Result<FileName, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.parse().map_err(|source| Error::Malformed {
        file: format!("name of {}", path.display()),
        source,
    })
}

fn open(path: &Path) -> Result<File, Error> {
    disk::open_regular(path).doing("open", path)
}

fn check_name(name: &FileName, expected: &str) -> Result<(), Error> {
    if name.as_str() == expected {
        return Ok(());
    }
    Err(fault(
        name,
        &format!("its control fields make it {expected}"),
    ))
}

fn malformed(name: &FileName, source: crate::deb::Error) -> Error {
    Error::Malformed {
        file: name.to_string(),
        source,
    }
}

fn fault(name: &FileName, fault: &str) -> Error {
    Error::Fault {
        file: name.to_string(),
        fault: fault.to_owned(),
    }
}

#[cfg(test)]
mod tests;
