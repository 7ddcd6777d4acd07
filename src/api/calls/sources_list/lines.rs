//! The sources themselves: decided from what is published and what is wanted.
use std::fmt::Write as _;

use crate::deb::sources_list;
use crate::model::build_sources::own_pin;
use crate::model::{Distribution, Diststr, Repository, Source, SuiteOptions};

use super::{Published, Wanted};

/// An apt source with the words of its comment.
#[derive(Debug)]
pub(super) struct Listed {
    source: sources_list::Source,
    origin: String,
    pin: String,
    /// Distribution of ours.
    pub(super) dist: Option<Diststr>,
}

fn among<T: PartialEq>(wanted: Option<&Vec<T>>, value: &T) -> bool {
    wanted.is_none_or(|wanted| wanted.contains(value))
}

pub(super) fn sources(
    published: &[Published],
    wanted: &Wanted,
    base: &str,
    origin: &str,
) -> Vec<Listed> {
    let mut listed = Vec::new();
    for published in published {
        if !among(wanted.repositories.as_ref(), &published.repository.identity) {
            continue;
        }
        for (distribution, extra) in &published.distributions {
            if !among(wanted.codenames.as_ref(), &distribution.codename) {
                continue;
            }
            if wanted.with_extra {
                let foreign = |source| foreign(source, distribution, wanted);
                listed.extend(extra.iter().filter_map(foreign));
            }
            for suite in &published.layout.suites {
                if among(wanted.suites.as_ref(), &suite.suite) {
                    let dists = dists(&published.repository, distribution, suite, wanted);
                    listed.extend(dists.map(|dist| own(dist, distribution, wanted, base, origin)));
                }
            }
        }
    }
    listed
}

/// The suite's distribution and as many of its rollbacks as wanted.
fn dists(
    repository: &Repository,
    distribution: &Distribution,
    suite: &SuiteOptions,
    wanted: &Wanted,
) -> impl Iterator<Item = Diststr> {
    let all = suite.rollback;
    let rollbacks = u32::try_from(wanted.rollbacks).map_or(all, |number| number.min(all));
    let dist = repository.dist(&distribution.codename, &suite.suite);
    let rollback = dist.clone();
    std::iter::once(dist).chain((0..rollbacks).map(move |number| Diststr {
        rollback: Some(number),
        ..rollback.clone()
    }))
}

fn own(
    dist: Diststr,
    distribution: &Distribution,
    wanted: &Wanted,
    base: &str,
    origin: &str,
) -> Listed {
    let suite = match &wanted.snapshot {
        Some(snapshot) => format!("{dist}/snapshots/{snapshot}"),
        None => dist.to_string(),
    };
    let components = distribution.sorted_components();
    let source = sources_list::Source {
        types: Vec::new(),
        uri: format!("{base}/repositories/{}", dist.repository),
        suite,
        components: components.iter().map(ToString::to_string).collect(),
        options: Vec::new(),
    };
    Listed {
        source: wanted.form(source),
        origin: origin.to_owned(),
        pin: own_pin(&dist, origin),
        dist: Some(dist),
    }
}

/// `None`: no archive carries it.
fn foreign(source: &Source, distribution: &Distribution, wanted: &Wanted) -> Option<Listed> {
    let found = source.apt_source(&distribution.components).ok()?;
    Some(Listed {
        source: wanted.form(found),
        origin: source.origin.clone(),
        pin: source.pin(),
        dist: None,
    })
}

pub(super) fn text(listed: &[Listed], with_comment: bool) -> String {
    let mut text = String::new();
    for listed in listed {
        let Listed {
            source,
            origin,
            pin,
            dist: _,
        } = listed;
        if with_comment {
            writeln!(text, "# {origin} '{}': {pin}", source.suite)
                .expect("a String takes every write");
        }
        writeln!(text, "{source}").expect("a String takes every write");
    }
    text
}
