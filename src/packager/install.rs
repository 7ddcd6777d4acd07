//! The end of an upload: its results are installed all together, or it has failed.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::archive::{Installation, Prepared};
use crate::deb::{BinaryPackage, Changes, FileName};
use crate::events::record;
use crate::home::FileError;
use crate::message::{self, tarball};
use crate::model::job::{BuildState, Outcome, Packaging, PackagingState};
use crate::model::message::request_name;
use crate::model::{BuildKey, Buildrequest, Buildresult, EventType};
use crate::pgp;
use crate::store::catalog::Catalog;

use super::examine::{commit, commit_in, read_upload, upload_fields};
use super::{Error, Parts, target};

/// A longer .changes of a build is refused.
const CHANGES_LIMIT: u64 = 4 << 20;

/// Finishes a packaging whose results are all in; `None`: they are not.
pub(super) fn finish(parts: &Parts, packaging: Packaging) -> Result<Option<Packaging>, Error> {
    let Some(outcome) = packaging.outcome() else {
        return Ok(None);
    };
    let finished = match outcome {
        Outcome::Fail(reason) => fail(parts, packaging, &reason)?,
        Outcome::Install => match install(parts, &packaging) {
            Ok(installed) => installed,
            Err(error) => fail(parts, packaging, &crate::cause::with_causes(&error))?,
        },
    };
    Ok(Some(finished))
}

fn fail(parts: &Parts, mut packaging: Packaging, reason: &str) -> Result<Packaging, Error> {
    packaging.state = PackagingState::Failed {
        error: reason.into(),
    };
    let mut extra = record::with_error(about_upload(parts, &packaging), 400, reason);
    extra.insert("buildresults".into(), about_results(&packaging).into());
    commit(parts, EventType::Failed, &packaging, extra)?;
    tracing::warn!(key = %packaging.key, reason, "packaging failed");
    Ok(packaging)
}

/// Files first, which may be repeated; then dist, job and event in one transaction.
fn install(parts: &Parts, packaging: &Packaging) -> Result<Packaging, Error> {
    let upload = read_upload(parts, packaging)?;
    let diststr = packaging.diststr.clone().ok_or(Error::NoTarget)?;
    let catalog = parts.store.read(Catalog::load)?;
    let suite = catalog.suite(&diststr).ok_or(Error::NoTarget)?;
    let rollbacks = suite.rollback;
    let directory = parts.home.event_directory(&packaging.upload());
    let dsc = upload.file_ending_with(".dsc").ok_or(Error::NoTarget)?;
    let mut binaries = Vec::new();
    for (_, result) in packaging.good_results() {
        if result.status() != Some("skipped") {
            binaries.extend(unpack(parts, result)?);
        }
    }
    let archive = parts.archive(&diststr.repository);
    let prepared: Prepared = archive.prepare(&Installation {
        dsc: directory.join(dsc.name.as_str()),
        binaries,
        directories: vec![directory],
        listed: Vec::new(),
    })?;

    let mut installed = packaging.clone();
    installed.state = PackagingState::Installed;
    let mut extra = about_upload(parts, &installed);
    extra.insert("auto_ports".into(), Map::new().into());
    extra.insert("buildresults".into(), about_results(&installed).into());
    let key = &packaging.key;
    parts.store.write::<_, Error>(|tx| {
        // Another version may have been installed since the upload was looked at.
        let present = archive.list(tx, &key.source)?;
        target::check_not_lower(&diststr, &key.version, &present).map_err(Box::new)?;
        archive.install(tx, &prepared, &diststr, rollbacks)?;
        commit_in(tx, EventType::Installed, &installed, extra)
    })?;
    for (_, result) in packaging.good_results() {
        // It is installed whatever is left behind.
        if let Err(error) = remove(&parts.home.unpacked(&result.key())) {
            tracing::warn!(%key, error = crate::cause::with_causes(&error), "can't clean up");
        }
    }
    tracing::info!(%key, %diststr, "installed");
    Ok(installed)
}

fn results(packaging: &Packaging) -> impl Iterator<Item = &Buildresult> {
    packaging
        .builds
        .values()
        .filter_map(|build| match &build.state {
            BuildState::Done(result) => Some(&**result),
            BuildState::Requested | BuildState::Sent | BuildState::Lost(_) => None,
        })
}

