//! Names of packages that apt could come to when it resolves a build's dependencies.
//!
//! apt installs what is depended on, and what provides that; it replaces what is installed already. So a package that is
//! none of these, by its name or what it provides, can't change what apt chooses.
use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::thread::JoinHandle;

use sandbox::{Network, Process, Running, Stdio};

use super::log::Flow;
use super::steps::Build;
use super::stop::Stop;
use crate::chroots::{self, Session, process};
use crate::deb::{Paragraph, relation};

/// Follows all alternatives, all versions and all providers, from what is installed and from the arguments.
///
/// Of what is only provided, `depends` tells nothing, so its providers are asked for first.
const FOLLOW: &str = r#"installed=$(dpkg-query --show --showformat='${Package}\n') || exit
providers=$(apt-cache showpkg "$@" | sed -n '/^Reverse Provides:/,/^Package:/s/^\([a-z0-9][^ ]*\) .*/\1/p') || exit
exec apt-cache depends --recurse -o APT::Cache::AllVersions=true --no-recommends --no-suggests --no-conflicts \
	--no-breaks --no-replaces --no-enhances $installed $providers "$@""#;
/// What apt adds to every build's dependencies (APT::Build-Essential).
const BUILD_ESSENTIAL: &str = "build-essential";
const LONGEST: u64 = 64 << 20;

/// The question while apt is thinking.
pub(super) struct Asked {
    /// Names that need no apt.
    known: BTreeSet<String>,
    process: Process,
    running: Running,
    output: JoinHandle<io::Result<String>>,
    stderr: Flow,
}

/// Asks apt as it is now; packages may be got meanwhile, but not installed.
pub(super) fn ask(build: &Build, session: &Session, question: &Paragraph) -> Result<Asked, Stop> {
    let asked = question
        .fields()
        .filter(|(field, _)| field.starts_with("Build-"))
        .flat_map(|(_, value)| relation::names(value));
    let known: BTreeSet<String> = asked.chain([BUILD_ESSENTIAL]).map(str::to_owned).collect();
    let line = ["/bin/sh", "-c", FOLLOW, "sh"];
    let line: Vec<&str> = line
        .into_iter()
        .chain(known.iter().map(String::as_str))
        .collect();
    let process = process::of_root(&line, Network::None);
    let (stderr, flow) = build.log.pump(build.watch.ear())?.split();
    let (reader, writer) = io::pipe().map_err(chroots::Error::Pipe)?;
    let stdio = Stdio {
        stdin: None,
        stdout: Some(writer.into()),
        stderr: Some(stderr),
    };
    Ok(Asked {
        running: session.start(&process, stdio)?,
        output: std::thread::spawn(move || {
            let mut output = String::new();
            reader.take(LONGEST).read_to_string(&mut output)?;
            Ok(output)
        }),
        stderr: flow,
        known,
        process,
    })
}

impl Asked {
    /// Waits for the answer; `None` where apt could not tell.
    pub(super) fn names(self, session: &Session) -> Result<Option<BTreeSet<String>>, Stop> {
        let output = self.output.join();
        let exit = session.wait(&self.process, self.running)?;
        self.stderr.finish()?;
        let Ok(Ok(output)) = output else {
            return Ok(None);
        };
        let mut names = self.known;
        names.extend(followed(&output).map(str::to_owned));
        Ok(exit.success().then_some(names))
    }
}

/// Names in what `apt-cache depends` prints: packages, ` |Depends: NAME`, `  PreDepends: <NAME:any>`, providers.
fn followed(output: &str) -> impl Iterator<Item = &str> {
    output
        .lines()
        .map(|line| line.rsplit_once(": ").map_or(line, |(_, name)| name))
        .map(|name| name.trim().trim_start_matches('<').trim_end_matches('>'))
        .map(|name| {
            name.split_once(':')
                .map_or(name, |(name, _architecture)| name)
        })
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_packages_and_providers_are_reached() {
        let output = "apt\n |Depends: gpgv\n  PreDepends: <libelogind-compat>\n    libelogind0\n\
                      <python3:any>\n    python3\nlibc6:i386\n";
        let found: Vec<&str> = followed(output).collect();
        assert_eq!(
            found,
            [
                "apt",
                "gpgv",
                "libelogind-compat",
                "libelogind0",
                "python3",
                "python3",
                "libc6"
            ]
        );
    }
}
