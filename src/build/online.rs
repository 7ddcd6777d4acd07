//! The network that apt gets in a build: one of the session's own that pasta(1) connects, where that works, else the
//! host's.
use std::error::Error as _;

use backends::LayerKey;
use sandbox::Network;

use super::sources::Sources;
use super::steps::Build;
use super::stop::{Stop, in_one_line};
use super::upgraded::read_sources;
use crate::chroots::{self, Near, Session};
use crate::fetch::Proxies;

/// What is known of it in this build.
#[derive(Debug, Default)]
pub(super) enum Online {
    #[default]
    Unknown,
    Forwarded(Near),
    Host,
}

impl Build {
    /// Begins a session that apt can fetch in; the log says how, once.
    pub(super) fn begin_online(&mut self, layer: Option<&LayerKey>) -> Result<Session, Stop> {
        let (near, is_new) = match &self.online {
            Online::Host => return self.begin(layer, Network::Host),
            Online::Forwarded(near) => (Ok(near.clone()), false),
            Online::Unknown => (
                Near::of(&urls(&read_sources(self)?, self.chroots.proxies())),
                true,
            ),
        };
        let near = match near {
            Ok(near) => near,
            Err(reason) => return self.begin_with_host(layer, &reason),
        };
        let begun = self.chroots.begin_forwarded(
            &self.assignment.chroot,
            self.backend.as_ref(),
            layer,
            &near,
            &self.assignment.directory,
        );
        let session = match begun {
            Ok(session) => session,
            Err(error) => return self.begin_with_host(layer, &why(&error)),
        };
        self.watch.follow(&session);
        if is_new {
            let reached = near.summary();
            self.log
                .say(&format!("Network: through pasta; it reaches {reached}\n"))?;
            self.online = Online::Forwarded(near);
        }
        Ok(session)
    }

    fn begin_with_host(&mut self, layer: Option<&LayerKey>, reason: &str) -> Result<Session, Stop> {
        self.log.say(&format!(
            "W: Network: the host's, not through pasta: {reason}\n"
        ))?;
        self.online = Online::Host;
        self.begin(layer, Network::Host)
    }
}

/// What apt connects to.
fn urls(sources: &Sources, proxies: &Proxies) -> Vec<String> {
    let foreign = sources.foreign.iter().map(|source| source.uri.as_str());
    let foreign = foreign.map(|uri| proxies.of(uri).unwrap_or(uri));
    let own = sources.own.iter().map(|source| source.uri.as_str());
    foreign.chain(own).map(str::to_owned).collect()
}

fn why(error: &chroots::Error) -> String {
    let remedy = error
        .source()
        .and_then(|source| source.downcast_ref::<sandbox::Error>())
        .and_then(sandbox::Error::remedy);
    let remedy = remedy.map_or_else(String::new, |remedy| format!("; remedy: {remedy}"));
    in_one_line(error) + &remedy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_connects_to_proxies_but_for_the_packagers_repository() {
        let text = "deb http://mirror.test/debian sid main\n\
                    deb http://near.test/debian sid main\n\
                    deb http://buildd.test:8066/repositories/test sid-test-unstable main\n";
        let sources = Sources::parse(text, "http://buildd.test:8066").unwrap();
        let proxies = "Acquire::http::Proxy http://127.0.0.1:3142\n\
                       Acquire::http::Proxy::near.test DIRECT\n";
        let proxies = Proxies::parse(proxies, |_| None);
        assert_eq!(
            urls(&sources, &proxies),
            [
                "http://127.0.0.1:3142",
                "http://near.test/debian",
                "http://buildd.test:8066/repositories/test"
            ]
        );
    }
}