/// Unpacks and verifies what the builder sent; returns the packages to install.
fn unpack(parts: &Parts, result: &Buildresult) -> Result<Vec<PathBuf>, Error> {
    let key = result.key();
    let tar = parts
        .home
        .event_directory(&key)
        .join(format!("{}.tar", result.file_name()));
    let into = parts.home.unpacked(&key);
    remove(&into)?;
    fs::create_dir_all(&into).map_err(FileError::of("make", &into))?;
    let names = tarball::unpack(&tar, &into, tarball::Names::Flat)?;
    let bad = |fault: String| Error::Result {
        key: Box::new(key.clone()),
        fault,
    };
    let request = read_request(parts, &key)?;
    let changes = read_built_changes(&into, result)?;
    check_changes(&changes, result).map_err(bad)?;
    check_members(&names, &changes, &built_changes(result)).map_err(bad)?;
    let mut packages = Vec::new();
    for listed in &changes.files {
        let path = into.join(listed.name.as_str());
        let actual = message::checksums(&path)?;
        listed
            .compare(&actual)
            .map_err(|fault| bad(format!("{}: {fault}", listed.name)))?;
        if is_package(&listed.name) {
            check_package(&path, &request)
                .map_err(|fault| bad(format!("{}: {fault}", listed.name)))?;
            packages.push(path);
        }
    }
    Ok(packages)
}

fn remove(directory: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError::of("delete", directory)(source))
        }
        _ => Ok(()),
    }
}

/// `SOURCE_VERSION_ARCH.changes`, as dpkg-genchanges names it.
fn built_changes(result: &Buildresult) -> String {
    let base = result.key().package.file_base();
    format!("{base}_{}.changes", result.subject.architecture)
}

fn read_built_changes(directory: &Path, result: &Buildresult) -> Result<Changes, Error> {
    let path = directory.join(built_changes(result));
    let content = message::read_text(&path, CHANGES_LIMIT)?;
    // The builder's signature of the message covers it.
    let text = pgp::unauthenticated_text(&content)?;
    text.parse().map_err(|source| Error::Text { path, source })
}

/// What was asked, from our own file.
fn read_request(parts: &Parts, key: &BuildKey) -> Result<Buildrequest, Error> {
    let name = request_name(key);
    let path = parts.home.event_directory(key).join(name.as_str());
    let content = message::read_text(&path, CHANGES_LIMIT)?;
    let text = pgp::unauthenticated_text(&content)?;
    text.parse()
        .and_then(|changes| Buildrequest::from_changes(&changes))
        .map_err(|source| Error::Text { path, source })
}

fn check_changes(changes: &Changes, result: &Buildresult) -> Result<(), String> {
    if changes.source != result.subject.source {
        return Err(format!("Source: {} is another package", changes.source));
    }
    if changes.version != result.subject.version {
        return Err(format!("Version: {} is another version", changes.version));
    }
    Ok(())
}

/// Only what the .changes lists may be in the tar, and all of it must.
fn check_members(names: &[String], changes: &Changes, own: &str) -> Result<(), String> {
    let is_listed =
        |name: &String| name == own || changes.files.iter().any(|file| file.name.as_str() == name);
    if let Some(extra) = names.iter().find(|name| !is_listed(name)) {
        return Err(format!("Files: {extra} is not listed"));
    }
    let mut listed = changes.files.iter().map(|file| &file.name);
    match listed.find(|listed| !names.iter().any(|name| name == listed.as_str())) {
        Some(missing) => Err(format!("Files: {missing} is missing")),
        None => Ok(()),
    }
}

fn is_package(name: &FileName) -> bool {
    let name = Path::new(name.as_str());
    name.extension()
        .is_some_and(|extension| extension == "deb" || extension == "ddeb" || extension == "udeb")
}

/// A package must be of this source, and of an architecture that was asked for.
fn check_package(path: &Path, request: &Buildrequest) -> Result<(), String> {
    let mut file = fs::File::open(path).map_err(|error| error.to_string())?;
    let package = BinaryPackage::read(&mut file).map_err(|error| error.to_string())?;
    if package.source != request.subject.source {
        return Err(format!("Source: {} is another package", package.source));
    }
    if package.source_version != request.subject.version {
        return Err(format!(
            "Source: built of version {}",
            package.source_version
        ));
    }
    let is_all = package.architecture.as_str() == "all";
    if package.architecture != request.subject.architecture && !(is_all && request.arch_all) {
        return Err(format!(
            "Architecture: {} was not asked for",
            package.architecture
        ));
    }
    Ok(())
}

fn about_upload(parts: &Parts, packaging: &Packaging) -> Map<String, Value> {
    let fields = upload_fields(parts, packaging);
    record::message(&packaging.upload(), Some(&packaging.changes), &fields)
}

fn about_results(packaging: &Packaging) -> Map<String, Value> {
    results(packaging)
        .map(|result| {
            let about = record::message(
                &result.key(),
                Some(&result.file_name()),
                &result.to_paragraph(),
            );
            (result.subject.architecture.to_string(), about.into())
        })
        .collect()
}
