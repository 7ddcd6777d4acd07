//! How packages get into a session of a build: apt's set-up by the request, its steps, and the downloads kept outside.
use sandbox::Network;

use super::sources::Sources;
use super::steps::{Build, SSL_CERT};
use super::stop::{Step, Stop};
use super::upgraded::read_sources;
use crate::chroots::apt::{self, Plan};
use crate::chroots::debs::Debs;
use crate::chroots::quirks::configure_apt;
use crate::chroots::tree::Tree;
use crate::chroots::{self, process};

/// Files that belong to one request and never into a layer; apt's binary caches are of its sources.list, and as large as
/// many a set of build dependencies.
const REQUESTED: &str = "rm -f \"$@\" /etc/apt/preferences /etc/apt/trusted.gpg.d/mini-buildd-buildrequest-* \
                         /var/cache/apt/*.bin; \
                         rm -rf /var/cache/apt/archives/*.deb /etc/apt/mini-buildd-own.list";

/// Configuration that every apt of a build needs: keys and pins of the request, proxies of this host.
pub(super) fn setup(build: &Build) -> Result<Tree, Stop> {
    let mut tree = Tree::default();
    configure_apt(&mut tree, &build.quirks);
    for (number, key) in armored_blocks(&build.configuration("apt_keys")?)
        .iter()
        .enumerate()
    {
        // apt reads one armored key a file.
        let path = format!("/etc/apt/trusted.gpg.d/mini-buildd-buildrequest-{number}.asc");
        tree.text(&path, *key);
    }
    let preferences = build.configuration("apt_preferences")?;
    if !preferences.trim().is_empty() {
        tree.text("/etc/apt/preferences", preferences);
    }
    let Sources { foreign, own } = read_sources(build)?;
    apt::reach(
        &mut tree,
        build.chroots.proxies(),
        (&foreign, &own),
        &build.configuration(SSL_CERT)?,
    );
    Ok(tree)
}

/// Takes away what must not get into a layer.
pub(super) fn drop_requested(session: &chroots::Session) -> Result<(), Stop> {
    let line = [&["/bin/sh", "-c", REQUESTED, "sh"], &apt::OF_THIS_HOST[..]].concat();
    session.succeed(&process::of_root(&line, Network::None))?;
    Ok(())
}

/// apt-get update, again and again with more time.
pub(super) fn update(build: &Build, session: &chroots::Session, args: &[&str]) -> Result<(), Stop> {
    build.subsection("apt-get update")?;
    let mut tries = apt::UPDATE_TRIES.iter().peekable();
    while let Some(time) = tries.next() {
        let exit = build.run_logged(session, &apt::update(session.outside(), *time, args))?;
        if exit.success() {
            return Ok(());
        }
        if tries.peek().is_none() {
            return Err(Stop::Step {
                step: Step::Update,
                exit,
            });
        }
        build.check_cancelled()?;
        build.log.say("W: apt-get update failed, trying again\n")?;
        std::thread::sleep(apt::UPDATE_PAUSE);
    }
    Ok(())
}

/// What apt would do with these arguments.
pub(super) fn plan(
    build: &Build,
    session: &chroots::Session,
    step: Step,
    args: &[&str],
) -> Result<Plan, Stop> {
    let args = [args, &["--print-uris"]].concat();
    let output = build.run_for_output(session, step, &apt::get(session.outside(), &args))?;
    Ok(Plan::parse(&output)?)
}

/// Gets the plan's packages into the session: those that earlier builds downloaded, then the rest.
pub(super) fn download(
    build: &Build,
    session: &chroots::Session,
    step: Step,
    plan: &Plan,
    args: &[&str],
) -> Result<(), Stop> {
    let debs = Debs::new(build.chroots.home().debs());
    let missing = debs.give(session, &plan.downloads)?;
    if missing.is_empty() {
        return Ok(());
    }
    // Some of it another build may be downloading just now.
    let _claims = debs.claim(&missing)?;
    let missing = debs.give(session, missing)?;
    if missing.is_empty() {
        return Ok(());
    }
    let args = [args, &["--download-only"]].concat();
    build.run_step(session, step, &apt::get(session.outside(), &args))?;
    Ok(debs.take(session, &missing)?)
}

/// Parts a file of armored keys into its blocks.
fn armored_blocks(text: &str) -> Vec<&str> {
    const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    let starts: Vec<usize> = text.match_indices(BEGIN).map(|(start, _)| start).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &text[*start..end])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_parted() {
        let key = |letter: &str| {
            format!(
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{letter}\n-----END PGP PUBLIC KEY BLOCK-----\n"
            )
        };
        let text = format!("{}{}", key("a"), key("b"));
        assert_eq!(armored_blocks(&text), [key("a"), key("b")]);
        assert!(armored_blocks("").is_empty());
    }
}
