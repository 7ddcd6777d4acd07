//! A small source package of ours, by itself without build-dependencies: it is built in a second or two.
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::packager::run;

pub(crate) struct SmallSource<'a> {
    pub(crate) name: &'a str,
    /// Binary packages and their architectures; all of them hold the same program.
    pub(crate) packages: &'a [(&'a str, &'a str)],
    /// Shell line of the target `build`.
    pub(crate) build: &'a str,
    /// Shell line that runs when the packages are made.
    pub(crate) after: &'a str,
    /// Maintainer script of the binary packages.
    pub(crate) postinst: &'a str,
    /// Upstream version; without it the source is native.
    pub(crate) upstream: Option<&'a str>,
    /// Fields of the source and of the binary package, each ended by a newline.
    pub(crate) fields: (&'a str, &'a str),
    /// Bytes that don't compress, in source and binary package.
    pub(crate) ballast: usize,
}

impl Default for SmallSource<'_> {
    fn default() -> Self {
        SmallSource {
            name: "mbd-small",
            packages: &[],
            build: "true",
            after: "true",
            postinst: "",
            upstream: None,
            fields: ("", ""),
            ballast: 0,
        }
    }
}

impl SmallSource<'_> {
    /// Writes the tree, and beside it what upstream released.
    pub(crate) fn write(&self, directory: &Path) -> PathBuf {
        let SmallSource {
            name, build, after, ..
        } = self;
        let tree = directory.join(name);
        fs::create_dir_all(tree.join("debian/source")).unwrap();
        let put = |file: &str, text: String| fs::write(tree.join(file), text).unwrap();
        put("program", format!("#!/bin/sh\necho {name} works\n"));
        if self.ballast > 0 {
            run(Command::new("dd")
                .args([
                    "if=/dev/urandom",
                    "of=ballast",
                    "iflag=fullblock",
                    "count=1",
                ])
                .arg(format!("bs={}", self.ballast))
                .current_dir(&tree));
        }
        if let Some(version) = self.upstream {
            run(Command::new("tar")
                .args(["--create", "--xz", "--exclude=debian", "--file"])
                .arg(directory.join(format!("{name}_{version}.orig.tar.xz")))
                .arg(name)
                .current_dir(directory));
        }
        let format = if self.upstream.is_some() {
            "quilt"
        } else {
            "native"
        };
        put("debian/source/format", format!("3.0 ({format})\n"));
        let first = self
            .upstream
            .map_or("0".to_owned(), |version| format!("{version}-0"));
        put(
            "debian/changelog",
            format!(
                "{name} ({first}) unstable; urgency=medium\n\n  * Begin.\n\n \
                 -- Test Packager <packager@example.org>  Sun, 22 Nov 2026 05:46:20 +0000\n"
            ),
        );
        let only = [(*name, "all")];
        let packages = match self.packages {
            [] => &only,
            packages => packages,
        };
        let mut control = format!(
            "Source: {name}\nSection: misc\nPriority: optional\n\
             Maintainer: Test Packager <packager@example.org>\n\
             Standards-Version: 4.6.2\nRules-Requires-Root: no\n{}",
            self.fields.0
        );
        let mut rules = format!(
            "#!/usr/bin/make -f\nbinary: binary-arch binary-indep\nbinary-arch binary-indep:\n\t{after}\n\
             clean:\n\trm -rf debian/tmp debian/files\nbuild-arch build-indep: build\nbuild:\n\t{build}\n"
        );
        for (package, architecture) in packages {
            write!(
                control,
                "\nPackage: {package}\nArchitecture: {architecture}\n{}Description: test\n A test.\n",
                self.fields.1
            )
            .unwrap();
            let target = match *architecture {
                "all" => "binary-indep",
                _ => "binary-arch",
            };
            write!(
                rules,
                "{target}: {package}.deb\n{package}.deb: build\n\
                 \trm -rf debian/tmp\n\
                 \tinstall -D program debian/tmp/usr/bin/{package}\n\
                 \ttest ! -e ballast || install -D -m 644 ballast debian/tmp/usr/share/{package}/ballast\n\
                 \tmkdir -p debian/tmp/DEBIAN\n\
                 \ttest ! -e debian/postinst || install debian/postinst debian/tmp/DEBIAN\n\tdpkg-gencontrol -p{package}\n\
                 \tdpkg-deb --root-owner-group --build debian/tmp ..\n\
                 .PHONY: {package}.deb\n"
            )
            .unwrap();
        }
        rules += ".NOTPARALLEL:\n\
                  .PHONY: clean build build-arch build-indep binary binary-arch binary-indep\n";
        if !self.postinst.is_empty() {
            put("debian/postinst", format!("#!/bin/sh\n{}\n", self.postinst));
        }
        put("debian/control", control);
        put("debian/rules", rules);
        run(Command::new("chmod")
            .arg("755")
            .arg(tree.join("debian/rules")));
        tree
    }
}
