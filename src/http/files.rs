//! Delivers files: what apt fetches, and what people look at.
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::response::Builder;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::get;
use futures_util::stream;
use jiff::Timestamp;
use rustix::io::Errno;

use crate::archive;
use crate::home::Home;
use crate::model::repository::Identity;
use crate::repositories::past::Past;

use super::conditions::{Delivery, Validators, date};
use super::path::RelativePath;
use super::tree::{self, Node};
use super::{listing, media_type, page, redirect, times, with_slash};

/// Read from disk and held in memory at once, for each connection.
const CHUNK: u64 = 64 * 1024;

/// What of a repository is served.
const PUBLISHED: [&str; 2] = ["dists", "pool"];

/// Routes to all trees of a home that are served; without `past`, dists are served as they are only.
pub fn router(home: &Home, past: Option<Arc<Past>>) -> Router {
    let events = Site::Tree(home.events());
    let builds = Site::Tree(home.builds());
    let repositories = Site::Repositories(home.clone(), past);
    Router::new()
        .merge(site("/static/events", events.clone()))
        .merge(site("/mini_buildd/events-dir", events))
        .merge(site("/static/builds", builds.clone()))
        .merge(site("/mini_buildd/builds-dir", builds))
        .merge(site("/repositories", repositories.clone()))
        .merge(site("/mini_buildd/repositories-dir", repositories))
}

/// What stands below a prefix.
#[derive(Clone)]
enum Site {
    Tree(PathBuf),
    Repositories(Home, Option<Arc<Past>>),
}

/// Why nothing is delivered.
enum Fault {
    File(io::Error),
    Time(archive::Error),
}

fn site(prefix: &'static str, site: Site) -> Router {
    let site = Arc::new(site);
    let deliver = get(move |request: Request| {
        let site = site.clone();
        async move { deliver(&site, prefix, request.uri(), request.headers()).await }
    });
    Router::new()
        .route(prefix, deliver.clone())
        .route(&format!("{prefix}/"), deliver.clone())
        .route(&format!("{prefix}/{{*path}}"), deliver)
}

async fn deliver(site: &Arc<Site>, prefix: &str, uri: &Uri, headers: &HeaderMap) -> Response {
    let rest = uri.path().strip_prefix(prefix).unwrap_or_default();
    let Some(rest) = rest.strip_prefix('/') else {
        return redirect(StatusCode::FOUND, &with_slash(uri));
    };
    let Some(path) = RelativePath::parse(rest) else {
        return page::error(StatusCode::NOT_FOUND);
    };
    let path = Arc::new(path);
    match look(site, &path).await {
        Ok(Node::Directory(_)) if !path.is_directory => {
            redirect(StatusCode::FOUND, &with_slash(uri))
        }
        Ok(Node::Directory(entries)) => {
            let title = path.names.join("/".as_ref());
            let title = format!("{prefix}/{}", listing::shown(&title));
            listing::response(&title, &entries)
        }
        Ok(Node::File { .. }) if path.is_directory => page::error(StatusCode::NOT_FOUND),
        Ok(Node::File {
            file,
            size,
            modified,
        }) => {
            let validators = match path.names.as_slice() {
                [_, dists, .., name]
                    if dists == "dists" && times::RELEASES.iter().any(|file| name == file) =>
                {
                    // Their dates tell apt whether a dist is new.
                    Validators::of_release(size, modified)
                }
                _ => Validators::new(size, modified, Timestamp::now()),
            };
            let kind = media_type::of(path.file_name());
            file_response(file, kind, &validators, &validators.decide(headers))
        }
        Err(Fault::File(error)) => refusal(uri, &error),
        Err(Fault::Time(error)) => times::refusal(&error),
    }
}

async fn look(site: &Arc<Site>, path: &Arc<RelativePath>) -> Result<Node, Fault> {
    let time = match (&**site, times::asked(&path.names)) {
        (Site::Repositories(_, Some(past)), Some(asked)) => {
            Some(past.clone().get(asked).await.map_err(Fault::Time)?)
        }
        _ => None,
    };
    let (site, path) = (site.clone(), path.clone());
    let found = tokio::task::spawn_blocking(move || match time {
        Some(time) => times::open(&time, &path.names[times::DEPTH..]),
        None => site.find(&path),
    });
    let found = found.await.map_err(io::Error::other);
    found.and_then(|found| found).map_err(Fault::File)
}

