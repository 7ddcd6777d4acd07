//! From files somewhere to verified files in the pool and stanzas in hand.
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::deb::{
    Architecture, BinaryPackage, Checksums, Component, Dsc, FileName, ListedFile, PackageName,
    Version,
};
use crate::pgp;

use super::disk::{self, Doing};
use super::pool::{self, Incoming};
use super::{ArchiveDir, Error, Installation, stanza};

/// Largest .dsc that is read; Debian's largest have some 100 KiB.
const MAX_DSC: u64 = 8 << 20;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

impl Package {
    /// Name of the index that lists it, below its component; `binary-all` is part of all binary ones.
    pub(super) fn index_name(&self) -> String {
        match self.kind {
            Kind::Dsc => "source".to_owned(),
            Kind::Deb => format!("binary-{}", self.architecture),
            Kind::Udeb => format!("debian-installer/binary-{}", self.architecture),
        }
    }

    /// `hello 1.0 amd64`, for people.
    pub(super) fn title(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.architecture)
    }
}

pub(super) fn prepare(
    archive: &ArchiveDir,
    installation: &Installation,
) -> Result<Prepared, Error> {
    let (source, mut files) = read_source(archive, installation)?;
    let mut prepared = Prepared {
        source: source.name.clone(),
        version: source.version.clone(),
        component: source.component.clone(),
        packages: vec![source],
    };
    for path in &installation.binaries {
        let (package, incoming) = read_binary(&prepared, path)?;
        prepared.packages.push(package);
        files.push(incoming);
    }
    refuse_twins(&prepared.packages)?;
    pool::place(archive, &files)?;
    Ok(prepared)
}

fn read_source(
    archive: &ArchiveDir,
    installation: &Installation,
) -> Result<(Package, Vec<Incoming>), Error> {
    let name = file_name(&installation.dsc)?;
    let file = open(&installation.dsc)?;
    let dsc = parse_dsc(&name, &file, &installation.dsc)?;
    check_name(
        &name,
        &format!("{}_{}.dsc", dsc.source, dsc.version.without_epoch()),
    )?;
    let (section, priority) = stanza::source_section(&dsc);
    let component = stanza::component(section).map_err(|source| malformed(&name, source))?;
    let directory = pool::directory(&component, &dsc.source);
    let incoming = |name: FileName, file: File, checksums: Checksums| Incoming {
        source: dsc.source.clone(),
        name,
        directory: directory.clone(),
        file,
        checksums,
    };
    let checksums = disk::checksums(&file).doing("read", &installation.dsc)?;
    let mut files = vec![incoming(name.clone(), file, checksums)];
    for listed in &dsc.files {
        let (file, checksums) = find_listed(archive, installation, &dsc, &name, listed)?;
        files.push(incoming(listed.name.clone(), file, checksums));
    }
    let listed: Vec<(FileName, Checksums)> = files
        .iter()
        .map(|file| (file.name.clone(), file.checksums.clone()))
        .collect();
    let package = Package {
        kind: Kind::Dsc,
        name: dsc.source.clone(),
        version: dsc.version.clone(),
        architecture: "source"
            .parse()
            .expect("a valid word of an Architecture field"),
        section: section.to_owned(),
        priority: priority.to_owned(),
        stanza: stanza::sources(&dsc, &directory, &listed),
        file_list: Vec::new(),
        files: files
            .iter()
            .map(|file| (file.path(), file.checksums.sha256.clone()))
            .collect(),
        component,
    };
    Ok((package, files))
}

fn parse_dsc(name: &FileName, file: &File, path: &Path) -> Result<Dsc, Error> {
    let bytes = disk::read_bounded(file, MAX_DSC).doing("read", path)?;
    let text = pgp::unauthenticated_text(&bytes).map_err(|source| Error::Signature {
        file: name.to_string(),
        source,
    })?;
    text.parse().map_err(|source| malformed(name, source))
}

