//! Collecting what was built: only regular files that the .changes lists, below the build directory, bounded in size
//! and number, their checksums computed here.
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::package::BUILD_PATH;
use super::steps::Build;
use super::stop::Stop;
use crate::chroots::Session;
use crate::deb::{Changes, Checksums, FileName, ListedFile};
use crate::model::Buildrequest;

const LONGEST_CHANGES: u64 = 8 << 20;
const MOST_FILES: usize = 4096;
/// Until here nobody minds holes.
const MOST_SPARSE_BYTES: u64 = 64 << 20;
/// Packages are compressed: on disk they take what they are long, or the part of it that a file system saves.
const LEAST_PART_ON_DISK: u64 = 8;

/// Name of the .changes in `result/`, whatever dpkg called it.
pub(super) fn changes_name(request: &Buildrequest) -> FileName {
    named(request, request.subject.architecture.as_str())
}

fn named(request: &Buildrequest, architecture: &str) -> FileName {
    format!(
        "{}_{architecture}.changes",
        request.key().package.file_base()
    )
    .parse()
    .expect("source, version and architecture were validated as parts of file names")
}

/// Copies the .changes and its files to `result/`.
pub(super) fn collect(build: &Build, session: &Session) -> Result<Changes, Stop> {
    let request = &build.assignment.request;
    let text = read_changes(session, request)?;
    let name = changes_name(request);
    let changes: Changes = text
        .parse()
        .map_err(|error| fault(&name, format!("{error}")))?;
    check(&changes, request, build.assignment.limits.output_mib << 20)?;
    let directory = build.assignment.directory.join("result");
    fs::create_dir_all(&directory).map_err(failed(&directory))?;
    check_space(
        total(&changes),
        free(&directory).map_err(failed(&directory))?,
    )
    .map_err(failed(&directory))?;
    for listed in &changes.files {
        let from = session
            .open(&Path::new(BUILD_PATH).join(listed.name.as_str()))
            .map_err(|error| fault(&listed.name, super::stop::in_one_line(&error)))?;
        copy(from, listed, &directory)?;
    }
    let path = directory.join(name.as_str());
    fs::write(&path, text).map_err(failed(&path))?;
    Ok(changes)
}

