//! `sources_list`: [`apt`] reads what is given word by word, [`lines`] decides what is listed.
mod apt;
mod lines;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::api::argument::Argument;
use crate::api::call::blocking;
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::deb::{Codename, FileName, Suite, sources_list};
use crate::home::Home;
use crate::model::repository::Identity;
use crate::model::{Distribution, Diststr, Layout, Repository, Source, Status};
use crate::store::{self, Transaction, items};

use super::arguments::{CODENAMES, REPOSITORIES};

use apt::{AptOptions, AptType, Mirror};
use lines::{sources, text};

pub(super) const CALL: Call = Call {
    name: "sources_list",
    doc: "Get apt sources of repositories\n\n\
          One line a distribution, for sources.list(5); needs the key that pub_key gives.",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[
        CODENAMES.spec,
        REPOSITORIES.spec,
        SUITES.spec,
        TYPES.spec,
        OPTIONS.spec,
        ROLLBACKS.spec,
        SNAPSHOT.spec,
        MIRROR.spec,
        WITH_EXTRA.spec,
        WITH_COMMENT.spec,
    ],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

const SUITES: Argument<Option<Vec<Suite>>> =
    Argument::computed("suites", 'S', "all_suites", "Only these suites");
const TYPES: Argument<Vec<AptType>> =
    Argument::option("types", 'T', "deb", "Types of sources: deb, deb-src");
const OPTIONS: Argument<AptOptions> = Argument::option(
    "options",
    'O',
    "",
    "Options of each source, like 'signed-by=/etc/apt/keyrings/x.asc'",
);
const ROLLBACKS: Argument<i64> = Argument::option(
    "rollbacks",
    'r',
    "0",
    "Also list this many rollback distributions of each suite; below zero: all",
);
const SNAPSHOT: Argument<Option<FileName>> = Argument::option(
    "snapshot",
    'P',
    "",
    "Use this snapshot of the distributions",
);
const MIRROR: Argument<Option<Mirror>> = Argument::option(
    "mirror",
    'M',
    "",
    "URL of a mirror of this instance, instead of its own",
);
const WITH_EXTRA: Argument<bool> = Argument::option(
    "with_extra",
    'X',
    "False",
    "Also list the extra sources that the distributions are built with",
);
const WITH_COMMENT: Argument<bool> = Argument::option(
    "with_comment",
    'D',
    "False",
    "Precede each source by a comment with what apt can pin it by",
);

async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let instance = &context.instance;
    let wanted = Wanted::read(arguments)?;
    let published = context.read(published).await?;
    if let Some(unknown) = wanted.unknown_repository(&published) {
        return Err(CallError::NotFound(format!(
            "No such repository: {unknown}"
        )));
    }
    if let Some(unknown) = wanted.unknown_codename(&published) {
        let known = codenames(&published);
        let known: Vec<&str> = known.iter().map(|known| known.as_str()).collect();
        return Err(CallError::NotFound(format!(
            "No such codename: {unknown} (there is: {})",
            known.join(", ")
        )));
    }
    let base = arguments
        .get(&MIRROR)?
        .map_or_else(|| instance.address.http_url.clone(), |mirror| mirror.0);
    let origin = instance.daemon.archive_origin(&instance.address.hostname);
    let sources = sources(&published, &wanted, &base, &origin);
    if let Some(snapshot) = arguments.get(&SNAPSHOT)? {
        let dists = sources.iter().filter_map(|source| source.dist.clone());
        exists(&instance.home, snapshot, dists.collect()).await?;
    }
    Ok(text(&sources, arguments.get(&WITH_COMMENT)?).into())
}

/// Refuses a snapshot that one of the distributions lacks.
async fn exists(home: &Home, snapshot: FileName, dists: Vec<Diststr>) -> Result<(), CallError> {
    let places: Vec<_> = dists
        .into_iter()
        .map(|dist| (home.snapshot(&dist, &snapshot), dist))
        .collect();
    let missing = blocking("look for a snapshot", move || {
        for (place, dist) in places {
            if !Path::try_exists(&place)? {
                return Ok(Some(dist));
            }
        }
        Ok::<_, std::io::Error>(None)
    })
    .await?;
    match missing {
        Some(dist) => Err(CallError::Refused(format!(
            "No such snapshot for '{dist}': {snapshot}"
        ))),
        None => Ok(()),
    }
}