/// Opens and verifies a file that the .dsc lists: from the given directories, else from the pool.
fn find_listed(
    archive: &ArchiveDir,
    installation: &Installation,
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
    let is_package = [".dsc", ".deb", ".udeb"]
        .iter()
        .any(|end| listed.name.as_str().ends_with(end));
    if !is_ours || is_package {
        return Err(Error::Checksum {
            file: listed.name.clone(),
            fault: "is no name of a source file".to_owned(),
            dsc: dsc_name.clone(),
        });
    }
    let mut candidates: Vec<PathBuf> = installation
        .directories
        .iter()
        .map(|directory| directory.join(listed.name.as_str()))
        .collect();
    let pooled = archive
        .store
        .read(|tx| pool::find(tx, &archive.repository, &dsc.source, &listed.name))?;
    candidates.extend(pooled.map(|file| archive.directory.join(file.path)));
    for path in &candidates {
        let file = match disk::open_regular(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).doing("open", path),
        };
        let checksums = disk::checksums(&file).doing("read", path)?;
        listed
            .compare(&checksums)
            .map_err(|fault| Error::Checksum {
                file: listed.name.clone(),
                fault,
                dsc: dsc_name.clone(),
            })?;
        return Ok((file, checksums));
    }
    Err(Error::Missing {
        file: listed.name.clone(),
        dsc: dsc_name.clone(),
    })
}

