//! `mini-buildd self-signed-certificate`: a key and a certificate for HTTPS and FTPS where no authority gives one.
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::{ToSpan as _, Zoned};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::{Failure, daemon, output};
use crate::home::Home;

/// How long a certificate is good.
const YEARS: i64 = 10;

/// Makes, shows or removes a certificate that signs itself, for endpoints like ssl:port=8066:privateKey=…:certKey=….
///
/// Clients must be told to trust it: curl --cacert FILE, or SSL_CERT_FILE=FILE for mini-buildd itself.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Tells where it is, and what to start the daemon with.
    Status(At),
    /// Makes one, good for ten years.
    Create {
        /// Host name that clients know this instance by [default: the system's].
        #[arg(value_name = "HOST")]
        hostname: Option<String>,
        /// More names and addresses that it is for.
        #[arg(value_name = "NAME")]
        more: Vec<String>,
        #[command(flatten)]
        at: At,
    },
    /// Removes key and certificate.
    Remove(At),
}

#[derive(Args, Debug)]
struct At {
    #[command(flatten)]
    home: super::home::Options,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{path} is there already; to make another one: mini-buildd self-signed-certificate remove", path = .0.display())]
    There(PathBuf),
    #[error("there is no certificate in {path}; make one with: mini-buildd self-signed-certificate create", path = .0.display())]
    Missing(PathBuf),
    #[error("can't make a certificate for {names}")]
    Make { names: String, source: rcgen::Error },
    #[error("can't {action} {path}", path = path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    match &options.action {
        Action::Status(at) => status(&at.home.own()?)?,
        Action::Create { hostname, more, at } => {
            let home = at.home.own()?;
            create(&home, hostname.as_deref(), more)?;
            status(&home)?;
        }
        Action::Remove(at) => {
            let home = at.home.own()?;
            for path in [home.certificate_key(), home.certificate()] {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    done => done.map_err(failed("remove", &path))?,
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action,
        path,
        source,
    }
}

fn status(home: &Home) -> Result<(), Failure> {
    let (key, certificate) = (home.certificate_key(), home.certificate());
    if !key.exists() || !certificate.exists() {
        return Err(Error::Missing(certificate).into());
    }
    let files = format!(
        "privateKey={}:certKey={}",
        escaped(&key),
        escaped(&certificate)
    );
    Ok(output::write(&format!(
        "{}\nHTTPS: mini-buildd --home {} --http-endpoint ssl:port=8066:{files}\n\
         FTPS:  mini-buildd item set --home {} daemon daemon ftp_endpoint=ssl:port=8067:{files} --pca\n",
        certificate.display(),
        home.root().display(),
        home.root().display(),
    ))?)
}

/// As a path stands in an endpoint.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(':', "\\:")
}

fn create(home: &Home, hostname: Option<&str>, more: &[String]) -> Result<(), Failure> {
    let certificate = home.certificate();
    if certificate.exists() || home.certificate_key().exists() {
        return Err(Error::There(certificate).into());
    }
    let hostname = hostname.map_or_else(daemon::fqdn, str::to_owned);
    let mut names = vec![hostname.clone()];
    names.extend(more.iter().cloned());
    let make = || {
        let mut params = CertificateParams::new(names.clone())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, hostname);
        let today = Zoned::now();
        let end = today
            .checked_add(YEARS.years())
            .unwrap_or_else(|_| today.clone());
        let date = |day: &Zoned| {
            let month = day.month().unsigned_abs();
            rcgen::date_time_ymd(day.year().into(), month, day.day().unsigned_abs())
        };
        params.not_before = date(&today);
        params.not_after = date(&end);
        let key = KeyPair::generate()?;
        let made = params.self_signed(&key)?;
        Ok((key.serialize_pem(), made.pem()))
    };
    let (key, text) = make().map_err(|source| Error::Make {
        names: names.join(", "),
        source,
    })?;
    let path = home.certificate_key();
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(key.as_bytes()))
        .map_err(failed("write", &path))?;
    fs::write(&certificate, text).map_err(failed("write", &certificate))?;
    Ok(())
}
