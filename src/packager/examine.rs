//! The first look at an upload: rejected with a reason, or asked of builders.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::archive::ArchiveDir;
use crate::certificate;
use crate::deb::{Architecture, Changes, Dsc, FileName, Paragraph, changelog};
use crate::events::record;
use crate::home::FileError;
use crate::incoming::listing::parse_dsc;
use crate::message;
use crate::model::build_sources::BuildSources;
use crate::model::job::{BuildState, Packaging, PackagingState, RequestedBuild};
use crate::model::{Buildrequest, Diststr, Event, EventType, UploadOptions};
use crate::pgp::{self, Keyring, SigningKeys};
use crate::remotes::{self, Candidate};
use crate::store::catalog::Catalog;
use crate::store::{Transaction, event_log, jobs};

use super::buildrequest::{self, Config, Ends};
use super::rejection::Rejection;
use super::target::{self, Target};
use super::{Error, Parts};

/// A longer .changes or .dsc didn't pass the door.
const TEXT_LIMIT: u64 = 4 << 20;

/// What is asked of whom.
struct Asked {
    request: Buildrequest,
    config: Config,
    optional: bool,
}

/// Why there are no buildrequests: the upload's fault, or ours.
#[derive(Debug)]
enum Stop {
    Rejected(Rejection),
    Failed(Error),
}

impl<E: Into<Rejection>> From<E> for Stop {
    fn from(rejection: E) -> Stop {
        Stop::Rejected(rejection.into())
    }
}

