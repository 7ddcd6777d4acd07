//! `mini-buildd bootstrap-apt`: makes this machine's apt trust an instance, ours or stock's.
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use super::confirm::is_confirmed;
use super::{Failure, output};
use crate::command;
use crate::deb::sources_list::Source;
use crate::endpoint::{ClientEndpoint, Scheme};
use crate::fetch::Client;
use crate::model::daemon;
use crate::pgp::Keyring;
use crate::setup::host;

const LIMIT: usize = 16 << 20;
const TIME: Duration = Duration::from_secs(60);
/// Of the machine's own sources.
const PARTS: &str = "/etc/apt/sources.list.d";
const KEYRINGS: &str = "/etc/apt/keyrings";

/// Makes this machine's apt trust an instance: installs the archive keyring package that it offers. To be run as root.
///
/// Its key is trusted at first sight, unless --fingerprint tells which one it must be. Nothing of this stays in /etc but
/// what the package brings, and what --add-source and --without-package add.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// HTTP endpoint of the instance, like http://localhost:8066.
    endpoint: ClientEndpoint,
    /// Ask nothing.
    #[arg(value_parser = ["auto"])]
    auto: Option<String>,
    /// Take no key but the one with this fingerprint.
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<String>,
    /// Suite that has the package.
    #[arg(long, default_value = "stable")]
    suite: String,
    /// Release of this machine [default: what /etc/os-release says].
    #[arg(long, env = "MBD_CODENAME")]
    codename: Option<String>,
    /// Identity of the instance [default: what it says itself].
    #[arg(long, env = "MBD_IDENTITY")]
    identity: Option<String>,
    /// Line of sources.list [default: what the instance says].
    #[arg(long, value_name = "LINE", env = "MBD_APT_LINE")]
    apt_line: Option<String>,
    /// Write the source to /etc/apt/sources.list.d too: apt finds all packages of the suite from then on.
    #[arg(long)]
    add_source: bool,
    /// Write key and source to /etc/apt, and install no package: for repositories that have none.
    #[arg(long)]
    without_package: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it must be run as root: sudo mini-buildd bootstrap-apt …")]
    NotRoot,
    #[error("{endpoint}: calls are made by http or https")]
    Scheme { endpoint: ClientEndpoint },
    #[error("{url}: unexpected answer, {fault}")]
    Answer { url: String, fault: String },
    #[error("{identity:?} is no identity; give one with --identity")]
    Identity { identity: String },
    #[error("{url} has no suite {suite:?} for {codename}; give others with --suite and --codename")]
    NoSource {
        url: String,
        suite: String,
        codename: String,
    },
    #[error("its key is {found}, not {expected}: nothing was changed")]
    OtherKey { found: String, expected: String },
    #[error("not confirmed: nothing was changed; to ask nothing, add: auto")]
    Unconfirmed,
    #[error(
        "{url} offers no package {package}; to trust its key without one, add --without-package"
    )]
    NoPackage { url: String, package: String },
    #[error("{path} is there already and holds something else; if that is out of date, remove it")]
    Occupied { path: PathBuf },
    #[error("can't write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{command} ended with {status}")]
    Apt {
        command: &'static str,
        status: std::process::ExitStatus,
    },
}

/// What an instance says of itself.
struct Instance {
    url: String,
    identity: String,
    key: String,
    fingerprints: String,
    sources: Vec<Source>,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot.into());
    }
    let codename = match &options.codename {
        Some(codename) => codename.clone(),
        None => host::codename()?.to_string(),
    };
    let instance = Instance::ask(options, &codename)?;
    if let Some(expected) = &options.fingerprint {
        let expected = expected.replace(' ', "").to_uppercase();
        if instance.fingerprints != expected {
            let found = instance.fingerprints;
            return Err(Error::OtherKey { found, expected }.into());
        }
    }
    let lines = instance.lines(None);
    output::write(&format!(
        "{} {}\nkey:    {}\nsource: {}",
        instance.identity,
        instance.url,
        instance.fingerprints,
        lines.replace('\n', "\n        ").trim_end_matches(' ')
    ))?;
    if options.auto.is_none() && !is_confirmed("Trust this key?") {
        return Err(Error::Unconfirmed.into());
    }
    if options.without_package {
        let key = Path::new(KEYRINGS).join(format!("mini-buildd-{}.asc", instance.identity));
        put(&key, &instance.key)?;
        return add_source(&instance, Some(&key));
    }
    let package = install(&instance, options.auto.is_some())?;
    output::write(&format!("{package} is installed\n"))?;
    if options.add_source {
        return add_source(&instance, keyring_of(&package)?.as_deref());
    }
    Ok(ExitCode::SUCCESS)
}

impl Instance {
    fn ask(options: &Options, codename: &str) -> Result<Instance, Failure> {
        let endpoint = &options.endpoint;
        if !matches!(endpoint.scheme, Scheme::Http | Scheme::Https) {
            let endpoint = endpoint.clone();
            return Err(Error::Scheme { endpoint }.into());
        }
        let url = endpoint.url();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = Client::new();
        let answer = |call: &str| {
            let url = format!("{url}/mini_buildd/api/{call}");
            runtime.block_on(ask(&client, &url))
        };
        let identity = match &options.identity {
            Some(identity) => identity.clone(),
            None => text(&url, &answer("status/")?["identity"])?,
        };
        if daemon::check_identity(&identity).is_err() {
            return Err(Error::Identity { identity }.into());
        }
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let lines = if let Some(line) = &options.apt_line {
            line.clone()
        } else {
            let query = format!(
                "sources_list/?codenames={}&suites={}",
                encoded(codename),
                encoded(&options.suite)
            );
            text(&url, &answer(&query)?)?
        };
        let mut sources = Source::parse_list(&lines)?;
        sources.retain(|source| source.types == ["deb"]);
        if sources.is_empty() {
            let (suite, codename) = (options.suite.clone(), codename.to_owned());
            return Err(Error::NoSource {
                url,
                suite,
                codename,
            }
            .into());
        }
        let key = text(&url, &answer("pub_key/")?)?;
        let mut keyring = Keyring::default();
        keyring.add(key.as_bytes())?;
        Ok(Instance {
            // Only what was understood is trusted.
            key: keyring.to_armored()?,
            fingerprints: keyring.fingerprints().join(" "),
            url,
            identity,
            sources,
        })
    }

