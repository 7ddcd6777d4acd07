//! Small source packages and builds of them, as files in memory.
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use mini_buildd::deb::Checksums;
use mini_buildd::pgp::SigningKey;

pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// An upload before it is signed.
#[derive(Clone)]
pub(crate) struct Upload {
    /// Name of the .changes.
    pub(crate) name: String,
    pub(crate) changes: String,
    /// All files but the .changes.
    pub(crate) files: Files,
}

impl Upload {
    /// A native source package that builds for any architecture.
    pub(crate) fn new(source: &str, version: &str, distribution: &str) -> Upload {
        Upload::with_dsc(source, version, distribution, |dsc| dsc)
    }

    /// As [`Upload::new`], with another .dsc, whose sums are right.
    pub(crate) fn with_dsc(
        source: &str,
        version: &str,
        distribution: &str,
        change: impl FnOnce(String) -> String,
    ) -> Upload {
        let base = format!("{source}_{version}");
        let tar = (
            format!("{base}.tar.xz"),
            format!("{base} tree").into_bytes(),
        );
        let dsc = change(dsc(source, version, &tar));
        Upload::of(
            source,
            version,
            distribution,
            vec![(format!("{base}.dsc"), dsc.into_bytes()), tar],
        )
    }

    pub(crate) fn of(source: &str, version: &str, distribution: &str, files: Files) -> Upload {
        let changes = format!(
            "Format: 1.8\nDate: Sun, 22 Nov 2026 05:45:00 +0000\nSource: {source}\nBinary: {source}\n\
             Architecture: source\nVersion: {version}\nDistribution: {distribution}\nUrgency: medium\n\
             Maintainer: Upl <upl@buildd.test>\nChanged-By: Upl <upl@buildd.test>\nDescription:\n {source} - test\n\
             Changes:\n {source} ({version}) {distribution}; urgency=medium\n .\n   * Test.\n{}",
            lists(&files, "misc optional ")
        );
        Upload {
            name: format!("{source}_{version}_source.changes"),
            changes,
            files,
        }
    }

    pub(crate) fn unsigned(&self) -> Files {
        self.with_changes(self.changes.clone())
    }

    pub(crate) fn signed(&self, key: &SigningKey) -> Files {
        self.with_changes(key.clearsign(&self.changes).unwrap())
    }

    /// All files, the given .changes last.
    pub(crate) fn with_changes(&self, changes: String) -> Files {
        let mut files = self.files.clone();
        files.push((self.name.clone(), changes.into_bytes()));
        files
    }
}

fn dsc(source: &str, version: &str, tar: &(String, Vec<u8>)) -> String {
    format!(
        "Format: 3.0 (native)\nSource: {source}\nBinary: {source}\nArchitecture: any\nVersion: {version}\n\
         Maintainer: Upl <upl@buildd.test>\nStandards-Version: 4.7.0\nBuild-Depends: debhelper-compat (= 13)\n\
         Package-List:\n {source} deb misc optional arch=any\n{}",
        lists(std::slice::from_ref(tar), "")
    )
}

/// Files, Checksums-Sha1 and Checksums-Sha256; `between` stands between size and name in Files.
pub(crate) fn lists(files: &[(String, Vec<u8>)], between: &str) -> String {
    let (mut md5, mut sha1, mut sha256) = (String::new(), String::new(), String::new());
    for (name, content) in files {
        let sums = Checksums::of(&mut content.as_slice()).unwrap();
        let size = sums.size;
        writeln!(md5, " {} {size} {between}{name}", sums.md5).unwrap();
        writeln!(sha1, " {} {size} {name}", sums.sha1).unwrap();
        writeln!(sha256, " {} {size} {name}", sums.sha256).unwrap();
    }
    format!("Checksums-Sha1:\n{sha1}Checksums-Sha256:\n{sha256}Files:\n{md5}")
}

/// A binary package, made by dpkg-deb.
pub(crate) fn deb(
    scratch: &Path,
    name: &str,
    version: &str,
    architecture: &str,
    source: &str,
) -> Vec<u8> {
    let tree = scratch.join(format!("{name}-tree"));
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    let control = format!(
        "Package: {name}\nSource: {source}\nVersion: {version}\nArchitecture: {architecture}\n\
         Maintainer: Upl <upl@buildd.test>\nDescription: test\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let deb = scratch.join(format!("{name}.deb"));
    let made = Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .args([&tree, &deb])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    fs::read(deb).unwrap()
}
