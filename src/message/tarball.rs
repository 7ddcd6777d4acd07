//! The tar beside a message: packed flat, uncompressed; unpacked by a loop that trusts nothing in it.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tar::{Archive, Builder, EntryType, Header};

use super::Error;
use crate::deb::FileName;

/// Files of a message's tar may stand in this directory.
pub const CONFIG: &str = ".config";

const MOST_MEMBERS: usize = 10_000;

/// What goes into a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Text(String),
    File(PathBuf),
}

/// Which names a tar may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// File names only.
    Flat,
    /// File names, and files in `.config/`.
    WithConfig,
}

/// Packs members in their order; the same members give the same bytes.
pub fn pack(tar: &Path, members: &[Member]) -> Result<(), Error> {
    let failed = |source| Error::Write {
        path: tar.into(),
        source,
    };
    // A leftover of an interrupted try may be read-only.
    remove_if_there(tar).map_err(failed)?;
    let mut builder = Builder::new(File::create(tar).map_err(failed)?);
    for member in members {
        append(&mut builder, member).map_err(failed)?;
    }
    let file = builder.into_inner().map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn append(builder: &mut Builder<File>, member: &Member) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    match &member.content {
        Content::Text(text) => {
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, &member.name, text.as_bytes())
        }
        Content::File(path) => {
            let file = File::open(path)?;
            header.set_size(file.metadata()?.len());
            builder.append_data(&mut header, &member.name, file)
        }
    }
}

/// Unpacks regular files with plain names into `directory`; returns their names.
///
/// An uncompressed tar without sparse files can't hold more than its own size, so the caller bounds that.
pub fn unpack(tar: &Path, directory: &Path, names: Names) -> Result<Vec<String>, Error> {
    let read = |source| Error::Read {
        path: tar.into(),
        source,
    };
    let mut archive = Archive::new(File::open(tar).map_err(read)?);
    let mut unpacked = Vec::new();
    for entry in archive.entries().map_err(read)? {
        let mut entry = entry.map_err(read)?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let fault = |fault: String| Error::Member {
            tar: tar.into(),
            member: name.clone(),
            fault,
        };
        if kind == EntryType::Directory && names == Names::WithConfig && is_config(&name) {
            continue;
        }
        if kind != EntryType::Regular {
            return Err(fault("not a regular file".into()));
        }
        check_name(&name, names).map_err(fault)?;
        if unpacked.contains(&name) {
            return Err(fault("there twice".into()));
        }
        if unpacked.len() == MOST_MEMBERS {
            return Err(fault(format!("more than {MOST_MEMBERS} files")));
        }
        let path = directory.join(&name);
        write_member(&mut entry, &path).map_err(|source| Error::Write { path, source })?;
        unpacked.push(name);
    }
    Ok(unpacked)
}

fn is_config(name: &str) -> bool {
    name.trim_end_matches('/') == CONFIG
}

fn check_name(name: &str, names: Names) -> Result<(), String> {
    let plain = match name.split_once('/') {
        Some((CONFIG, plain)) if names == Names::WithConfig => plain,
        Some(_) | None => name,
    };
    match FileName::from_str(plain) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn write_member(content: &mut dyn Read, path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    remove_if_there(path)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    io::copy(content, &mut file)?;
    file.flush()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(path: &Path, kind: EntryType, name: &str, link: Option<&str>) {
        let mut builder = Builder::new(File::create(path).unwrap());
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        // The name is written past the crate's own checks.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        if let Some(link) = link {
            header.set_link_name(link).unwrap();
        }
        header.set_cksum();
        builder.append(&header, io::empty()).unwrap();
        builder.finish().unwrap();
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let place = tempfile::tempdir().unwrap();
        let tar = place.path().join("a.tar");
        let members = [
            Member {
                name: ".config/apt_keys".into(),
                content: Content::Text("key".into()),
            },
            Member {
                name: "hello_1.dsc".into(),
                content: Content::Text("dsc".into()),
            },
        ];
        pack(&tar, &members).unwrap();
        let names = unpack(&tar, place.path(), Names::WithConfig).unwrap();
        assert_eq!(names, [".config/apt_keys", "hello_1.dsc"]);
        let key = fs::read_to_string(place.path().join(".config/apt_keys")).unwrap();
        assert_eq!(key, "key");
    }

    #[test]
    fn hostile_members_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let tar = place.path().join("a.tar");
        let cases = [
            (EntryType::Regular, "../up", None),
            (EntryType::Regular, "/etc/abs", None),
            (EntryType::Regular, ".hidden", None),
            (EntryType::Regular, ".config/../../up", None),
            (EntryType::Regular, "dir/file", None),
            (EntryType::Symlink, "link", Some("/etc/passwd")),
            (EntryType::Link, "link", Some("/etc/passwd")),
            (EntryType::Fifo, "fifo", None),
            (EntryType::Char, "null", None),
            (EntryType::Directory, "dir", None),
            (EntryType::GNUSparse, "sparse", None),
        ];
        for (kind, name, link) in cases {
            tar_of(&tar, kind, name, link);
            let into = tempfile::tempdir_in(place.path()).unwrap();
            let result = unpack(&tar, into.path(), Names::WithConfig);
            assert!(result.is_err(), "{kind:?} {name}");
            assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0, "{name}");
        }
    }

    #[test]
    fn results_hold_no_directory() {
        assert!(check_name(".config/apt_keys", Names::Flat).is_err());
        assert!(check_name("hello_1_amd64.deb", Names::Flat).is_ok());
    }
}
