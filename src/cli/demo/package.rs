//! The demo's own source package: a C program of a few lines, native format, made without any Debian tool.
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::deb::{Checksums, Version};
use crate::model::Diststr;
use crate::pgp::{self, SigningKey};

pub(super) const SOURCE: &str = "mini-buildd-demo";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("can't write the demo's source package to {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("can't sign the demo's source package")]
    Sign(#[from] pgp::Error),
}

/// Who uploads.
pub(super) struct Author<'a> {
    pub(super) name: &'a str,
    pub(super) key: &'a SigningKey,
}

/// Writes the .tar.xz, the signed .dsc and the signed .changes; returns them, the .changes last.
pub(super) fn write(
    directory: &Path,
    version: &Version,
    diststr: &Diststr,
    author: &Author<'_>,
    now: Timestamp,
) -> Result<Vec<PathBuf>, Error> {
    let base = format!("{SOURCE}_{}", version.without_epoch());
    let date = rfc2822::to_string(&now.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default();
    let tree = Tree {
        version,
        diststr,
        maintainer: author.name,
        date: &date,
    };

    let tarball = directory.join(format!("{base}.tar.xz"));
    write_file(
        &tarball,
        &tree.tar_xz(now).map_err(|source| Error::Write {
            path: tarball.clone(),
            source,
        })?,
    )?;

    let dsc = directory.join(format!("{base}.dsc"));
    let text = tree.dsc(&listed(&tarball)?);
    write_file(&dsc, author.key.clearsign(&text)?.as_bytes())?;

    let changes = directory.join(format!("{base}_source.changes"));
    let text = tree.changes(&[listed(&dsc)?, listed(&tarball)?]);
    write_file(&changes, author.key.clearsign(&text)?.as_bytes())?;
    Ok(vec![tarball, dsc, changes])
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), Error> {
    fs::write(path, content).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

fn listed(path: &Path) -> Result<(String, Checksums), Error> {
    let error = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let checksums = Checksums::of(&mut fs::File::open(path).map_err(error)?).map_err(error)?;
    Ok((
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        checksums,
    ))
}

struct Tree<'a> {
    version: &'a Version,
    diststr: &'a Diststr,
    maintainer: &'a str,
    date: &'a str,
}

impl Tree<'_> {
    fn files(&self) -> Vec<(&'static str, u32, String)> {
        let Tree {
            version,
            diststr,
            maintainer,
            date,
        } = self;
        vec![
            (
                "hello.c",
                0o644,
                PROGRAM.replace("VERSION", version.as_str()),
            ),
            ("debian/source/format", 0o644, "3.0 (native)\n".into()),
            ("debian/rules", 0o755, RULES.into()),
            (
                "debian/mini-buildd-demo.install",
                0o644,
                "mini-buildd-demo usr/bin\n".into(),
            ),
            (
                "debian/control",
                0o644,
                CONTROL.replace("MAINTAINER", maintainer),
            ),
            ("debian/copyright", 0o644, COPYRIGHT.into()),
            (
                "debian/changelog",
                0o644,
                format!(
                    "{SOURCE} ({version}) {diststr}; urgency=medium\n\n  * Show the whole way.\n\n \
                     -- {maintainer}  {date}\n"
                ),
            ),
        ]
    }

    fn tar_xz(&self, now: Timestamp) -> io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(liblzma::write::XzEncoder::new(Vec::new(), 6));
        for (name, mode, content) in self.files() {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(mode);
            header.set_mtime(u64::try_from(now.as_second()).unwrap_or(0));
            header.set_entry_type(tar::EntryType::Regular);
            tar.append_data(&mut header, format!("{SOURCE}/{name}"), content.as_bytes())?;
        }
        let mut xz = tar.into_inner()?;
        xz.flush()?;
        xz.finish()
    }

    fn dsc(&self, tarball: &(String, Checksums)) -> String {
        let (name, sums) = tarball;
        format!(
            "Format: 3.0 (native)\nSource: {SOURCE}\nBinary: {SOURCE}\nArchitecture: any\nVersion: {}\n\
             Maintainer: {}\nStandards-Version: 4.7.0\nBuild-Depends: debhelper-compat (= 13)\n\
             Package-List:\n {SOURCE} deb misc optional arch=any\n\
             Checksums-Sha1:\n {} {} {name}\nChecksums-Sha256:\n {} {} {name}\nFiles:\n {} {} {name}\n",
            self.version,
            self.maintainer,
            sums.sha1,
            sums.size,
            sums.sha256,
            sums.size,
            sums.md5,
            sums.size
        )
    }

    fn changes(&self, files: &[(String, Checksums)]) -> String {
        let lines = |of: &dyn Fn(&Checksums) -> String| -> String {
            files
                .iter()
                .map(|(name, sums)| format!(" {} {name}\n", of(sums)))
                .collect::<Vec<_>>()
                .concat()
        };
        format!(
            "Format: 1.8\nDate: {}\nSource: {SOURCE}\nArchitecture: source\nVersion: {}\nDistribution: {}\n\
             Urgency: medium\nMaintainer: {maintainer}\nChanged-By: {maintainer}\n\
             Changes:\n {SOURCE} ({}) {}; urgency=medium\n .\n   * Show the whole way.\n\
             Checksums-Sha1:\n{}Checksums-Sha256:\n{}Files:\n{}",
            self.date,
            self.version,
            self.diststr,
            self.version,
            self.diststr,
            lines(&|sums| format!("{} {}", sums.sha1, sums.size)),
            lines(&|sums| format!("{} {}", sums.sha256, sums.size)),
            lines(&|sums| format!("{} {} misc optional", sums.md5, sums.size)),
            maintainer = self.maintainer,
        )
    }
}

const PROGRAM: &str = "#include <stdio.h>

int main(void)
{
\tputs(\"mini-buildd-demo VERSION: built in a sandbox, installed by apt\");
\treturn 0;
}
";

const RULES: &str = "#!/usr/bin/make -f
%:
\tdh $@

override_dh_auto_build:
\t$(CC) $(shell dpkg-buildflags --get CPPFLAGS) $(shell dpkg-buildflags --get CFLAGS) \
$(shell dpkg-buildflags --get LDFLAGS) -o mini-buildd-demo hello.c
";

const CONTROL: &str = "Source: mini-buildd-demo
Section: misc
Priority: optional
Maintainer: MAINTAINER
Build-Depends: debhelper-compat (= 13)
Standards-Version: 4.7.0
Rules-Requires-Root: no

Package: mini-buildd-demo
Architecture: any
Depends: ${shlibs:Depends}, ${misc:Depends}
Description: says that it went the whole way
 The demo of mini-buildd uploads, builds, publishes and installs this package.
";

const COPYRIGHT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: mini-buildd-demo

Files: *
Copyright: the mini-buildd authors
License: GPL-3.0-or-later
 On Debian systems the text of the licence is in /usr/share/common-licenses/GPL-3.
";