    /// Lines of sources.list; options of others than us, like trusted=yes, have no place there.
    fn lines(&self, key: Option<&Path>) -> String {
        let lines = self.sources.iter().map(|source| {
            let signed_by = key.map(|key| ("signed-by".to_owned(), key.display().to_string()));
            let source = Source {
                options: signed_by.into_iter().collect(),
                ..source.clone()
            };
            format!("{source}\n")
        });
        lines.collect()
    }
}

async fn ask(client: &Client, url: &str) -> Result<Value, Failure> {
    let body = client.get(url, LIMIT, TIME).await?;
    let unexpected = |fault: serde_json::Error| Error::Answer {
        url: url.to_owned(),
        fault: fault.to_string(),
    };
    Ok(serde_json::from_slice(&body).map_err(unexpected)?)
}

fn text(url: &str, value: &Value) -> Result<String, Error> {
    let text = value.as_str().ok_or_else(|| Error::Answer {
        url: url.to_owned(),
        fault: format!("{value} is no text"),
    })?;
    Ok(text.to_owned())
}

/// Installs the keyring package by sources that are gone afterwards; returns its name.
fn install(instance: &Instance, asks_nothing: bool) -> Result<String, Failure> {
    let place = Place::new(instance)?;
    let package = format!("{}-archive-keyring", instance.identity);
    place.get(&place.only, &["update", "-oAPT::Get::List-Cleanup=0"])?;
    let mut show = place.apt("apt-cache", &place.only);
    if command::run(show.args(["show", &package])).is_err() {
        let url = instance.url.clone();
        return Err(Error::NoPackage { url, package }.into());
    }
    let yes = if asks_nothing { "--yes" } else { "--no-remove" };
    let words = ["install", "--no-install-recommends", yes, &package];
    place.get(&place.all, &words)?;
    Ok(package)
}

/// Sources for a while.
struct Place {
    _directory: TempDir,
    /// The directory of the instance's sources.
    only: PathBuf,
    /// The directory of these and the machine's own.
    all: PathBuf,
}

impl Place {
    fn new(instance: &Instance) -> Result<Place, Failure> {
        // apt reads it as the user _apt.
        let directory = tempfile::Builder::new()
            .prefix("mini-buildd-bootstrap-apt.")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()?;
        let [key, only, all] = ["key.asc", "only", "all"].map(|name| directory.path().join(name));
        fs::write(&key, &instance.key)?;
        let name = "mini-buildd-bootstrap-apt.list";
        for directory in [&only, &all] {
            fs::create_dir(directory)?;
            fs::write(directory.join(name), instance.lines(Some(&key)))?;
        }
        for own in fs::read_dir(PARTS).into_iter().flatten().flatten() {
            symlink(own.path(), all.join(own.file_name()))?;
        }
        Ok(Place {
            _directory: directory,
            only,
            all,
        })
    }

    /// Shows what it says.
    fn get(&self, parts: &Path, words: &[&str]) -> Result<(), Failure> {
        let command = "apt-get";
        let status = self.apt(command, parts).args(words).status()?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Apt { command, status }.into())
    }

    /// A program of apt, which knows these sources only.
    fn apt(&self, program: &str, parts: &Path) -> Command {
        let mut apt = Command::new(program);
        apt.args(["-q", "-oAPT::Update::Error-Mode=any"]);
        if parts == self.only {
            apt.arg("-oDir::Etc::SourceList=/dev/null");
        }
        let mut set = |option: &str, path: &OsStr| {
            let mut option = OsString::from(format!("-o{option}="));
            option.push(path);
            apt.arg(option);
        };
        set("Dir::Etc::SourceParts", parts.as_os_str());
        if let Some(certificates) = env::var_os("SSL_CERT_FILE") {
            set("Acquire::https::CaInfo", &certificates);
        }
        apt
    }
}

/// The keyring that a package has brought; `None` where apt takes it for all sources.
fn keyring_of(package: &str) -> Result<Option<PathBuf>, Failure> {
    let listed = command::run(Command::new("dpkg").args(["--listfiles", package]))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut keyrings = listed.lines().filter(|path| path.contains("/keyrings/"));
    let is_keyring = |path: &&str| {
        [".gpg", ".pgp", ".asc"]
            .iter()
            .any(|end| path.ends_with(end))
    };
    Ok(keyrings.find(is_keyring).map(PathBuf::from))
}

fn add_source(instance: &Instance, key: Option<&Path>) -> Result<ExitCode, Failure> {
    let path = Path::new(PARTS).join(format!("mini-buildd-{}.list", instance.identity));
    put(&path, &instance.lines(key))?;
    output::write(&format!(
        "{} is written; what it has is known after: apt-get update\n",
        path.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that is not there, or is the same.
fn put(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    match fs::read_to_string(path) {
        Ok(found) if found == text => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(_) | Err(_) => {
            let path = path.to_owned();
            return Err(Error::Occupied { path });
        }
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(failed)?;
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)
        .map_err(failed)?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
