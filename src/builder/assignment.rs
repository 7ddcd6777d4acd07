//! What a build's supervisor is told.
use std::path::Path;
use std::{fs, io};

use crate::build::Assignment;
use crate::deb::{self, Changes};
use crate::home::FileError;
use crate::message::{
    self,
    tarball::{self, Names},
};
use crate::model::{Buildrequest, Chroot, Daemon};
use crate::pgp;
use crate::store::catalog::Catalog;
use crate::store::jobs::Build;
use crate::store::{self, items};

use super::result::CHANGES_LIMIT;
use super::{Error, Parts};

/// Unpacks the buildrequest into its directory and names the chroot; may be repeated.
///
/// What we ask ourselves is brought to our present URLs.
pub(super) fn make(parts: &Parts, build: &mut Build) -> Result<Assignment, Error> {
    let former_url = build.request.packager.clone();
    if parts.is_own(&build.requester) {
        let (request, address) = (&mut build.request, &parts.address);
        request.packager.clone_from(&address.http_url);
        request.builder.clone_from(&address.http_url);
        request.upload_to.clone_from(&address.incoming_url);
    }
    let request = &build.request;
    let catalog = parts.store.read(Catalog::load)?;
    let daemon = parts
        .store
        .read::<_, store::Error>(|tx| items::get::<Daemon>(tx, "daemon"))?;
    let chroot = chroot(&catalog, request)?.clone();
    let assignment = Assignment {
        request: request.clone(),
        chroot,
        machine: parts.machine.clone(),
        home: parts.home.root().to_owned(),
        directory: parts.home.build_directory(&request.key()),
        parallel: parallel(parts.load.slots()),
        limits: daemon.map(|(daemon, _)| daemon.limits).unwrap_or_default(),
    };
    let changes = assignment.directory.join(request.file_name().as_str());
    verify(&changes, &build.digest)?;
    let tar = changes.with_extension("changes.tar");
    let directory = assignment.request_directory();
    empty(&directory).map_err(FileError::of("empty", &directory))?;
    tarball::unpack(&tar, &directory, Names::WithConfig)?;
    if request.packager != former_url {
        let list = directory.join(tarball::CONFIG).join("apt_sources.list");
        let text = fs::read_to_string(&list).map_err(FileError::of("read", &list))?;
        let (former, present) = (format!("{former_url}/"), format!("{}/", request.packager));
        fs::write(&list, text.replace(&former, &present)).map_err(FileError::of("write", &list))?;
    }
    Ok(assignment)
}

/// Holds the files of a buildrequest against what came through the door: it may have waited for long.
fn verify(changes: &Path, digest: &str) -> Result<(), message::Error> {
    let other = |fault: String| message::Error::Read {
        path: changes.into(),
        source: io::Error::other(fault),
    };
    if message::checksums(changes)?.sha256 != digest {
        return Err(other("it is another than it was".into()));
    }
    let text = message::read_text(changes, CHANGES_LIMIT)?;
    let text = pgp::unauthenticated_text(&text).map_err(|error| other(error.to_string()))?;
    let parsed: Changes = text
        .parse()
        .map_err(|error: deb::Error| other(error.to_string()))?;
    for listed in &parsed.files {
        let path = changes.with_file_name(listed.name.as_str());
        let actual = message::checksums(&path)?;
        listed
            .compare(&actual)
            .map_err(|fault| other(format!("{}: {fault}", listed.name)))?;
    }
    Ok(())
}

fn empty(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir(directory)
}

pub(super) fn chroot<'a>(
    catalog: &'a Catalog,
    request: &Buildrequest,
) -> Result<&'a Chroot, Error> {
    let codename = catalog.resolve(&request.subject.distribution)?.codename;
    let architecture = &request.subject.architecture;
    let fits =
        |chroot: &&Chroot| chroot.codename == codename && chroot.architecture == *architecture;
    let found = catalog.chroots().find(fits);
    found.ok_or_else(|| Error::NoChroot(format!("{codename}:{architecture}")))
}

/// The processors shared out among the slots.
fn parallel(slots: usize) -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from((processors / slots).max(1)).unwrap_or(1)
}
