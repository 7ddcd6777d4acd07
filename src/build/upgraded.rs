//! The upgraded chroot: a layer on the base with fresh package lists, upgrades, and what every build needs.
//!
//! Its key is made of what the foreign archives publish; the packager's own repository, which changes with every
//! install, stays out. Layers and sessions lie on volatile overlays, on which fsync(2) does nothing: that is what
//! eatmydata was for, and dpkg needs no unsafe I/O either.
use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use backends::{Claim, LayerKey};
use futures_util::future::join_all;

use super::packages;
use super::sources::{self, Sources, digest};
use super::steps::Build;
use super::stop::{Step, Stop, in_one_line};
use crate::chroots::bootstrap::{PACKAGES, PREPARED, prepare};
use crate::chroots::quirks::apt_configuration;
use crate::chroots::{Session, apt};
use crate::deb::sources_list::Source;
use crate::fetch;

/// Changes when layers are made in another way.
const QUIRKS: &str = "1";
/// Builds that follow each other within this time do not ask the mirror again.
const FRESH: Duration = Duration::from_secs(300);
/// Kind of memo: the text of a Release file, by its URL.
const RELEASE: &str = "release";
/// Kind of memo: the layer made last, by the sources it was made from.
const LATEST: &str = "upgraded";
/// Kind of memo: the base needs no layer, by the layer's key.
const BASE: &str = "base";
pub(super) const LONGEST_RELEASE: usize = 16 << 20;
const FETCH_TIME: Duration = Duration::from_secs(20);

/// A chroot that has what the foreign archives publish now.
#[derive(Clone, Debug)]
pub(super) struct Upgraded {
    /// Says what it was made from.
    pub(super) key: LayerKey,
    /// `None`: the base itself, which was bootstrapped from nothing older.
    pub(super) layer: Option<LayerKey>,
}

/// Finds the upgraded chroot; it is made where there is none.
pub(super) fn find(build: &mut Build) -> Result<Upgraded, Stop> {
    build.section("Update chroot")?;
    let foreign = read_sources(build)?.foreign;
    let text = sources::list(&foreign);
    build.log.say(&text)?;
    if !build
        .configuration("chroot_setup_script")?
        .trim()
        .is_empty()
    {
        build
            .log
            .say("W: the distribution's chroot setup script is not run\n")?;
    }
    let of_sources = digest(&[QUIRKS, &text]);
    let releases = match releases(build, &foreign) {
        Ok(releases) => releases,
        Err(Stop::Unreachable { url, source }) => {
            let latest = build.memo.get(LATEST, &of_sources).map(LayerKey);
            let latest = latest.map(|key| known(build, key)).transpose()?.flatten();
            let Some(latest) = latest else {
                return Err(Stop::Unreachable { url, source });
            };
            build.log.say(&format!(
                "W: {}: going on with the chroot as it was upgraded last\n",
                in_one_line(&source)
            ))?;
            return Ok(latest);
        }
        Err(stop) => return Err(stop),
    };
    let mut parts = vec![of_sources.clone()];
    parts.extend(releases.iter().cloned());
    let key = LayerKey(digest(&parts));
    let upgraded = match known(build, key.clone())? {
        Some(upgraded) => {
            build.log.say("The upgraded chroot is current.\n")?;
            upgraded
        }
        None => make(build, &foreign, &releases, key)?,
    };
    build.remember(LATEST, &of_sources, &upgraded.key.0)?;
    Ok(upgraded)
}

fn known(build: &Build, key: LayerKey) -> Result<Option<Upgraded>, Stop> {
    if build.memo.get(BASE, &key.0).is_some() {
        build.backend.verify(None).map_err(failed("verify"))?;
        return Ok(Some(Upgraded { key, layer: None }));
    }
    Ok(has(build, &key)?.then(|| Upgraded {
        layer: Some(key.clone()),
        key,
    }))
}

pub(super) fn read_sources(build: &Build) -> Result<Sources, Stop> {
    let text = build.configuration("apt_sources.list")?;
    let parsed = Sources::parse(&text, &build.assignment.request.packager);
    let mut sources = parsed.map_err(|source| Stop::Format {
        what: "the buildrequest's apt sources".to_owned(),
        source,
    })?;
    let foreign = sources.foreign.into_iter();
    sources.foreign = foreign
        .map(|source| build.quirks.apt_source(source))
        .collect();
    Ok(sources)
}

/// Tells whether there is such a layer, as it was when it was made; a damaged one goes away.
pub(super) fn has(build: &Build, key: &LayerKey) -> Result<bool, Stop> {
    let layers = build.backend.layers().map_err(failed("list"))?;
    if !layers.iter().any(|layer| layer.key == *key) {
        return Ok(false);
    }
    let whole = build.backend.verify(Some(key)).map_err(failed("verify"))?;
    if !whole {
        build
            .log
            .say(&format!("W: layer {key} was damaged and is made anew\n"))?;
    }
    Ok(whole)
}

