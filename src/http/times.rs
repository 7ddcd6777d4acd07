//! `dists/DIST@TIME/…`: dists as they were, made when first asked for.
use std::ffi::OsString;
use std::io;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use maud::html;
use tracing::error;

use crate::archive::{DistTime, Error, Time};
use crate::cause::with_causes;

use super::page;
use super::tree::{self, Node};

/// Others are of the moment, whatever it was called.
pub(super) const RELEASES: [&str; 3] = ["InRelease", "Release", "Release.gpg"];
/// `REPOSITORY/dists/DIST@TIME`
pub(super) const DEPTH: usize = 3;
/// A directory that is no part of a dist.
const SPELLINGS: &str = "spellings";

/// The time that the first [`DEPTH`] names below `repositories` mean.
pub(super) fn asked(names: &[OsString]) -> Option<DistTime> {
    let [repository, dists, word, ..] = names else {
        return None;
    };
    let asked: DistTime = word.to_str()?.parse().ok()?;
    let is_there = dists == "dists" && *repository == *asked.diststr.repository.as_str();
    is_there.then_some(asked)
}

/// Opens what names below a time lead to.
pub(super) fn open(time: &Time, names: &[OsString]) -> io::Result<Node> {
    let root = match names {
        [name] if RELEASES.iter().any(|release| name == release) => &time.releases,
        [name, ..] if name == SPELLINGS => return Err(io::ErrorKind::NotFound.into()),
        _ => &time.directory,
    };
    let mut node = tree::open(root, names)?;
    if let (Node::Directory(entries), []) = (&mut node, names) {
        entries.retain(|entry| entry.name != SPELLINGS);
    }
    Ok(node)
}

/// Says why there is no such time, or none yet.
pub(super) fn refusal(refused: &Error) -> Response {
    let say = |status: StatusCode| {
        let reason = status.canonical_reason().unwrap_or("Error");
        let title = format!("{} {reason}", status.as_u16());
        page::page(status, &title, &html! { p { (refused) } })
    };
    match refused {
        Error::NoState { .. } | Error::UnknownDist { .. } => say(StatusCode::NOT_FOUND),
        Error::TooMany { seconds, .. } => {
            let mut response = say(StatusCode::TOO_MANY_REQUESTS);
            let after = HeaderValue::from(*seconds);
            response.headers_mut().insert(header::RETRY_AFTER, after);
            response
        }
        failed => {
            error!(error = with_causes(failed), "can't make a dist as it was");
            page::error(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Vec<OsString> {
        path.split('/').map(OsString::from).collect()
    }

    #[test]
    fn a_time_is_of_its_own_repository_and_of_dists() {
        for path in [
            "test/dists/sid-test-unstable@2026-11-22T05:40Z",
            "test/dists/sid-test-unstable@2026-11-22T05:40:01.234Z/InRelease",
            "test/dists/sid-test-unstable-rollback0@2026-11-22T05:40+01:00/main/source/Sources",
        ] {
            let time = asked(&names(path)).unwrap();
            assert_eq!(time.diststr.suite.as_str(), "unstable", "{path}");
        }
        for path in [
            "other/dists/sid-test-unstable@2026-11-22T05:40Z/InRelease",
            "test/pool/sid-test-unstable@2026-11-22T05:40Z/InRelease",
            "test/dists/main/sid-test-unstable@2026-11-22T05:40Z/InRelease",
            "test/dists/sid-test-unstable/InRelease",
            "test/dists/sid-test-unstable@/InRelease",
            "test/dists/sid-test-unstable@..",
            "test/dists/sid-test-unstable@2026-11-22T05:40Z@2026-11-22T05:40Z",
            "test/dists/sid-test-unstable@2026-11-22T05:40Z[UTC]",
            "test/dists/sid-test-unstable@2026-11-22T05:40Z\n",
        ] {
            assert!(asked(&names(path)).is_none(), "{path}");
        }
    }
}
