//! What a build's supervisor is told.
use crate::build::Assignment;
use crate::message::tarball::{self, Names};
use crate::model::{Buildrequest, Chroot, Daemon};
use crate::store::catalog::Catalog;
use crate::store::{self, items};

use super::{Error, Parts};

/// Unpacks the buildrequest into its directory and names the chroot; may be repeated.
pub(super) fn make(parts: &Parts, request: &Buildrequest) -> Result<Assignment, Error> {
    let catalog = parts.store.read(Catalog::load)?;
    let daemon = parts
        .store
        .read::<_, store::Error>(|tx| items::get::<Daemon>(tx, "daemon"))?;
    let chroot = chroot(&catalog, request)?.clone();
    let directory = parts.home.build_directory(&request.key());
    let tar = directory.join(format!("{}.tar", request.file_name()));
    tarball::unpack(&tar, &directory, Names::WithConfig)?;
    Ok(Assignment {
        request: request.clone(),
        chroot,
        home: parts.home.root().to_owned(),
        directory,
        parallel: parallel(parts.load.slots()),
        limits: daemon.map(|(daemon, _)| daemon.limits).unwrap_or_default(),
    })
}

fn chroot<'a>(catalog: &'a Catalog, request: &Buildrequest) -> Result<&'a Chroot, Error> {
    let codename = catalog.resolve(&request.distribution)?.codename;
    let architecture = &request.architecture;
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
