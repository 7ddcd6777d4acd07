//! What this host is: its release, its apt sources, its machine.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use tracing::warn;

use crate::command;
use crate::deb::sources_list::Source;
use crate::deb::{Architecture, Codename, distro_info};

use super::Error;

const OS_RELEASE: &str = "/etc/os-release";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// As Release files have it: `Debian`.
    pub origin: String,
    pub codename: Codename,
    /// `13`; none for sid.
    pub version: Option<String>,
    pub architecture: Architecture,
    /// By which others find it, in full.
    pub hostname: String,
    pub processors: u32,
    pub apt_sources: Vec<Source>,
    /// What apt itself is told for all its sources.
    pub check_valid_until: bool,
    /// Files below /usr/share/keyrings.
    pub keyrings: Vec<PathBuf>,
}

/// Reads the host, but for its name: administrators may say another one.
pub fn host_facts(hostname: String) -> Result<HostFacts, Error> {
    let release = read(Path::new(OS_RELEASE))?;
    let codename = codename_of(&release)?;
    let origin = origin(&os_release(&release, "ID").unwrap_or_default());
    let version = os_release(&release, "VERSION_ID");
    let distro_info = format!("/usr/share/distro-info/{}.csv", origin.to_lowercase());
    let distro_info = read(Path::new(&distro_info)).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(HostFacts {
        version: known_version(&distro_info, &codename).or(version),
        origin,
        codename,
        architecture: architecture()?,
        hostname,
        processors: u32::try_from(processors).unwrap_or(1),
        apt_sources: apt_sources(Path::new("/etc/apt"))?,
        check_valid_until: check_valid_until()?,
        keyrings: keyrings(Path::new("/usr/share/keyrings")),
    })
}

/// Codename of the release that this machine runs.
pub fn codename() -> Result<Codename, Error> {
    codename_of(&read(Path::new(OS_RELEASE))?)
}

fn codename_of(release: &str) -> Result<Codename, Error> {
    let codename = os_release(release, "VERSION_CODENAME").ok_or(Error::NoCodename)?;
    Ok(codename.parse()?)
}

/// What this machine's own packages are built for.
pub fn architecture() -> Result<Architecture, Error> {
    let output = command::run(Command::new("dpkg").arg("--print-architecture"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })
}

/// Value of an os-release(5) variable.
fn os_release(text: &str, name: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

fn origin(id: &str) -> String {
    let mut letters = id.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Version of a release in a table of distro-info.
fn known_version(table: &str, codename: &Codename) -> Option<String> {
    let releases = distro_info::parse(table);
    distro_info::find(&releases, codename)?.version.clone()
}

fn check_valid_until() -> Result<bool, Error> {
    let mut apt_config = Command::new("apt-config");
    apt_config.args(["shell", "VALUE", "Acquire::Check-Valid-Until"]);
    let output = command::run(&mut apt_config)?;
    Ok(!is_off(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads `VALUE='false'`; apt's words for no.
fn is_off(text: &str) -> bool {
    let value = text.trim().trim_start_matches("VALUE=").trim_matches('\'');
    ["false", "no", "0", "off", "without", "disable"]
        .iter()
        .any(|off| value.eq_ignore_ascii_case(off))
}

/// All sources; a file that can't be parsed is passed over, as is what others put there.
fn apt_sources(directory: &Path) -> Result<Vec<Source>, Error> {
    let mut files = vec![directory.join("sources.list")];
    let mut parts = entries(&directory.join("sources.list.d"));
    parts.sort();
    files.append(&mut parts);
    let mut sources = Vec::new();
    for path in files {
        let kind = path.extension().unwrap_or_default().to_string_lossy();
        let parse = match &*kind {
            "list" => Source::parse_list,
            "sources" => Source::parse_deb822,
            _ => continue,
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(Error::Read { path, source }),
        };
        match parse(&text) {
            Ok(found) => sources.extend(found.into_iter().map(with_plain_uri)),
            Err(error) => warn!(path = %path.display(), %error, "apt sources passed over"),
        }
    }
    Ok(sources)
}

/// Cloud images name a file that lists mirrors; a chroot doesn't have it.
fn with_plain_uri(mut source: Source) -> Source {
    let first = source
        .uri
        .strip_prefix("mirror+file:")
        .and_then(|path| fs::read_to_string(path).ok())
        .and_then(|list| first_uri(&list));
    if let Some(uri) = first {
        source.uri = uri;
    }
    source
}

fn first_uri(list: &str) -> Option<String> {
    let mut lines = list.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
    line.split_whitespace().next().map(ToOwned::to_owned)
}

fn keyrings(directory: &Path) -> Vec<PathBuf> {
    let mut keyrings = entries(directory);
    keyrings.sort();
    keyrings
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_values_lose_their_quotes() {
        let text = "ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n";
        assert_eq!(os_release(text, "VERSION_ID"), Some("13".into()));
        assert_eq!(os_release(text, "VERSION"), None);
        assert_eq!(origin("debian"), "Debian");
    }

    #[test]
    fn distro_info_knows_versions() {
        let table = "version,codename,series\n13,Trixie,trixie,2023-06-10\n,Sid,sid,1993-08-16\n";
        let version = |codename: &str| known_version(table, &codename.parse().unwrap());
        assert_eq!(version("trixie"), Some("13".into()));
        assert_eq!(version("sid"), None);
    }

    #[test]
    fn mirror_lists_give_their_first_mirror() {
        assert_eq!(
            first_uri("# best\nhttp://a.test/debian\tpriority:1\n"),
            Some("http://a.test/debian".into())
        );
    }

    #[test]
    fn valid_until_is_off_in_all_of_apts_words() {
        assert!(is_off("VALUE='false'\n"));
        assert!(is_off("VALUE='0'\n"));
        assert!(!is_off(""));
        assert!(!is_off("VALUE='true'\n"));
    }
}
