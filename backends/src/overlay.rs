//! The root mount of a session.
mod check;

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;
use rustix::fs::statfs;

pub(crate) use check::check;

/// Covers a whole tree with an overlay over `nothing`, where its file system allows one.
///
/// For `volatile` only: else dpkg waits for the disk hundreds of times.
pub(crate) fn volatile(tree: &Path, nothing: &Path, scratch: &Path) -> Option<Mount> {
    // ext4, XFS, btrfs, tmpfs and F2FS take an upper directory (statfs(2)).
    let takes_upper = matches!(
        statfs(tree).ok()?.f_type.cast_unsigned(),
        0xef53 | 0x5846_5342 | 0x9123_683e | 0x0102_1994 | 0xf2f5_2010
    );
    takes_upper.then(|| overlay(&[nothing.to_owned()], tree, scratch))
}

/// The root mount of a session: changes to `lowers`, topmost first, go to `upper`.
///
/// `scratch` gets a work directory for each mount: with `volatile` the kernel takes none twice.
pub(crate) fn overlay(lowers: &[PathBuf], upper: &Path, scratch: &Path) -> Mount {
    let mut work = scratch.join("work");
    while work.exists() {
        work.as_mut_os_string().push("+");
    }
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from("/"))
        .set_typ(Some("overlay".to_owned()))
        .set_source(Some(PathBuf::from("overlay")))
        .set_options(Some(options(lowers, upper, &work)));
    mount
}

/// Without `userxattr` a mount in a user namespace succeeds, but can't mark a directory as removed
/// or opaque. `volatile`: no process waits for the disk, what is kept is synced as a whole.
fn options(lowers: &[PathBuf], upper: &Path, work: &Path) -> Vec<String> {
    let lowers: Vec<_> = lowers.iter().map(|path| escaped(path)).collect();
    vec![
        "userxattr".to_owned(),
        "volatile".to_owned(),
        format!("lowerdir={}", lowers.join(":")),
        format!("upperdir={}", upper.display()),
        format!("workdir={}", work.display()),
    ]
}

/// A colon parts lower directories, unless there is a backslash before it.
fn escaped(path: &Path) -> String {
    path.display()
        .to_string()
        .replace('\\', "\\\\")
        .replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_layer_is_the_first_lower_directory() {
        let lowers = ["/c/layers/ab/upper", "/c/base/root"].map(PathBuf::from);
        let options = options(&lowers, Path::new("/s/1/layer/upper"), Path::new("/s/1/w"));

        assert_eq!(
            options,
            [
                "userxattr",
                "volatile",
                "lowerdir=/c/layers/ab/upper:/c/base/root",
                "upperdir=/s/1/layer/upper",
                "workdir=/s/1/w",
            ]
        );
    }

    #[test]
    fn a_colon_in_a_path_does_not_part_it() {
        assert_eq!(escaped(Path::new(r"/a:b\c")), r"/a\:b\\c");
    }

    #[test]
    fn a_work_directory_is_taken_once() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("work")).unwrap();
        let mount = overlay(&[], Path::new("/upper"), scratch.path());
        let options = mount.options().clone().unwrap();

        assert!(options.last().unwrap().ends_with("/work+"));
    }
}