/// Decides about an upload whose state is Accepted, and commits that. May be repeated.
pub(super) fn examine(parts: &Parts, mut packaging: Packaging) -> Result<Packaging, Error> {
    let upload = read_upload(parts, &packaging)?;
    let catalog = parts.store.read(Catalog::load)?;
    match plan(parts, &catalog, &packaging, &upload) {
        Ok(Plan {
            diststr,
            experimental,
            asked,
            sources,
        }) => {
            packaging.diststr = Some(diststr);
            packaging.experimental = experimental;
            for asked in &asked {
                let directory = parts.home.event_directory(&asked.request.key());
                fs::create_dir_all(&directory).map_err(FileError::of("make", &directory))?;
                buildrequest::write(
                    &directory,
                    &asked.request,
                    &asked.config,
                    &sources,
                    parts.keys.now().primary(),
                )?;
            }
            commit_requests(parts, packaging, &upload, &asked)
        }
        Err(Stop::Rejected(rejection)) => reject(
            parts,
            packaging,
            &upload.paragraph,
            rejection.status(),
            &rejection.to_string(),
        ),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The upload's .changes as it lies in its events directory; its signature was checked at the door.
pub(super) fn read_upload(parts: &Parts, packaging: &Packaging) -> Result<Changes, Error> {
    let directory = parts.home.event_directory(&packaging.upload());
    let path = directory.join(packaging.changes.as_str());
    let content = message::read_text(&path, TEXT_LIMIT)?;
    let text = pgp::unauthenticated_text(&content)?;
    text.parse().map_err(|source| Error::Text { path, source })
}

/// Fields of the upload for its events; none if its files are lost.
pub(super) fn upload_fields(parts: &Parts, packaging: &Packaging) -> Paragraph {
    let upload = read_upload(parts, packaging);
    upload.map(|upload| upload.paragraph).unwrap_or_default()
}

pub(super) fn reject(
    parts: &Parts,
    mut packaging: Packaging,
    paragraph: &Paragraph,
    status: u16,
    detail: &str,
) -> Result<Packaging, Error> {
    packaging.state = PackagingState::Rejected {
        error: detail.into(),
    };
    let extra = record::message(&packaging.upload(), Some(&packaging.changes), paragraph);
    let extra = record::with_error(extra, status, detail);
    commit(parts, EventType::Rejected, &packaging, extra)?;
    tracing::warn!(key = %packaging.key, reason = detail, "upload rejected");
    Ok(packaging)
}

/// State and event are one.
pub(super) fn commit(
    parts: &Parts,
    kind: EventType,
    packaging: &Packaging,
    extra: Map<String, Value>,
) -> Result<(), Error> {
    parts
        .store
        .write(|tx| commit_in(tx, kind, packaging, extra))
}

pub(super) fn commit_in(
    tx: &Transaction<'_>,
    kind: EventType,
    packaging: &Packaging,
    extra: Map<String, Value>,
) -> Result<(), Error> {
    let key = packaging.upload();
    let now = Timestamp::now();
    let event = Event::new(kind, &packaging.distribution, &key, now, extra);
    jobs::put_packaging(tx, packaging)?;
    event_log::add(tx, &event, &key.to_string())?;
    Ok(())
}

fn commit_requests(
    parts: &Parts,
    mut packaging: Packaging,
    upload: &Changes,
    asked: &[Asked],
) -> Result<Packaging, Error> {
    packaging.state = PackagingState::Packaging;
    packaging.builds = asked.iter().map(requested).collect::<BTreeMap<_, _>>();
    let mut extra = record::message(
        &packaging.upload(),
        Some(&packaging.changes),
        &upload.paragraph,
    );
    let requests: Map<String, Value> = asked
        .iter()
        .map(|asked| {
            let request = &asked.request;
            let about = record::message(
                &request.key(),
                Some(&request.file_name()),
                &request.to_paragraph(),
            );
            (request.subject.architecture.to_string(), about.into())
        })
        .collect();
    extra.insert("buildrequests".into(), requests.into());
    commit(parts, EventType::Packaging, &packaging, extra)?;
    Ok(packaging)
}

fn requested(asked: &Asked) -> (Architecture, RequestedBuild) {
    let request = &asked.request;
    let build = RequestedBuild {
        builder: request.builder.clone(),
        optional: asked.optional,
        modes: request.modes(),
        state: BuildState::Requested,
        refusals: 0,
    };
    (request.subject.architecture.clone(), build)
}

/// What comes of an upload that nothing is wrong with.
struct Plan {
    diststr: Diststr,
    experimental: bool,
    asked: Vec<Asked>,
    sources: Vec<PathBuf>,
}

fn plan(
    parts: &Parts,
    catalog: &Catalog,
    packaging: &Packaging,
    upload: &Changes,
) -> Result<Plan, Stop> {
    let target = target::find(catalog, &packaging.distribution)?;
    let archive = parts.archive(&target.repository.identity);
    let installed = parts
        .store
        .read(|tx| archive.list(tx, &upload.source))
        .map_err(|error| Stop::Failed(error.into()))?;
    target::check_version(&target, &upload.source, &upload.version, &installed)?;

    let directory = parts.home.event_directory(&packaging.upload());
    let (name, dsc) = read_dsc(&directory, packaging, upload)?;
    let sources = source_files(parts, &archive, &directory, &name, &dsc, upload)?;
    check_ongoing(parts, catalog, packaging, &target)?;
    let options = upload.paragraph.get("Changes").unwrap_or_default();
    let options = UploadOptions::parse(changelog::top_entry(options))?;

    let candidates = [own_builder(parts, catalog)];
    let mut asked = Vec::new();
    for option in buildrequest::architectures(&target, &dsc) {
        let builder = remotes::choose(&candidates, &target.diststr.codename, &option.architecture)?;
        let ends = Ends {
            upload_to: &parts.address.incoming_url,
            packager: &parts.address.http_url,
            builder: &builder.url,
        };
        let request = buildrequest::request(
            &packaging.key,
            &packaging.distribution,
            &target,
            option,
            &options,
            ends,
        );
        let priority = options
            .internal_apt_priority(&option.architecture)
            .unwrap_or(target.distribution.internal_apt_priority);
        let config = config(parts, catalog, &target, priority).map_err(Stop::Failed)?;
        asked.push(Asked {
            request,
            config,
            optional: option.optional,
        });
    }
    if asked.is_empty() {
        return Err(nothing_to_build(name, &dsc, &target).into());
    }
    Ok(Plan {
        experimental: target.suite.experimental,
        diststr: target.diststr,
        asked,
        sources,
    })
}

fn nothing_to_build(dsc_name: FileName, dsc: &Dsc, target: &Target<'_>) -> Rejection {
    let asked = &target.distribution.architectures;
    let asked: Vec<&str> = asked
        .iter()
        .map(|option| option.architecture.as_str())
        .collect();
    Rejection::NothingToBuild {
        dsc: dsc_name,
        architectures: dsc.architectures.join(" "),
        asked: asked.join(" "),
    }
}

fn config(
    parts: &Parts,
    catalog: &Catalog,
    target: &Target<'_>,
    priority: i32,
) -> Result<Config, Error> {
    let sources = BuildSources {
        distribution: target.distribution,
        base: target.base,
        extra: target.extra_sources(catalog).collect(),
        repository: target.repository,
        layout: target.layout,
        suite: &target.suite.suite,
        url: &parts.address.http_url,
        origin: &parts.daemon.archive_origin(&parts.address.hostname),
        internal_apt_priority: priority,
    };
    Ok(Config {
        sources_list: sources.sources_list()?,
        preferences: sources.preferences(),
        keys: keys(target, catalog, &parts.keys.now().signing())?,
        ssl_cert: parts
            .address
            .http_certificate
            .as_deref()
            .map(certificate::public)
            .transpose()?
            .unwrap_or_default(),
        chroot_setup_script: target.distribution.chroot_setup_script.clone(),
    })
}

/// Our own keys and the extra sources'; the base source's come with the chroot.
fn keys(target: &Target<'_>, catalog: &Catalog, own: &SigningKeys) -> Result<String, pgp::Error> {
    let mut keyring = Keyring::default();
    keyring.add(own.public_armored()?.as_bytes())?;
    for (source, _) in target.extra_sources(catalog) {
        for key in &source.apt_keys {
            keyring.add_signers(key)?;
        }
    }
    keyring.to_armored()
}

fn own_builder(parts: &Parts, catalog: &Catalog) -> Candidate {
    let chroots = catalog.chroots();
    Candidate {
        url: parts.address.http_url.clone(),
        incoming_url: parts.address.incoming_url.clone(),
        load: parts.load.value(),
        chroots: chroots
            .map(|chroot| (chroot.codename.clone(), chroot.architecture.clone()))
            .collect(),
    }
}

fn read_dsc(
    directory: &Path,
    packaging: &Packaging,
    upload: &Changes,
) -> Result<(FileName, Dsc), Stop> {
    // What is not said to hold a source would lie where its buildrequests are.
    let is_source = upload
        .architecture()
        .split(' ')
        .any(|word| word == "source");
    let listed = upload.file_ending_with(".dsc");
    let Some(listed) = listed.filter(|_| is_source) else {
        return Err(Rejection::NoDsc(packaging.changes.clone()).into());
    };
    let path = directory.join(listed.name.as_str());
    let text = message::read_text(&path, TEXT_LIMIT).map_err(|error| Stop::Failed(error.into()))?;
    let dsc = parse_dsc(&text).map_err(|fault| Rejection::Dsc {
        dsc: listed.name.clone(),
        fault,
    })?;
    Ok((listed.name.clone(), dsc))
}

/// The .dsc and all that it lists, from the upload or from the pool.
fn source_files(
    parts: &Parts,
    archive: &ArchiveDir,
    directory: &Path,
    name: &FileName,
    dsc: &Dsc,
    upload: &Changes,
) -> Result<Vec<PathBuf>, Stop> {
    let mut paths = vec![directory.join(name.as_str())];
    for file in &dsc.files {
        let pooled = parts
            .store
            .read(|tx| archive.pool_file(tx, &dsc.source, &file.name))
            .map_err(|error| Stop::Failed(error.into()))?;
        if let Some(pooled) = &pooled {
            file.compare(&pooled.checksums)
                .map_err(|fault| Rejection::PoolMismatch {
                    dsc: name.clone(),
                    name: file.name.clone(),
                    fault,
                })?;
        }
        let is_uploaded = upload.files.iter().any(|other| other.name == file.name);
        let path = match pooled {
            _ if is_uploaded => directory.join(file.name.as_str()),
            Some(pooled) => archive.directory().join(pooled.path),
            None => {
                return Err(Rejection::MissingFile {
                    dsc: name.clone(),
                    name: file.name.clone(),
                }
                .into());
            }
        };
        paths.push(path);
    }
    Ok(paths)
}

/// Refuses what is on its way into the same repository already.
fn check_ongoing(
    parts: &Parts,
    catalog: &Catalog,
    packaging: &Packaging,
    target: &Target<'_>,
) -> Result<(), Stop> {
    let unfinished = parts
        .store
        .read(jobs::unfinished_packagings)
        .map_err(|error| Stop::Failed(error.into()))?;
    let is_same = |other: &&Packaging| {
        let to = catalog.resolve(&other.distribution);
        other.key != packaging.key
            && other.state == PackagingState::Packaging
            && other.key.source == packaging.key.source
            && other.key.version == packaging.key.version
            && to.is_ok_and(|to| to.repository == target.repository.identity)
    };
    match unfinished.iter().find(is_same) {
        None => Ok(()),
        Some(other) => Err(Rejection::Ongoing {
            source_package: other.key.source.to_string(),
            version: other.key.version.clone(),
        }
        .into()),
    }
}
