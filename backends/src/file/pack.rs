//! From a tree to a tar stream, by our own loop: the `tar` crate would store hard links twice and leave
//! extended attributes out.
use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::entry::{Fault, XATTR, is_kept};

/// Most bytes of a name list or of a value (xattr(7), XATTR_SIZE_MAX).
const LARGEST_XATTR: usize = 64 << 10;

/// Writes the tree at `root`; nothing else may be at work in it.
///
/// Sockets are left out: nobody listens to them any more. Device nodes can't have been made.
pub(super) fn pack(root: &Path, to: &mut dyn Write) -> Result<(), Fault> {
    let mut packing = Packing {
        root,
        archive: Builder::new(to),
        linked: HashMap::new(),
        buffer: vec![0; LARGEST_XATTR],
    };
    // Sorted, so that equal trees make equal archives; the last is next.
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let full = root.join(&path);
        let metadata = fs::symlink_metadata(&full).map_err(Fault::file("look at", &full))?;
        packing.add(&path, &metadata)?;
        if metadata.is_dir() {
            let mut children = children(&full, &path)?;
            children.sort_unstable_by(|a, b| b.cmp(a));
            waiting.append(&mut children);
        }
    }
    packing.archive.into_inner()?;
    Ok(())
}

fn children(full: &Path, path: &Path) -> Result<Vec<PathBuf>, Fault> {
    let entries = fs::read_dir(full).map_err(Fault::file("list", full))?;
    let names = entries.map(|entry| entry.map(|entry| path.join(entry.file_name())));
    names
        .collect::<io::Result<_>>()
        .map_err(Fault::file("list", full))
}

struct Packing<'a> {
    root: &'a Path,
    archive: Builder<&'a mut dyn Write>,
    /// Where files with several names were packed, by device and inode number.
    linked: HashMap<(u64, u64), PathBuf>,
    buffer: Vec<u8>,
}

impl Packing<'_> {
    fn add(&mut self, path: &Path, metadata: &Metadata) -> Result<(), Fault> {
        let full = self.root.join(path);
        // What an entry is called: the root has no name of its own.
        let name = Path::new("./").join(path);
        let kind = metadata.file_type();
        if kind.is_socket() {
            return Ok(());
        }
        let mut header = Header::new_gnu();
        header.set_metadata(metadata);
        header.set_size(0);
        if metadata.nlink() > 1 && !kind.is_dir() {
            let file = (metadata.dev(), metadata.ino());
            if let Some(first) = self.linked.get(&file) {
                header.set_entry_type(EntryType::Link);
                let first = first.clone();
                return self.add_link(&mut header, &name, &first);
            }
            self.linked.insert(file, name.clone());
        }
        self.add_xattrs(&full)?;
        if kind.is_file() {
            let mut file = File::open(&full).map_err(Fault::file("open", &full))?;
            self.archive.append_file(&name, &mut file)?;
        } else if kind.is_symlink() {
            let to = fs::read_link(&full).map_err(Fault::file("read", &full))?;
            self.add_link(&mut header, &name, &to)?;
        } else {
            self.archive.append_data(&mut header, &name, io::empty())?;
        }
        Ok(())
    }

    /// Keeps the target as it is; the `tar` crate would make `/` of `//.`.
    fn add_link(&mut self, header: &mut Header, name: &Path, to: &Path) -> Result<(), Fault> {
        let to = to.as_os_str().as_bytes();
        if header.set_link_name_literal(to).is_err() {
            let mut long = Header::new_gnu();
            long.set_path("././@LongLink")?;
            long.set_entry_type(EntryType::GNULongLink);
            long.set_size(to.len() as u64 + 1);
            long.set_cksum();
            self.archive.append(&long, to.chain(&[0][..]))?;
        }
        Ok(self.archive.append_data(header, name, io::empty())?)
    }

    fn add_xattrs(&mut self, full: &Path) -> Result<(), Fault> {
        let failed = |errno: Errno| Fault::file("read the attributes of", full)(errno);
        let length = match llistxattr(full, &mut self.buffer[..]) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(()),
            Ok(length) => length,
            Err(errno) => return Err(failed(errno)),
        };
        let names = String::from_utf8_lossy(&self.buffer[..length]).into_owned();
        let mut attributes = Vec::new();
        for name in names.split_terminator('\0').filter(|name| is_kept(name)) {
            let length = lgetxattr(full, name, &mut self.buffer[..]).map_err(failed)?;
            attributes.push((format!("{XATTR}{name}"), self.buffer[..length].to_vec()));
        }
        if !attributes.is_empty() {
            let attributes = attributes.iter();
            let attributes = attributes.map(|(name, value)| (name.as_str(), value.as_slice()));
            self.archive.append_pax_extensions(attributes)?;
        }
        Ok(())
    }
}