/// What a repository consists of.
struct Published {
    repository: Repository,
    layout: Layout,
    distributions: Vec<(Distribution, Vec<Source>)>,
}

fn published(tx: &Transaction<'_>) -> Result<Vec<Published>, store::Error> {
    let mut published = Vec::new();
    for (repository, status) in items::all::<Repository>(tx)? {
        if status == Status::Removed {
            continue;
        }
        let Some((layout, _)) = items::get::<Layout>(tx, &repository.layout)? else {
            continue;
        };
        let mut distributions = Vec::new();
        for codename in &repository.distributions {
            if let Some((distribution, _)) = items::get::<Distribution>(tx, codename.as_str())? {
                let extra = extra_sources(tx, &distribution)?;
                distributions.push((distribution, extra));
            }
        }
        published.push(Published {
            repository,
            layout,
            distributions,
        });
    }
    Ok(published)
}

fn extra_sources(
    tx: &Transaction<'_>,
    distribution: &Distribution,
) -> Result<Vec<Source>, store::Error> {
    let mut sources = Vec::new();
    for extra in &distribution.extra_sources {
        sources.extend(items::get::<Source>(tx, &extra.source)?.map(|(source, _)| source));
    }
    Ok(sources)
}

fn codenames(published: &[Published]) -> BTreeSet<&Codename> {
    let distributions = published
        .iter()
        .flat_map(|published| &published.distributions);
    distributions
        .map(|(distribution, _)| &distribution.codename)
        .collect()
}

/// What the caller asks for.
struct Wanted {
    codenames: Option<Vec<Codename>>,
    repositories: Option<Vec<Identity>>,
    suites: Option<Vec<Suite>>,
    types: Vec<AptType>,
    options: AptOptions,
    rollbacks: i64,
    snapshot: Option<FileName>,
    with_extra: bool,
}

impl Wanted {
    fn read(arguments: &Arguments) -> Result<Wanted, CallError> {
        Ok(Wanted {
            codenames: arguments.get(&CODENAMES)?,
            repositories: arguments.get(&REPOSITORIES)?,
            suites: arguments.get(&SUITES)?,
            types: arguments.get(&TYPES)?,
            options: arguments.get(&OPTIONS)?,
            rollbacks: arguments.get(&ROLLBACKS)?,
            snapshot: arguments.get(&SNAPSHOT)?,
            with_extra: arguments.get(&WITH_EXTRA)?,
        })
    }

    fn unknown_repository(&self, published: &[Published]) -> Option<&Identity> {
        let is_known = |identity: &Identity| {
            published
                .iter()
                .any(|published| published.repository.identity == *identity)
        };
        self.repositories
            .iter()
            .flatten()
            .find(|identity| !is_known(identity))
    }

    fn unknown_codename(&self, published: &[Published]) -> Option<&Codename> {
        let known = codenames(published);
        let mut wanted = self.codenames.iter().flatten();
        wanted.find(|codename| !known.contains(codename))
    }

