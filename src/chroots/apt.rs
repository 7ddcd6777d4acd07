//! How packages get into a session: apt's configuration, command lines and answers.
use std::fmt::Write as _;
use std::time::Duration;

use sandbox::{Network, Process};

use super::tree::Tree;
use super::{Error, process};
use crate::certificate;
use crate::deb::sources_list::Source;
use crate::fetch::Proxies;

/// Path of [`CONFIGURATION`] inside.
pub const CONFIGURATION_FILE: &str = "/etc/apt/apt.conf.d/00mini-buildd";

/// What holds for every apt of ours.
///
/// apt runs its methods as root: it has nothing more to lose than the session. Hashes of downloads are told as SHA-256.
///
/// Of its two caches of the indices, the one without what is installed would be for runs after an installation; there are
/// none, but where it is there, apt makes the other one anew after dpkg, which takes as long as a sixth of the packages.
pub const CONFIGURATION: &str = r#"APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
APT::Get::Assume-Yes "true";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::ForceHash "SHA256";
Acquire::Retries "3";
Dir::Cache::srcpkgcache "";
Dpkg::Use-Pty "false";
Dpkg::Options { "--force-confdef"; "--force-confnew"; };
"#;

/// Path of the sources that a base, or a build, has.
pub const SOURCES_FILE: &str = "/etc/apt/sources.list";

/// Path of what tells apt how to reach servers.
const SERVERS_FILE: &str = "/etc/apt/apt.conf.d/00mini-buildd-servers";

/// Path of the certificates that apt trusts.
const AUTHORITIES_FILE: &str = "/etc/apt/mini-buildd-authorities.crt";

/// Paths of what [`reach`] tells; it may hold a password, and never gets into a base or a layer.
pub const OF_THIS_HOST: [&str; 2] = [SERVERS_FILE, AUTHORITIES_FILE];

/// Makes an archive that does not answer an error, not a warning only; as an option it is unknown before apt 2.1.
pub const ERROR_ON_ANY: &str = "-oAPT::Update::Error-Mode=any";

/// Times that an update of the indices may take, one try each.
pub const UPDATE_TRIES: [Duration; 5] = [
    Duration::from_secs(10),
    Duration::from_secs(40),
    Duration::from_secs(80),
    Duration::from_secs(160),
    Duration::from_secs(320),
];

/// Between two tries.
pub const UPDATE_PAUSE: Duration = Duration::from_secs(10);

/// Tells apt how to reach the servers of sources: by which proxies, and by which certificates it knows those that speak
/// TLS; these are the host's, for a base has none, and `trusted` (PEM).
pub fn reach(
    tree: &mut Tree,
    proxies: &Proxies,
    (foreign, own): (&[Source], &[Source]),
    trusted: &str,
) {
    let mut text = proxies.apt_configuration(foreign, own);
    let mut sources = foreign.iter().chain(own);
    if sources.any(|source| source.uri.starts_with("https:")) {
        let _ = writeln!(text, "Acquire::https::CaInfo \"{AUTHORITIES_FILE}\";");
        tree.text(AUTHORITIES_FILE, certificate::authorities() + trusted);
    }
    tree.secret(SERVERS_FILE, text);
}

/// apt-get with a network of the session's.
pub fn get(network: Network, args: &[&str]) -> Process {
    process::of_root(&[&["apt-get", "-q"], args].concat(), network)
}

/// apt-get update, ended by timeout(1) after `time`; `args` may narrow it down to some sources.
pub fn update(network: Network, time: Duration, args: &[&str]) -> Process {
    let seconds = time.as_secs().to_string();
    let line = [
        "timeout",
        "--kill-after=5",
        &seconds,
        "apt-get",
        "-q",
        "update",
    ];
    process::of_root(&[&line[..], &[ERROR_ON_ANY], args].concat(), network)
}

/// A .deb that apt would download.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Download {
    /// File name in apt's cache.
    pub name: String,
    pub size: u64,
    pub sha256: String,
}

/// What apt would do, from what `apt-get --print-uris` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Sorted.
    pub downloads: Vec<Download>,
    /// Names of packages, sorted.
    pub removals: Vec<String>,
}

impl Plan {
    pub fn parse(text: &str) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        let mut removed = false;
        for line in text.lines() {
            if line.starts_with('\'') {
                plan.downloads
                    .push(parse_uri(line).ok_or_else(|| Error::AptPlan(line.to_owned()))?);
            } else if removed && line.starts_with(' ') {
                // A star marks what is purged.
                let names = line
                    .split_whitespace()
                    .map(|name| name.trim_end_matches('*').to_owned());
                plan.removals.extend(names);
            } else {
                removed = line.starts_with("The following packages will be REMOVED:");
            }
        }
        plan.downloads.sort();
        plan.removals.sort();
        Ok(plan)
    }

    pub fn is_empty(&self) -> bool {
        self.downloads.is_empty() && self.removals.is_empty()
    }
}

/// Reads `'URI' NAME SIZE SHA256:DIGEST`.
fn parse_uri(line: &str) -> Option<Download> {
    let mut words = line.split_whitespace().skip(1);
    let name = words.next()?;
    let size = words.next()?.parse().ok()?;
    let sha256 = words.next()?.strip_prefix("SHA256:")?;
    let named =
        name.strip_suffix(".deb").is_some() && !name.starts_with('.') && !name.contains('/');
    let digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    (named && digest).then(|| Download {
        name: name.to_owned(),
        size,
        sha256: sha256.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "8f2e0a6ff7a7f6a4a4b1b7a9ab28dcd1bd5bd1f58d2f1f8d6aeb8d4fb4d4b1a1";

    #[test]
    fn downloads_and_removals_are_read() {
        let text = format!(
            "Reading package lists...\n\
             The following packages will be REMOVED:\n  libfoo-dev* foo-tools\n\
             The following NEW packages will be installed:\n  bar\n\
             Need to get 12 B of archives.\n\
             'http://mirror.example.org/pool/b/bar/bar_1%3a2-1_all.deb' bar_1%3a2-1_all.deb 12 SHA256:{DIGEST}\n"
        );
        assert_eq!(
            Plan::parse(&text).unwrap(),
            Plan {
                downloads: vec![Download {
                    name: "bar_1%3a2-1_all.deb".to_owned(),
                    size: 12,
                    sha256: DIGEST.to_owned(),
                }],
                removals: vec!["foo-tools".to_owned(), "libfoo-dev".to_owned()],
            }
        );
    }

    #[test]
    fn nothing_to_do_is_an_empty_plan() {
        let text = "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n";
        assert!(Plan::parse(text).unwrap().is_empty());
    }

    #[test]
    fn a_download_without_a_good_digest_is_refused() {
        for line in [
            "'http://x/a_1_all.deb' a_1_all.deb 12 MD5Sum:00",
            "'http://x/a' ../a.deb 12 SHA256:00",
        ] {
            assert!(Plan::parse(line).is_err(), "{line}");
        }
    }
}
