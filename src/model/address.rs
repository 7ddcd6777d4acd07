/// Where others reach this instance, as written into messages, configuration and the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Fully qualified host name, or what `--hostname` says.
    pub hostname: String,
    /// `http://HOST:PORT`, without a slash at the end.
    pub http_url: String,
    /// `ftp://HOST:PORT`
    pub incoming_url: String,
    /// Certificates of our own servers, which our own clients trust.
    pub certificates: Vec<std::path::PathBuf>,
}
