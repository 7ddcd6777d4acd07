//! Buildresults: what a build came to, its log, and the tar of what it made.
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::build::{BuildStatus, Verdict};
use crate::deb::{Changes, FileName};
use crate::home::{self, FileError};
use crate::message;
use crate::message::tarball::{self, Content, Member};
use crate::model::{Buildrequest, Buildresult};
use crate::pgp;

use super::{Error, Parts};

/// A longer .changes of a build is not believed.
pub(super) const CHANGES_LIMIT: u64 = 4 << 20;

/// Fields of the answer to `request`; without a verdict the fault is the builder's.
pub(super) fn of(request: &Buildrequest, verdict: Result<&Verdict, &str>) -> Buildresult {
    let mut result = request.result();
    match verdict {
        Ok(verdict) => {
            result.sbuild = verdict.summary.clone();
            let status = word(verdict.status).to_owned();
            result.sbuild.insert("status".into(), status);
            if verdict.status == BuildStatus::Failed {
                result.internal_error = verdict.error.as_deref().map(one_line);
            }
        }
        Err(error) => result.internal_error = Some(one_line(error)),
    }
    result
}

/// In sbuild's words.
fn word(status: BuildStatus) -> &'static str {
    match status {
        BuildStatus::Successful => "successful",
        BuildStatus::Skipped => "skipped",
        BuildStatus::Attempted => "attempted",
        BuildStatus::GivenBack => "given-back",
        BuildStatus::Failed => "failed",
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes tar and signed .changes into the build's directory; may be repeated.
pub(super) fn write(
    parts: &Parts,
    result: &Buildresult,
    verdict: Option<&Verdict>,
) -> Result<(), Error> {
    let directory = parts.home.build_directory(&result.key());
    fs::create_dir_all(&directory).map_err(FileError::of("make", &directory))?;
    let log = beside(&directory, &result.subject.buildlog());
    if !log.is_file() {
        write_log(&log, result)?;
    }
    let mut files = vec![log];
    let tar = tar(&directory, &result.file_name());
    if let Some(changes) = verdict.and_then(|verdict| verdict.changes.as_ref()) {
        tarball::pack(&tar, &built(&directory.join("result"), changes)?)?;
        files.push(tar);
    } else {
        remove_if_there(&tar)?;
    }
    message::write(
        &directory,
        &result.file_name(),
        result.to_paragraph(),
        &files,
        parts.keys.now().primary(),
    )?;
    Ok(())
}

/// The log, whose path others see below their builds and events directories.
fn beside(directory: &Path, buildlog: &str) -> PathBuf {
    directory.join(buildlog.rsplit('/').next().unwrap_or_default())
}

/// A build that never began still has a log: it is where people look first.
fn write_log(log: &Path, result: &Buildresult) -> Result<(), FileError> {
    let error = result.internal_error.as_deref().unwrap_or("no log");
    home::replace(log, format!("E: {error}\n").as_bytes()).map_err(FileError::of("write", log))
}

/// A tar of an earlier try.
fn remove_if_there(tar: &Path) -> Result<(), FileError> {
    match fs::remove_file(tar) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError::of("delete", tar)(source))
        }
        _ => Ok(()),
    }
}

fn tar(directory: &Path, name: &FileName) -> PathBuf {
    directory.join(format!("{name}.tar"))
}

/// The built .changes and what it lists.
fn built(directory: &Path, changes: &FileName) -> Result<Vec<Member>, Error> {
    let parsed = read_changes(&directory.join(changes.as_str()))?;
    let listed = parsed.files.iter().map(|file| &file.name);
    let members = listed.chain([changes]).map(|name| Member {
        name: name.to_string(),
        content: Content::File(directory.join(name.as_str())),
    });
    Ok(members.collect())
}

fn read_changes(path: &Path) -> Result<Changes, Error> {
    let content = message::read_text(path, CHANGES_LIMIT)?;
    pgp::unauthenticated_text(&content)
        .map_err(|error| error.to_string())
        .and_then(|text| {
            text.parse()
                .map_err(|error: crate::deb::Error| error.to_string())
        })
        .map_err(|fault| {
            let (path, source) = (path.into(), io::Error::other(fault));
            message::Error::Read { path, source }.into()
        })
}

/// What is sent: files in the order of the signed .changes, and that.
pub(super) fn files(
    directory: &Path,
    request: &Buildrequest,
) -> Result<(Vec<PathBuf>, PathBuf), Error> {
    let path = directory.join(request.result().file_name().as_str());
    let listed = read_changes(&path)?;
    let listed = listed.files.iter();
    let files: Vec<_> = listed
        .map(|file| directory.join(file.name.as_str()))
        .collect();
    for path in &files {
        fs::metadata(path).map_err(|source| message::Error::Read {
            path: path.clone(),
            source,
        })?;
    }
    Ok((files, path))
}

/// Leaves stock's mark beside a .changes that has arrived.
pub(super) fn note_upload(changes: &Path, url: &str) -> Result<(), FileError> {
    let path = changes.with_extension("upload");
    home::replace(&path, format!("{url}\n").as_bytes()).map_err(FileError::of("write", &path))
}
