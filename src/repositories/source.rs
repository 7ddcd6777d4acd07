//! Files of a source package, wherever it is or was.
use std::path::{Path, PathBuf};

use crate::deb::{Dsc, FileName, PackageName, Version};
use crate::model::repository::Identity;
use crate::{message, pgp};

use super::{Error, Repositories};

/// Larger ones are no .dsc.
const LIMIT: u64 = 8 << 20;

impl Repositories {
    /// Paths of the files of a source package that is in the pool of a repository, its .dsc first.
    pub fn source_files(
        &self,
        repository: &Identity,
        source: &PackageName,
        version: &Version,
    ) -> Result<Vec<PathBuf>, Error> {
        let archive = self.archive(repository);
        let name = format!("{source}_{}.dsc", version.without_epoch());
        let missing = |name: &str| Error::NoFile {
            name: name.to_owned(),
            repository: repository.clone(),
        };
        let find = |name: &FileName| {
            let found = self.store.read(|tx| archive.pool_file(tx, source, name))?;
            let found = found.ok_or_else(|| missing(name.as_str()))?;
            Ok::<_, Error>(archive.directory().join(found.path))
        };
        let dsc_name: FileName = name.parse().map_err(|_| missing(&name))?;
        let path = find(&dsc_name)?;
        let dsc = dsc(&path)?;
        let mut files = vec![path];
        for listed in &dsc.files {
            files.push(find(&listed.name)?);
        }
        Ok(files)
    }
}

fn dsc(path: &Path) -> Result<Dsc, Error> {
    let content = message::read_text(path, LIMIT).map_err(|error| Error::File {
        file: path.to_owned(),
        fault: crate::cause::with_causes(&error),
    })?;
    pgp::unauthenticated_text(&content)?
        .parse()
        .map_err(|source| Error::Malformed {
            file: path.to_owned(),
            source,
        })
}
