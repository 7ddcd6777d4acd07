//! Root file systems that try to lead mounts elsewhere.
use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::MountBuilder;
use sandbox::{Attempt, Error};

use crate::root::Root;

fn refused(root: &Root, spec: &oci_spec::runtime::Spec) -> Attempt {
    match root.launcher.begin(spec) {
        Err(Error::Refused { attempt, .. }) => attempt,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn mount_point_that_is_a_link_is_refused() {
    for directory in ["proc", "dev", "sys"] {
        let root = Root::new();
        let outside = root.shared("outside");
        root.storage(&format!(
            "rmdir root/{directory}; ln -s {} root/{directory}",
            outside.display()
        ));
        let point = Path::new("/").join(directory);
        assert_eq!(refused(&root, &root.spec()), Attempt::FindMountPoint(point));
    }
}

#[test]
fn mount_point_below_a_link_is_refused_and_nothing_made_behind_it() {
    for to in ["/OUTSIDE", "../outside", "/proc/self/cwd"] {
        let root = Root::new();
        let outside = root.shared("outside");
        let to = to.replace("/OUTSIDE", outside.to_str().unwrap());
        root.storage(&format!("rmdir root/etc; ln -s {to} root/etc"));
        let mut spec = root.spec();
        let bind = MountBuilder::default()
            .destination("/etc/made")
            .typ("bind")
            .source("/etc/hosts")
            .options(["bind".to_owned(), "ro".to_owned()])
            .build()
            .unwrap();
        spec.mounts_mut().as_mut().unwrap().push(bind);
        assert_eq!(
            refused(&root, &spec),
            Attempt::FindMountPoint(PathBuf::from("/etc/made"))
        );
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}

#[test]
fn masked_path_that_is_a_link_is_refused() {
    for to in ["/etc/hosts", "hidden", "/proc/self/exe"] {
        let root = Root::new();
        root.storage(&format!("touch root/hidden; ln -s {to} root/secret"));
        let mut spec = root.spec();
        let mut linux = spec.linux().clone().unwrap();
        linux.set_masked_paths(Some(vec!["/secret".to_owned()]));
        spec.set_linux(Some(linux));
        assert_eq!(
            refused(&root, &spec),
            Attempt::Mask(PathBuf::from("/secret"))
        );
    }
}

#[test]
fn root_that_is_missing_is_refused_with_its_name() {
    let root = Root::new();
    root.storage("mv root elsewhere");
    assert_eq!(
        refused(&root, &root.spec()),
        Attempt::OpenHostPath(root.path())
    );
}
