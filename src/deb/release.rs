use jiff::Timestamp;

/// Fields of a Release file of ours, in stock's order (repository format).
#[derive(Clone, Debug)]
pub struct Release {
    pub origin: String,
    pub label: String,
    pub suite: String,
    pub codename: String,
    pub date: Timestamp,
    pub architectures: Vec<String>,
    pub components: Vec<String>,
    pub description: String,
    pub not_automatic: bool,
    pub but_automatic_upgrades: bool,
    pub acquire_by_hash: bool,
    /// Sorted by path.
    pub files: Vec<IndexFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Below the directory of the Release file.
    pub path: String,
    pub size: u64,
    pub md5: String,
    pub sha256: String,
}

impl std::fmt::Display for Release {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
