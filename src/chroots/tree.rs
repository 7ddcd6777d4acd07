//! Files for a session, as one tar stream: they come in through a descriptor, so that nobody inside needs to be able
//! to read anything of the host.
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::process::BUILD_ID;

/// Who owns a file inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Root,
    BuildUser,
}

impl Owner {
    fn id(self) -> u32 {
        match self {
            Owner::Root => 0,
            Owner::BuildUser => BUILD_ID,
        }
    }
}

#[derive(Debug)]
enum Content {
    Directory,
    Text(Vec<u8>),
    /// Content of a file of the host.
    File(PathBuf),
}

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    owner: Owner,
    mode: u32,
    content: Content,
}

/// What is to be unpacked at the session's root; paths are absolute as seen inside.
#[derive(Debug, Default)]
pub struct Tree {
    entries: Vec<Entry>,
}

impl Tree {
    pub fn directory(&mut self, path: &str, owner: Owner) -> &mut Tree {
        self.add(path, owner, 0o755, Content::Directory)
    }

    pub fn text(&mut self, path: &str, text: impl Into<Vec<u8>>) -> &mut Tree {
        self.add(path, Owner::Root, 0o644, Content::Text(text.into()))
    }

    pub fn program(&mut self, path: &str, text: impl Into<Vec<u8>>) -> &mut Tree {
        self.add(path, Owner::Root, 0o755, Content::Text(text.into()))
    }

    /// What root alone may read; none where there is nothing to keep.
    pub fn secret(&mut self, path: &str, text: impl Into<Vec<u8>>) -> &mut Tree {
        let text = text.into();
        if text.is_empty() {
            return self;
        }
        self.add(path, Owner::Root, 0o600, Content::Text(text))
    }

    pub fn file(&mut self, path: &str, owner: Owner, source: &Path) -> &mut Tree {
        self.add(path, owner, 0o644, Content::File(source.to_owned()))
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn add(&mut self, path: &str, owner: Owner, mode: u32, content: Content) -> &mut Tree {
        self.entries.push(Entry {
            path: PathBuf::from(path.trim_start_matches('/')),
            owner,
            mode,
            content,
        });
        self
    }

    pub(super) fn write(&self, to: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(to);
        for entry in &self.entries {
            let mut header = Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_uid(entry.owner.id().into());
            header.set_gid(entry.owner.id().into());
            header.set_mtime(0);
            match &entry.content {
                Content::Directory => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_size(0);
                    archive.append_data(&mut header, &entry.path, io::empty())?;
                }
                Content::Text(text) => {
                    header.set_size(text.len() as u64);
                    archive.append_data(&mut header, &entry.path, text.as_slice())?;
                }
                Content::File(source) => {
                    let file = File::open(source)?;
                    let metadata = file.metadata()?;
                    let modified = metadata.modified()?.duration_since(std::time::UNIX_EPOCH);
                    header.set_mtime(modified.map_or(0, |time| time.as_secs()));
                    header.set_size(metadata.len());
                    archive.append_data(&mut header, &entry.path, file)?;
                }
            }
        }
        archive.into_inner()?.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_relative_and_carry_their_owner() {
        let mut tree = Tree::default();
        tree.directory("/build", Owner::BuildUser)
            .text("/etc/hosts", "127.0.0.1 localhost\n");
        let mut stream = Vec::new();
        tree.write(&mut stream).unwrap();

        let mut archive = tar::Archive::new(stream.as_slice());
        let entries: Vec<(String, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().to_string_lossy().into_owned();
                (path, entry.header().uid().unwrap())
            })
            .collect();
        assert_eq!(
            entries,
            [("build".to_owned(), 1000), ("etc/hosts".to_owned(), 0)]
        );
    }
}