/// Digests of what each foreign source publishes.
fn releases(build: &Build, foreign: &[Source]) -> Result<Vec<String>, Stop> {
    let mut texts = BTreeMap::new();
    let mut missing = Vec::new();
    for url in foreign.iter().map(Source::release_url) {
        match build.memo.get_fresh(RELEASE, &digest(&[&url]), FRESH) {
            Some(text) => _ = texts.insert(url, text),
            None => missing.push(url),
        }
    }
    let client = fetch::Client::through(build.chroots.proxies().clone());
    let fetched = fetch_all(&client, &missing, LONGEST_RELEASE)?;
    for (url, text) in missing.into_iter().zip(fetched) {
        let text = String::from_utf8_lossy(&text).into_owned();
        build.remember(RELEASE, &digest(&[&url]), &text)?;
        texts.insert(url, text);
    }
    let architecture = &build.assignment.request.subject.architecture;
    let digests = foreign.iter().map(|source| {
        let text = &texts[&source.release_url()];
        sources::index_digest(source, text, architecture)
    });
    Ok(digests.collect())
}

/// Fetches all at once.
pub(super) fn fetch_all(
    client: &fetch::Client,
    urls: &[String],
    limit: usize,
) -> Result<Vec<Vec<u8>>, Stop> {
    if urls.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Stop::Client)?;
    let answers = runtime.block_on(async {
        join_all(urls.iter().map(|url| {
            let client = client.clone();
            async move { client.get(url, limit, FETCH_TIME).await }
        }))
        .await
    });
    let unreachable = |(url, answer): (&String, Result<Vec<u8>, fetch::Error>)| {
        answer.map_err(|source| Stop::Unreachable {
            url: url.clone(),
            source,
        })
    };
    urls.iter().zip(answers).map(unreachable).collect()
}

fn make(
    build: &mut Build,
    foreign: &[Source],
    releases: &[String],
    key: LayerKey,
) -> Result<Upgraded, Stop> {
    let made = Upgraded {
        layer: Some(key.clone()),
        key,
    };
    let Claim::Make(_making) = build.backend.claim(&made.key).map_err(failed("claim"))? else {
        return Ok(made);
    };
    build.backend.verify(None).map_err(failed("verify"))?;
    let session = build.begin_online(None)?;
    build.chroots.prepare();
    if is_current(build, &session, foreign, releases) {
        session.close()?;
        build.log.say("The base is current.\n")?;
        build.remember(BASE, &made.key.0, "")?;
        return Ok(Upgraded {
            layer: None,
            ..made
        });
    }
    let mut tree = packages::setup(build)?;
    tree.text("/etc/apt/sources.list", sources::list(foreign));
    session.unpack(&tree)?;
    session.succeed(&prepare())?;
    packages::update(build, &session, &[])?;
    build.subsection("apt-get dist-upgrade")?;
    let upgrade = [&["dist-upgrade"], &PACKAGES[..]].concat();
    let plan = packages::plan(build, &session, Step::Upgrade, &upgrade)?;
    if !plan.is_empty() {
        packages::download(build, &session, Step::Upgrade, &plan, &upgrade)?;
        build.run_step(
            &session,
            Step::Upgrade,
            &apt::get(session.outside(), &upgrade),
        )?;
        let purge = apt::get(session.outside(), &["autoremove", "--purge"]);
        build.run_step(&session, Step::Upgrade, &purge)?;
    }
    packages::drop_requested(&session)?;
    session.freeze(&made.key)?;
    Ok(made)
}

/// Tells whether the base was prepared as we do now, and upgraded to what the archives still publish.
fn is_current(build: &Build, session: &Session, foreign: &[Source], releases: &[String]) -> bool {
    let read = |path: &str| {
        let mut text = String::new();
        let mut file = session
            .open(path.as_ref())
            .ok()?
            .take(LONGEST_RELEASE as u64);
        file.read_to_string(&mut text).ok()?;
        Some(text)
    };
    let architecture = &build.assignment.request.subject.architecture;
    let mut sources = foreign.iter().zip(releases);
    read(PREPARED).is_some_and(|text| text == apt_configuration(&build.quirks))
        && sources.all(|(source, digest)| {
            read(&sources::release_file(source))
                .is_some_and(|text| sources::index_digest(source, &text, architecture) == *digest)
        })
}

pub(super) fn failed(action: &'static str) -> impl FnOnce(backends::Error) -> Stop {
    move |source| Stop::Layer { action, source }
}
