//! Certificates of servers, and what clients trust: `ssl:port=8066:privateKey=FILE:certKey=FILE`; a renewed file is taken without a restart.
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io, iter};

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::Error as PemError};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::endpoint::ServerEndpoint;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("option {0} is missing")]
    Option(&'static str),
    #[error("can't read {path}", path = path.display())]
    Read { path: PathBuf, source: PemError },
    #[error("{path} holds no certificate", path = path.display())]
    Empty { path: PathBuf },
    #[error("key and certificate don't fit")]
    Unfit(#[source] rustls::Error),
}

/// What a client trusts: the system's authorities (of $SSL_CERT_FILE, if that is set), and these certificates.
///
/// A file that can't be read is passed over: then its server can't be trusted, which is told where it is asked.
pub fn client_config(also: &[PathBuf]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for path in also {
        match CertificateDer::pem_file_iter(path) {
            Ok(found) => {
                roots.add_parsable_certificates(found.flatten());
            }
            Err(error) => warn!(path = %path.display(), %error, "can't read a certificate"),
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// What to do where [`is_unknown`] says so.
pub const TO_TRUST: &str =
    "to trust it, set SSL_CERT_FILE=FILE, a file with the system's authorities and its certificate";

/// Tells whether a connection failed for a certificate that would do if it were trusted.
pub fn is_unknown(fault: &(dyn std::error::Error + 'static)) -> bool {
    iter::successors(Some(fault), |fault| fault.source()).any(|fault| {
        // What an io::Error holds is none of its sources.
        let fault = fault
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match fault.and_then(|fault| fault.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(fault)) => !is_of_itself(fault),
            _ => false,
        }
    })
}

/// Which fault an untrusted certificate has depends on the authorities that it is compared with.
fn is_of_itself(fault: &CertificateError) -> bool {
    matches!(
        fault,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. }
            | CertificateError::Revoked
    )
}

/// The system's authorities (of $SSL_CERT_FILE, if that is set), as PEM.
pub fn authorities() -> String {
    to_pem(&rustls_native_certs::load_native_certs().certs)
}

/// The certificates of a file as PEM: without a key, which may stand beside them.
pub fn public(path: &Path) -> Result<String, Error> {
    Ok(to_pem(&read_chain(path)?))
}

fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let blocks: Vec<Pem> = certificates
        .iter()
        .map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()))
        .collect();
    pem::encode_many_config(&blocks, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

/// What a server shows and proves itself with.
#[derive(Debug)]
pub struct Certificate {
    key: PathBuf,
    chain: PathBuf,
    /// What is spoken behind it (RFC 7301).
    protocol: Option<&'static [u8]>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    config: Arc<ServerConfig>,
    changed: [Option<SystemTime>; 2],
    looked: Instant,
}

impl Certificate {
    /// Of an endpoint; `certKey` is the certificate with its chain.
    pub fn of(
        endpoint: &ServerEndpoint,
        protocol: Option<&'static [u8]>,
    ) -> Result<Certificate, Error> {
        let option = |name| {
            let path = endpoint.option(name).ok_or(Error::Option(name))?;
            Ok::<_, Error>(PathBuf::from(path))
        };
        let (key, chain) = (option("privateKey")?, option("certKey")?);
        let known = Known {
            changed: changed([&key, &chain]),
            config: load(&key, &chain, protocol)?,
            looked: Instant::now(),
        };
        Ok(Certificate {
            key,
            chain,
            protocol,
            known: Mutex::new(known),
        })
    }

    /// With what is in the files now; a faulty pair is passed over, and told of once.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= LOOK {
            known.looked = Instant::now();
            let changed = changed([&self.key, &self.chain]);
            if changed != known.changed {
                known.changed = changed;
                let path = self.chain.display();
                match load(&self.key, &self.chain, self.protocol) {
                    Ok(config) => {
                        known.config = config;
                        info!(certificate = %path, "took the new certificate");
                    }
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        warn!(certificate = %path, error, "the old certificate stays in use");
                    }
                }
            }
        }
        TlsAcceptor::from(Arc::clone(&known.config))
    }
}

fn changed(paths: [&Path; 2]) -> [Option<SystemTime>; 2] {
    paths.map(|path| fs::metadata(path).and_then(|found| found.modified()).ok())
}

fn load(
    key_path: &Path,
    chain_path: &Path,
    protocol: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, Error> {
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(unread(key_path))?;
    let chain = read_chain(chain_path)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(Error::Unfit)?;
    config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
    Ok(Arc::new(config))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain = CertificateDer::pem_file_iter(path).map_err(unread(path))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(unread(path))?;
    if chain.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}

fn unread(path: &Path) -> impl Fn(PemError) -> Error {
    let path = path.to_owned();
    move |source| Error::Read {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_with_key_and_certificate_only_the_certificate_is_public() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("both.pem");
        let certificate = made.cert.pem();
        fs::write(&path, made.signing_key.serialize_pem() + &certificate).unwrap();
        assert_eq!(public(&path).unwrap(), certificate.replace('\r', ""));
        fs::write(&path, made.signing_key.serialize_pem()).unwrap();
        assert!(matches!(public(&path), Err(Error::Empty { .. })));
    }
}
