use std::path::PathBuf;

/// Where others reach this instance, as written into messages, configuration and the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Fully qualified host name, or what `--hostname` says.
    pub hostname: String,
    /// `http://HOST:PORT`, without a slash at the end.
    pub http_url: String,
    /// `ftp://HOST:PORT`
    pub incoming_url: String,
    /// Certificate of the HTTP server, if it speaks TLS: builders trust it, and our own clients.
    pub http_certificate: Option<PathBuf>,
    /// The same of the FTP server.
    pub incoming_certificate: Option<PathBuf>,
}

impl Address {
    /// Certificates of our own servers.
    pub fn certificates(&self) -> Vec<PathBuf> {
        let both = [&self.http_certificate, &self.incoming_certificate];
        both.into_iter().flatten().cloned().collect()
    }
}
