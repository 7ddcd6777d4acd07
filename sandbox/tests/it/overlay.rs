use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use oci_spec::runtime::{Mount, MountBuilder};

use crate::root::{Root, output};

fn overlay(lower: &str, upper: &Path, options: &[&str]) -> Mount {
    let mut options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    options.push(format!("lowerdir={lower}"));
    options.push(format!("upperdir={}", upper.join("upper").display()));
    options.push(format!("workdir={}", upper.join("work").display()));
    MountBuilder::default()
        .destination("/")
        .typ("overlay")
        .source("overlay")
        .options(options)
        .build()
        .unwrap()
}

#[test]
fn changes_go_to_the_upper_directory_which_is_made() {
    let root = Root::new();
    let upper = root.shared("session");
    let mount = overlay(
        root.path().to_str().unwrap(),
        &upper,
        &["userxattr", "volatile"],
    );
    let session = root.launcher.begin(&root.spec_on(vec![mount])).unwrap();
    output(&session, "echo new >/work/file");
    session.end().unwrap();
    assert_eq!(
        fs::read_to_string(upper.join("upper/work/file")).unwrap(),
        "new\n"
    );
    assert!(!root.path().join("work/file").exists());
    let owner = fs::metadata(upper.join("upper")).unwrap().uid();
    assert_eq!(owner, root.launcher.ids.uids[0].outside);
}

#[test]
fn lower_directories_are_removed_and_made_again() {
    let root = Root::new();
    root.storage("mkdir -p root/work/old/below; touch root/work/old/file");
    let upper = root.shared("session");
    let mount = overlay(root.path().to_str().unwrap(), &upper, &["userxattr"]);
    let session = root.launcher.begin(&root.spec_on(vec![mount])).unwrap();
    let text = output(&session, "cd /work && rm -r old && mkdir old && ls -A old");
    assert_eq!(text, "");
}

#[test]
fn layers_are_stacked_topmost_first_and_paths_hold_colons() {
    let root = Root::new();
    root.storage(
        "mkdir a:b 'c\\d'; chmod 755 a:b 'c\\d'; echo low >root/name; echo high >a:b/name; echo x >'c\\d/x'",
    );
    let base = root.path();
    let base = base.parent().unwrap().to_str().unwrap();
    let upper = root.shared("up:per~1");
    let lower = format!(r"{base}/a\:b:{base}/c\\d:{base}/root");
    let mount = overlay(&lower, &upper, &["userxattr"]);
    let session = root.launcher.begin(&root.spec_on(vec![mount])).unwrap();
    assert_eq!(output(&session, "cat /name /x"), "high\nx\n");
}

#[test]
fn directories_are_free_when_the_session_has_ended() {
    let root = Root::new();
    let upper = root.shared("session");
    let mount = overlay(root.path().to_str().unwrap(), &upper, &["userxattr"]);
    for number in ["1", "11", "111"] {
        let spec = root.spec_on(vec![mount.clone()]);
        let session = root.launcher.begin(&spec).unwrap();
        assert_eq!(
            output(&session, "printf 1 >>/work/file; cat /work/file"),
            number
        );
        session.end().unwrap();
    }
}

#[test]
fn directory_of_the_caller_alone_is_no_obstacle() {
    let root = Root::new();
    let private = root.shared("private");
    let upper = private.join("session");
    fs::create_dir(&upper).unwrap();
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    let mount = overlay(root.path().to_str().unwrap(), &upper, &["userxattr"]);
    let session = root.launcher.begin(&root.spec_on(vec![mount])).unwrap();
    output(&session, "echo x >/work/file");
}
