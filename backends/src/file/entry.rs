//! What packing and unpacking have in common: names, extended attributes, faults.
use std::io;
use std::path::{Component, Path, PathBuf};

/// As GNU tar, star and bsdtar name extended attributes in pax headers.
pub(super) const XATTR: &str = "SCHILY.xattr.";

/// Most entries that an archive may have.
pub(super) const MOST_ENTRIES: usize = 20_000_000;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("can't {action} {path}", path = path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("can't read or write the archive")]
    Archive(#[from] io::Error),
    #[error("entry {path:?} is refused: {why}")]
    Refused { path: PathBuf, why: &'static str },
}

impl Fault {
    pub(super) fn file<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Fault {
        move |source| Fault::File {
            action,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

/// Tells whether an extended attribute belongs to a file itself.
///
/// overlayfs' own tell what was below when the tree was an upper directory.
pub(super) fn is_kept(name: &str) -> bool {
    let own = name.starts_with("user.") && !name.starts_with("user.overlay.");
    own || name == "security.capability" || name.starts_with("system.posix_acl_")
}

/// The name of an entry, without what leads elsewhere; empty for the root itself.
pub(super) fn inside(path: &Path) -> Result<PathBuf, Fault> {
    let refused = |why| Fault::Refused {
        path: path.to_owned(),
        why,
    };
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err(refused("it has ..")),
            Component::RootDir | Component::Prefix(_) => return Err(refused("it is absolute")),
        }
    }
    Ok(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_are_refused() {
        assert_eq!(
            inside("./usr/bin/sh".as_ref()).unwrap(),
            Path::new("usr/bin/sh")
        );
        assert_eq!(inside("./".as_ref()).unwrap(), Path::new(""));
        for path in ["/etc/passwd", "../x", "usr/../../x"] {
            assert!(inside(path.as_ref()).is_err(), "{path}");
        }
    }

    #[test]
    fn capabilities_are_kept_and_marks_of_overlayfs_are_not() {
        assert!(is_kept("security.capability"));
        assert!(is_kept("user.mime_type"));
        assert!(!is_kept("user.overlay.opaque"));
        assert!(!is_kept("security.selinux"));
    }
}
