//! Packages made by dpkg-deb and dpkg-source, for tests.
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Where the packages of a test lie.
pub(crate) struct Samples {
    pub(crate) directory: PathBuf,
}

/// What the control file of a binary says.
pub(crate) struct Binary<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) architecture: &'a str,
    /// Value of the field Source.
    pub(crate) source: &'a str,
    pub(crate) section: &'a str,
}

impl Samples {
    pub(crate) fn new(directory: PathBuf) -> Samples {
        fs::create_dir_all(&directory).unwrap();
        Samples { directory }
    }

    /// A native source package with one binary of `section`; returns its .dsc.
    pub(crate) fn source(&self, name: &str, version: &str, section: &str) -> PathBuf {
        let tree = self.directory.join(format!("{name}-tree"));
        fs::create_dir_all(tree.join("debian/source")).unwrap();
        let write = |path: &str, text: String| fs::write(tree.join(path), text).unwrap();
        write("debian/source/format", "3.0 (native)\n".into());
        write(
            "debian/control",
            format!(
                "Source: {name}\nSection: {section}\nPriority: optional\nMaintainer: Test <test@example.org>\n\
                 Standards-Version: 4.6.2\n\nPackage: {name}\nArchitecture: any\nDescription: sample\n"
            ),
        );
        write(
            "debian/changelog",
            format!(
                "{name} ({version}) unstable; urgency=low\n\n  * Sample.\n\n \
                 -- Test <test@example.org>  Thu, 01 Jan 2026 00:00:00 +0000\n"
            ),
        );
        run(Command::new("dpkg-source")
            .args(["-Zgzip", "--build"])
            .arg(&tree)
            .current_dir(&self.directory));
        fs::remove_dir_all(&tree).unwrap();
        let file_version = version.split_once(':').map_or(version, |(_, rest)| rest);
        self.directory.join(format!("{name}_{file_version}.dsc"))
    }

    /// Returns its .deb, or, in section debian-installer, its .udeb.
    pub(crate) fn binary(&self, binary: &Binary<'_>) -> PathBuf {
        self.binary_with(
            binary,
            "Priority: optional\nDescription: sample\n of a package\n",
        )
    }

    /// As [`Samples::binary`], with these fields after the usual ones.
    pub(crate) fn binary_with(&self, binary: &Binary<'_>, fields: &str) -> PathBuf {
        let Binary {
            name,
            version,
            architecture,
            source,
            section,
        } = binary;
        let tree = self.directory.join(format!("{name}-tree"));
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("usr/share/sample")).unwrap();
        fs::write(tree.join("usr/share/sample").join(name), version).unwrap();
        fs::write(
            tree.join("DEBIAN/control"),
            format!(
                "Package: {name}\nSource: {source}\nVersion: {version}\nArchitecture: {architecture}\n\
                 Maintainer: Test <test@example.org>\nSection: {section}\n{fields}"
            ),
        )
        .unwrap();
        let kind = if section.ends_with("debian-installer") {
            "udeb"
        } else {
            "deb"
        };
        let file_version = version.split_once(':').map_or(*version, |(_, rest)| rest);
        let file = self
            .directory
            .join(format!("{name}_{file_version}_{architecture}.{kind}"));
        run(Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zgzip", "--build"])
            .arg(&tree)
            .arg(&file));
        fs::remove_dir_all(&tree).unwrap();
        file
    }
}

/// Runs a command that must succeed; returns what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
