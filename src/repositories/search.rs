//! Where else a lost content is: other pools, uploads, build results.
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::archive::Copy;
use crate::deb::Checksums;

use super::Repositories;

impl Repositories {
    /// Looks for contents in all pools, in what was uploaded and built, and in more directories; by SHA-256.
    pub fn search(&self, wanted: &[Checksums], more: &[PathBuf]) -> HashMap<String, Copy> {
        let mut search = Search {
            wanted,
            found: HashMap::new(),
        };
        let home = &self.home;
        let ours = [home.repositories(), home.events(), home.builds()];
        for directory in ours.iter().chain(more) {
            search.walk(directory);
        }
        search.found
    }
}

struct Search<'a> {
    wanted: &'a [Checksums],
    found: HashMap<String, Copy>,
}

impl Search<'_> {
    /// What can't be read holds nothing.
    fn walk(&mut self, directory: &Path) {
        let mut open = vec![directory.to_owned()];
        while let Some(directory) = open.pop() {
            if self.found.len() == self.wanted.len() {
                return;
            }
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => open.push(path),
                    Ok(kind) if kind.is_file() => {
                        // What is no tar is read as far as it looks like one.
                        let _ = self.file(&path);
                    }
                    _ => {}
                }
            }
        }
    }

    fn file(&mut self, path: &Path) -> io::Result<()> {
        let size = fs::symlink_metadata(path)?.len();
        if self.is_wanted(size) {
            let sums = Checksums::of(&mut File::open(path)?)?;
            self.take(&sums, path, 0);
        }
        // What a builder sent is packed flat, uncompressed.
        if path.extension().is_some_and(|extension| extension == "tar") {
            let mut tar = tar::Archive::new(File::open(path)?);
            for entry in tar.entries_with_seek()? {
                let mut entry = entry?;
                if entry.header().entry_type().is_file() && self.is_wanted(entry.size()) {
                    let offset = entry.raw_file_position();
                    let sums = Checksums::of(&mut entry)?;
                    self.take(&sums, path, offset);
                }
            }
        }
        Ok(())
    }

    fn is_wanted(&self, size: u64) -> bool {
        self.wanted
            .iter()
            .any(|sums| sums.size == size && !self.found.contains_key(&sums.sha256))
    }

    fn take(&mut self, sums: &Checksums, path: &Path, offset: u64) {
        if self.wanted.contains(sums) {
            let path = path.to_owned();
            let copy = Copy { path, offset };
            self.found.entry(sums.sha256.clone()).or_insert(copy);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::home::Home;
    use crate::message::tarball::{self, Content, Member};
    use crate::store::Store;

    fn sums(content: &str) -> Checksums {
        Checksums::of(&mut content.as_bytes()).unwrap()
    }

    #[test]
    fn contents_are_found_in_pools_uploads_build_results_and_named_directories() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path().join("home"));
        home.create().unwrap();
        let store = Arc::new(Store::open(&home.database()).unwrap());
        let write = |path: PathBuf, content: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write(
            home.repositories().join("other/pool/main/a/a/a.deb"),
            "pooled",
        );
        write(home.events().join("a/1/x/source/a.dsc"), "uploaded");
        write(directory.path().join("usb/b.deb"), "elsewhere");
        write(directory.path().join("usb/c.deb"), "same size");
        let result = home.builds().join("a.tar");
        let member = |name: &str, text: &str| Member {
            name: name.into(),
            content: Content::Text(text.into()),
        };
        tarball::pack(&result, &[member("log", "long"), member("a.deb", "built")]).unwrap();

        let wanted = ["pooled", "uploaded", "elsewhere", "built", "nowhere"].map(sums);
        let more = [directory.path().join("usb")];
        let found = Repositories::new(home, store).search(&wanted, &more);
        assert_eq!(found.len(), 4);
        for content in ["pooled", "uploaded", "elsewhere", "built"] {
            let copy = &found[&sums(content).sha256];
            let bytes = fs::read(&copy.path).unwrap();
            let offset = usize::try_from(copy.offset).unwrap();
            assert!(bytes[offset..].starts_with(content.as_bytes()), "{content}");
        }
    }
}