    /// Gives a source the types and options that are asked for.
    fn form(&self, source: sources_list::Source) -> sources_list::Source {
        let mut options = source.options;
        options.extend(self.options.0.iter().cloned());
        sources_list::Source {
            types: self.types.iter().map(|kind| kind.0.to_owned()).collect(),
            options,
            ..source
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::distribution::tests::trixie;
    use crate::model::repository::tests::test_repository;
    use crate::model::source::tests::source;

    const ORIGIN: &str = "Mini-Buildd archive peer on mbd-peer.localdomain";
    const URL: &str = "http://mbd-peer.localdomain:8066";
    const COMPONENTS: &str = "main contrib non-free non-free-firmware";

    fn given(query: &[(&str, &str)]) -> Result<(Arguments, Wanted), CallError> {
        let query: Vec<_> = query
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let arguments = Arguments::read(CALL.arguments, &query)?;
        let wanted = Wanted::read(&arguments)?;
        Ok((arguments, wanted))
    }

    fn answer(query: &[(&str, &str)]) -> String {
        let (arguments, wanted) = given(query).unwrap();
        let published = Published {
            repository: test_repository(),
            layout: Layout::standard(),
            distributions: vec![(trixie(), vec![source("Debian", "trixie-security")])],
        };
        let base = arguments.get(&MIRROR).unwrap();
        let base = base.map_or_else(|| URL.to_owned(), |mirror| mirror.0);
        let sources = sources(&[published], &wanted, &base, ORIGIN);
        text(&sources, arguments.get(&WITH_COMMENT).unwrap())
    }

    #[test]
    fn all_suites_are_listed_in_the_layouts_order_as_stock_does() {
        let suites = [
            "stable",
            "hotfix",
            "testing",
            "unstable",
            "snapshot",
            "experimental",
        ];
        let lines = suites.map(|suite| {
            format!("deb [] {URL}/repositories/test trixie-test-{suite} {COMPONENTS}\n")
        });
        assert_eq!(answer(&[("codenames", "trixie,sid")]), lines.concat());
        assert_eq!(answer(&[("codenames", "sid")]), "");
    }

    #[test]
    fn comment_and_options_are_stocks() {
        assert_eq!(
            answer(&[
                ("with_comment", "True"),
                ("suites", "stable"),
                ("options", "signed-by=/x"),
            ]),
            format!(
                "# {ORIGIN} 'trixie-test-stable': release n=trixie-test-stable, o={ORIGIN}\n\
                 deb [signed-by=/x] {URL}/repositories/test trixie-test-stable {COMPONENTS}\n"
            )
        );
    }

    #[test]
    fn rollbacks_follow_their_suite() {
        let dists = |rollbacks: &str| -> Vec<String> {
            let text = answer(&[("suites", "testing"), ("rollbacks", rollbacks)]);
            let dist = |line: &str| line.split(' ').nth(3).unwrap().to_owned();
            text.lines().map(dist).collect()
        };
        let all = [
            "trixie-test-testing",
            "trixie-test-testing-rollback0",
            "trixie-test-testing-rollback1",
            "trixie-test-testing-rollback2",
        ];
        assert_eq!(dists("0"), all[..1]);
        assert_eq!(dists("2"), all[..3]);
        assert_eq!(dists("-1"), all);
        assert_eq!(dists("99"), all);
    }

    #[test]
    fn snapshot_mirror_and_types_change_every_line() {
        assert_eq!(
            answer(&[
                ("suites", "stable"),
                ("snapshot", "WEEKLY_2026-11-22T05:57"),
                ("mirror", "http://mirror.test/m/"),
                ("types", "deb,deb-src"),
            ]),
            ["deb", "deb-src"]
                .map(|kind| format!(
                    "{kind} [] http://mirror.test/m/repositories/test \
                     trixie-test-stable/snapshots/WEEKLY_2026-11-22T05:57 {COMPONENTS}\n"
                ))
                .concat()
        );
    }

    #[test]
    fn extra_sources_come_before_our_own() {
        let text = answer(&[("suites", "stable"), ("with_extra", "True")]);
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("deb ["), "{first}");
        assert!(
            first.contains("http://buildd.test:9999/debian/ trixie-security"),
            "{first}"
        );
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn nothing_given_can_add_a_line() {
        for query in [
            ("types", "deb\nx"),
            ("options", "a=b] http://x"),
            ("options", "x"),
            ("mirror", "http://a b"),
            ("mirror", "http://a\nb"),
            ("snapshot", "../x"),
            ("suites", "a b"),
            ("rollbacks", "many"),
        ] {
            assert!(given(&[query]).is_err(), "{query:?}");
        }
    }
}