fn read_binary(source: &Prepared, path: &Path) -> Result<(Package, Incoming), Error> {
    let name = file_name(path)?;
    let (kind, extension) = match name.as_str().rsplit_once('.') {
        Some((_, "deb")) => (Kind::Deb, "deb"),
        Some((_, "udeb")) => (Kind::Udeb, "udeb"),
        _ => return Err(fault(&name, "is neither a .deb nor a .udeb")),
    };
    let mut file = open(path)?;
    let binary = BinaryPackage::read(&mut BufReader::new(&mut file))
        .map_err(|source| malformed(&name, source))?;
    file.seek(SeekFrom::Start(0)).doing("read", path)?;
    let file_list = BinaryPackage::read_file_list(&mut BufReader::new(&mut file))
        .map_err(|source| malformed(&name, source))?;
    let checksums = disk::checksums(&file).doing("read", path)?;

    let version = binary.version.without_epoch();
    check_name(
        &name,
        &format!(
            "{}_{version}_{}.{extension}",
            binary.name, binary.architecture
        ),
    )?;
    if binary.source != source.source || binary.source_version.as_str() != source.version.as_str() {
        return Err(fault(
            &name,
            &format!(
                "field Source: was built from {} {}, not from {} {}",
                binary.source, binary.source_version, source.source, source.version
            ),
        ));
    }
    let section = binary.paragraph.get("Section").unwrap_or("misc");
    let component = stanza::component(section).map_err(|source| malformed(&name, source))?;
    let directory = pool::directory(&component, &binary.source);
    let incoming = Incoming {
        source: binary.source.clone(),
        name,
        directory,
        file,
        checksums,
    };
    let in_pool = incoming.path();
    let package = Package {
        kind,
        section: section.to_owned(),
        priority: binary
            .paragraph
            .get("Priority")
            .unwrap_or("optional")
            .to_owned(),
        stanza: stanza::packages(&binary, &in_pool, &incoming.checksums),
        name: binary.name,
        version: binary.version,
        architecture: binary.architecture,
        component,
        file_list,
        files: vec![(in_pool, incoming.checksums.sha256.clone())],
    };
    Ok((package, incoming))
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

fn file_name(path: &Path) -> Result<FileName, Error> {
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
mod tests {
    use std::fs;

    use super::*;
    use crate::archive::fixture::Fixture;
    use crate::archive::sample::{Binary, damage};

    fn binary<'a>(name: &'a str, source: &'a str) -> Binary<'a> {
        Binary {
            name,
            version: "1",
            architecture: "amd64",
            source,
            section: "misc",
        }
    }

    /// All files below the pool, sorted, and nothing beside them.
    fn pool(fixture: &Fixture) -> Vec<String> {
        let mut files = Vec::new();
        let mut open = vec![fixture.archive.directory().to_owned()];
        while let Some(directory) = open.pop() {
            let Ok(entries) = fs::read_dir(directory) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let path = path.strip_prefix(fixture.archive.directory()).unwrap();
                    files.push(path.to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }

    #[test]
    fn files_go_to_their_places_by_component_and_source() {
        let fixture = Fixture::new();
        let dsc = fixture.samples.source("libhello", "1:1.2", "misc");
        let binaries = [("hello", "1:1.2"), ("hello-data", "7")].map(|(name, version)| {
            let section = if version == "7" {
                "non-free/misc"
            } else {
                "misc"
            };
            fixture.samples.binary(&Binary {
                name,
                version,
                architecture: "all",
                source: "libhello (1:1.2)",
                section,
            })
        });
        for _ in 0..2 {
            fixture
                .prepare(dsc.clone(), binaries.clone().into())
                .unwrap();
            assert_eq!(
                pool(&fixture),
                [
                    "pool/main/libh/libhello/hello_1.2_all.deb",
                    "pool/main/libh/libhello/libhello_1.2.dsc",
                    "pool/main/libh/libhello/libhello_1.2.tar.gz",
                    "pool/non-free/libh/libhello/hello-data_7_all.deb"
                ]
            );
        }
        // Prepared, but in no dist.
        assert_eq!(
            fixture.count("SELECT count(*) FROM pool_file WHERE unused_since IS NULL"),
            0
        );
    }

    #[test]
    fn a_file_that_is_only_in_the_pool_is_taken_from_there() {
        let fixture = Fixture::new();
        fixture.install("hello", "1").unwrap();
        let (dsc, binary) = fixture.files("hello", "1");
        let name = "hello_1.tar.gz".parse().unwrap();
        fs::remove_file(fixture.samples.directory.join("hello_1.tar.gz")).unwrap();
        fixture.install_files(dsc, vec![binary]).unwrap();
        let source = "hello".parse().unwrap();
        let found = fixture
            .store
            .read(|tx| fixture.archive.pool_file(tx, &source, &name))
            .unwrap()
            .unwrap();
        assert_eq!(
            found.path.to_str(),
            Some("pool/main/h/hello/hello_1.tar.gz")
        );
        let path = fixture.archive.directory().join(found.path);
        assert_eq!(found.checksums.size, fs::metadata(path).unwrap().len());
    }

    #[test]
    fn what_differs_from_the_dsc_is_refused_with_the_field() {
        let fixture = Fixture::new();
        let (dsc, _) = fixture.package("hello", "1");
        let tar = fixture.samples.directory.join("hello_1.tar.gz");
        let original = fs::read(&tar).unwrap();

        damage(&tar);
        let fault = fixture.prepare(dsc.clone(), vec![]).unwrap_err();
        assert!(
            fault
                .to_string()
                .starts_with("hello_1.tar.gz: size: expected")
        );

        let mut flipped = original.clone();
        flipped[20] ^= 1;
        fs::write(&tar, flipped).unwrap();
        let fault = fixture.prepare(dsc.clone(), vec![]).unwrap_err();
        assert!(
            fault
                .to_string()
                .starts_with("hello_1.tar.gz: Checksums-Sha256: expected"),
            "{fault}"
        );

        fs::remove_file(&tar).unwrap();
        let fault = fixture.prepare(dsc.clone(), vec![]).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "hello_1.tar.gz, which hello_1.dsc lists, is missing"
        );

        std::os::unix::fs::symlink("/etc/passwd", &tar).unwrap();
        let fault = fixture.prepare(dsc, vec![]).unwrap_err();
        assert!(matches!(fault, Error::File { action: "open", .. }));
        assert_eq!(pool(&fixture), Vec::<String>::new());
    }

    #[test]
    fn a_dsc_brings_only_source_files_of_its_own_name() {
        let fixture = Fixture::new();
        let (dsc, _) = fixture.package("hello", "1");
        let text = fs::read_to_string(&dsc).unwrap();
        for name in ["other_1.tar.gz", "hello_1_amd64.deb", "hello_2.dsc"] {
            fs::write(&dsc, text.replace("hello_1.tar.gz", name)).unwrap();
            fs::copy(
                fixture.samples.directory.join("hello_1.tar.gz"),
                fixture.samples.directory.join(name),
            )
            .unwrap();
            let fault = fixture
                .prepare(dsc.clone(), vec![])
                .unwrap_err()
                .to_string();
            assert_eq!(
                fault,
                format!("{name}: is no name of a source file in hello_1.dsc")
            );
        }
        fs::write(&dsc, text.replace("Version: 1", "Version: 2")).unwrap();
        let fault = fixture.prepare(dsc, vec![]).unwrap_err().to_string();
        assert_eq!(fault, "hello_1.dsc: its control fields make it hello_2.dsc");
    }

    #[test]
    fn a_deb_that_is_damaged_or_misnamed_or_foreign_is_refused() {
        let fixture = Fixture::new();
        let (dsc, deb) = fixture.package("hello", "1");
        let refuse = |binaries: Vec<PathBuf>| {
            let fault = fixture.prepare(dsc.clone(), binaries).unwrap_err();
            assert_eq!(pool(&fixture), Vec::<String>::new());
            fault.to_string()
        };

        let renamed = fixture.samples.directory.join("hello_2_amd64.deb");
        fs::copy(&deb, &renamed).unwrap();
        assert_eq!(
            refuse(vec![renamed]),
            "hello_2_amd64.deb: its control fields make it hello_1_amd64.deb"
        );
        assert_eq!(
            refuse(vec![dsc.clone()]),
            "hello_1.dsc: is neither a .deb nor a .udeb"
        );
        assert_eq!(
            refuse(vec![deb.clone(), deb.clone()]),
            "hello 1 amd64: comes twice"
        );

        let foreign = fixture.samples.binary(&binary("foreign", "other"));
        assert_eq!(
            refuse(vec![foreign]),
            "foreign_1_amd64.deb: field Source: was built from other 1, not from hello 1"
        );
        let older = fixture.samples.binary(&binary("older", "hello (0.9)"));
        assert!(refuse(vec![older]).contains("was built from hello 0.9, not from hello 1"));

        let whole = fs::read(&deb).unwrap();
        for length in [0, 7, 100, whole.len() / 2, whole.len() - 10] {
            fs::write(&deb, &whole[..length]).unwrap();
            assert_eq!(
                refuse(vec![deb.clone()]),
                "hello_1_amd64.deb is malformed",
                "{length}"
            );
        }
    }

    #[test]
    fn other_content_under_a_name_in_use_is_refused() {
        let fixture = Fixture::new();
        fixture.install("hello", "1").unwrap();
        let (dsc, _) = fixture.files("hello", "1");
        let other = fixture.samples.binary(&Binary {
            section: "admin",
            ..binary("hello", "hello")
        });
        let refused = fixture.install_files(dsc, vec![other]).unwrap_err();
        assert!(
            refused.to_string().starts_with(
                "pool/main/h/hello/hello_1_amd64.deb is in the pool with other content"
            )
        );
    }

    #[test]
    fn other_content_replaces_what_was_prepared_but_never_installed() {
        let fixture = Fixture::new();
        let (dsc, deb) = fixture.package("hello", "1");
        let first = fixture.prepare(dsc.clone(), vec![deb]).unwrap();
        let other = fixture.samples.binary(&Binary {
            section: "admin",
            ..binary("hello", "hello")
        });
        let second = fixture.prepare(dsc, vec![other]).unwrap();
        let refused = fixture.install_prepared(&first);
        assert!(matches!(refused, Err(Error::OtherContent { .. })));
        fixture.install_prepared(&second).unwrap();
    }
}