impl Site {
    fn find(&self, path: &RelativePath) -> io::Result<Node> {
        match (self, path.names.as_slice()) {
            (Site::Tree(root), names) => tree::open(root, names),
            (Site::Repositories(home, _), []) => {
                let mut node = tree::open(&home.repositories(), &[])?;
                if let Node::Directory(entries) = &mut node {
                    entries.retain(|entry| identity(entry.name.to_str()).is_ok());
                }
                Ok(node)
            }
            (Site::Repositories(home, _), [name, names @ ..]) => {
                let repository = home.repository(&identity(name.to_str())?);
                match names {
                    [] => {
                        let mut node = tree::open(&repository, names)?;
                        if let Node::Directory(entries) = &mut node {
                            entries.retain(|entry| is_published(&entry.name));
                        }
                        Ok(node)
                    }
                    [tree, ..] if is_published(tree) => tree::open(&repository, names),
                    _ => Err(io::ErrorKind::NotFound.into()),
                }
            }
        }
    }
}

fn is_published(name: &OsString) -> bool {
    PUBLISHED.iter().any(|published| name == published)
}

fn identity(name: Option<&str>) -> io::Result<Identity> {
    name.and_then(|name| name.parse().ok())
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn refusal(uri: &Uri, error: &io::Error) -> Response {
    // Links and ways out of the root are no business of clients: not found, like what does not exist.
    let is_absent = matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    ) || matches!(
        Errno::from_io_error(error),
        Some(Errno::LOOP | Errno::XDEV | Errno::NXIO)
    );
    if is_absent {
        return page::error(StatusCode::NOT_FOUND);
    }
    tracing::error!(path = uri.path(), error = %error, "can't deliver a file");
    page::error(StatusCode::INTERNAL_SERVER_ERROR)
}

fn file_response(
    file: File,
    kind: &'static str,
    validators: &Validators,
    delivery: &Delivery,
) -> Response {
    let size = validators.size;
    let answer = Response::builder()
        .header(header::ETAG, &validators.etag)
        .header(header::LAST_MODIFIED, date(validators.last_modified))
        .header(header::ACCEPT_RANGES, "bytes");
    match delivery {
        Delivery::NotModified => empty(answer.status(StatusCode::NOT_MODIFIED)),
        Delivery::Unsatisfiable => empty(
            answer
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{size}")),
        ),
        Delivery::Whole => full(answer, file, kind, 0..size),
        Delivery::Part(range) => {
            let (first, last) = (range.start, range.end - 1);
            let answer = answer.status(StatusCode::PARTIAL_CONTENT).header(
                header::CONTENT_RANGE,
                format!("bytes {first}-{last}/{size}"),
            );
            full(answer, file, kind, range.clone())
        }
    }
}

fn empty(answer: Builder) -> Response {
    answer
        .body(Body::empty())
        .expect("status and headers are well-formed")
}

fn full(answer: Builder, file: File, kind: &'static str, range: Range<u64>) -> Response {
    answer
        .header(header::CONTENT_TYPE, kind)
        .header(header::CONTENT_LENGTH, range.end - range.start)
        .body(body(file, range))
        .expect("status and headers are well-formed")
}

/// Streams a part of a file that may grow meanwhile; if it shrinks, the connection breaks off.
fn body(file: File, range: Range<u64>) -> Body {
    let file = Arc::new(file);
    Body::from_stream(stream::try_unfold(range, move |range| {
        let file = file.clone();
        async move {
            if range.is_empty() {
                return Ok::<_, io::Error>(None);
            }
            let chunk = read(file, range.clone()).await?;
            let rest = range.start + chunk.len() as u64..range.end;
            Ok(Some((chunk, rest)))
        }
    }))
}

async fn read(file: Arc<File>, range: Range<u64>) -> io::Result<Bytes> {
    let size = usize::try_from((range.end - range.start).min(CHUNK)).map_err(io::Error::other)?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut chunk = vec![0; size];
        file.read_exact_at(&mut chunk, range.start)?;
        Ok(chunk.into())
    });
    reading.await.map_err(io::Error::other)?
}