/// dpkg-genchanges names it by architecture, or `all` where nothing else was built.
fn read_changes(session: &Session, request: &Buildrequest) -> Result<String, Stop> {
    let names = [changes_name(request), named(request, "all")];
    let files = names
        .iter()
        .map(|name| session.open(&Path::new(BUILD_PATH).join(name.as_str())));
    let mut first_error = None;
    for file in files {
        match file {
            Ok(file) => {
                return read_bounded(file).map_err(|error| fault(&names[0], format!("{error}")));
            }
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    let reason = first_error
        .map(|error| super::stop::in_one_line(&error))
        .unwrap_or_default();
    Err(fault(&names[0], reason))
}

fn read_bounded(file: File) -> io::Result<String> {
    let mut text = String::new();
    let length = file.take(LONGEST_CHANGES).read_to_string(&mut text)? as u64;
    if length == LONGEST_CHANGES {
        return Err(io::Error::other("too long"));
    }
    Ok(text)
}

/// Refuses a .changes that is not about what was asked for: the package wrote it.
fn check(changes: &Changes, request: &Buildrequest, most_bytes: u64) -> Result<(), Stop> {
    let name = changes_name(request);
    let refuse = |text: String| Err(fault(&name, text));
    if changes.source != request.subject.source {
        return refuse(format!(
            "Source is {}, expected {}",
            changes.source, request.subject.source
        ));
    }
    if changes.version != request.subject.version {
        return refuse(format!(
            "Version is {}, expected {}",
            changes.version, request.subject.version
        ));
    }
    let architecture = changes
        .architectures
        .iter()
        .find(|word| word.as_str() != "all" && **word != request.subject.architecture);
    if let Some(architecture) = architecture {
        return refuse(format!("Architecture has {architecture}"));
    }
    if changes.files.len() > MOST_FILES {
        return refuse(format!("lists {} files", changes.files.len()));
    }
    let bytes = total(changes);
    if bytes > most_bytes {
        return refuse(format!("lists {bytes} bytes"));
    }
    if let Some(file) = changes.files.iter().find(|file| file.name == name) {
        return refuse(format!("lists {}", file.name));
    }
    Ok(())
}

fn total(changes: &Changes) -> u64 {
    let sizes = changes.files.iter().map(|file| file.size);
    sizes.fold(0, u64::saturating_add)
}

/// Bytes that are free where `directory` is.
fn free(directory: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// What is kept is packed into a tar beside it.
fn check_space(bytes: u64, free: u64) -> io::Result<()> {
    if bytes.saturating_mul(2) <= free {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::StorageFull,
        format!("{bytes} bytes would have to be there twice, {free} are free"),
    ))
}

/// Refuses what would fill our disk with holes.
fn check_sparse(size: u64, on_disk: u64) -> Result<(), String> {
    if size <= MOST_SPARSE_BYTES || on_disk >= size / LEAST_PART_ON_DISK {
        return Ok(());
    }
    Err(format!(
        "is sparse: {size} bytes, of which {on_disk} are on disk"
    ))
}

fn copy(from: File, listed: &ListedFile, directory: &Path) -> Result<(), Stop> {
    let path = directory.join(listed.name.as_str());
    let found = from.metadata().map_err(failed(&path))?;
    // st_blocks counts 512 bytes each (stat(2)).
    check_sparse(found.len(), found.blocks().saturating_mul(512))
        .map_err(|text| fault(&listed.name, text))?;
    let mut to = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(failed(&path))?;
    // One byte more than listed shows a file that is too long, or grows.
    io::copy(&mut from.take(listed.size.saturating_add(1)), &mut to).map_err(failed(&path))?;
    to.seek(SeekFrom::Start(0)).map_err(failed(&path))?;
    let actual = Checksums::of(&mut to).map_err(failed(&path))?;
    listed
        .compare(&actual)
        .map_err(|text| fault(&listed.name, text))
}

fn fault(name: &FileName, fault: String) -> Stop {
    Stop::Result {
        name: name.to_string(),
        fault,
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Stop {
    let path = path.to_owned();
    move |source| Stop::Keep { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::tests::request;

    fn changes(source: &str, architecture: &str) -> Changes {
        let digest = "0".repeat(64);
        format!(
            "Format: 1.8\nSource: {source}\nArchitecture: {architecture}\nVersion: 2.10-3\n\
             Distribution: trixie-test-unstable\nChecksums-Sha256:\n {digest} 5 hello_2.10-3_amd64.deb\n\
             Files:\n {} 5 devel optional hello_2.10-3_amd64.deb\n",
            "0".repeat(32)
        )
        .parse()
        .unwrap()
    }

    #[test]
    fn changes_of_what_was_asked_for_is_taken() {
        assert!(check(&changes("hello", "all amd64"), &request(), 1 << 20).is_ok());
    }

    #[test]
    fn changes_of_anything_else_is_the_packages_fault() {
        for other in [
            changes("bash", "amd64"),
            changes("hello", "arm64"),
            changes("hello", "source"),
        ] {
            let stop = check(&other, &request(), 1 << 20).unwrap_err();
            assert_eq!(stop.status(), crate::build::BuildStatus::Attempted);
        }
    }

    #[test]
    fn a_file_that_is_longer_than_listed_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("long");
        fs::write(&long, "content that is longer").unwrap();
        let result = tempfile::tempdir().unwrap();
        let listed = &changes("hello", "amd64").files[0];
        assert!(copy(File::open(&long).unwrap(), listed, result.path()).is_err());
    }

    #[test]
    fn a_large_sparse_file_is_the_packages_fault_and_is_not_copied() {
        let directory = tempfile::tempdir().unwrap();
        let sparse = directory.path().join("sparse");
        File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
        let result = tempfile::tempdir().unwrap();
        let mut listed = changes("hello", "amd64").files[0].clone();
        listed.size = 1 << 40;
        let stop = copy(File::open(&sparse).unwrap(), &listed, result.path()).unwrap_err();
        assert_eq!(stop.status(), crate::build::BuildStatus::Attempted);
        assert_eq!(fs::read_dir(result.path()).unwrap().count(), 0);
    }

    #[test]
    fn small_and_compressed_files_may_have_holes() {
        assert!(check_sparse(64 << 20, 0).is_ok());
        assert!(check_sparse(1 << 30, 1 << 27).is_ok());
        assert!(check_sparse(1 << 30, (1 << 27) - 1).is_err());
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        assert!(check_space(5, 10).is_ok());
        let fault = check_space(6, 10).unwrap_err().to_string();
        assert!(fault.contains("10 are free"), "{fault}");
    }
}
