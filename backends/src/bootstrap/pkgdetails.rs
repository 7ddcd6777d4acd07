//! debootstrap's questions about packages, answered by this program.
//!
//! debootstrap reads the archive's Packages file a dozen times, by perl where it finds that and else by a program
//! `pkgdetails`, which Debian's installer brings along; the arguments and answers are those of `pkgdetails_perl` in its
//! `functions`. A quarter of the processors' time of a bootstrap was perl's.
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::exit;

use memchr::memmem;

/// First argument of the program.
const NAME: &str = "pkgdetails";
/// Read at once, in bytes.
const PIECE: u64 = 256 << 10;
/// Between stanzas.
const END: &[u8] = b"\n\n";

/// Carries the command out when `arguments` (without the program name) begin with its name.
pub(crate) fn main(arguments: &[OsString]) {
    let [name, arguments @ ..] = arguments else {
        return;
    };
    if name != NAME {
        return;
    }
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|word| word.to_str().unwrap_or_default())
        .collect();
    let checksum = std::env::var("DEBOOTSTRAP_CHECKSUM_FIELD").unwrap_or_default();
    match answer(&arguments, &checksum, &mut io::stdout().lock()) {
        Ok(()) => exit(0),
        Err(error) => {
            // Nobody is left to be told that standard error can't be written.
            let _ = writeln!(io::stderr(), "{NAME} {}: {error}", arguments.join(" "));
            exit(1)
        }
    }
}

fn answer(arguments: &[&str], checksum: &str, output: &mut impl Write) -> io::Result<()> {
    match arguments {
        ["PKGS", mirror, packages, names @ ..] => {
            let mut found: BTreeMap<&str, String> = BTreeMap::new();
            each_stanza(packages, |stanza| {
                let package = stanza.field("Package:");
                if let Some(name) = names.iter().find(|name| **name == package) {
                    found.insert(name, stanza.details(mirror, checksum));
                }
                Ok(())
            })?;
            for details in found.values().collect::<BTreeSet<_>>() {
                writeln!(output, "{details}")?;
            }
            for name in names.iter().filter(|name| !found.contains_key(**name)) {
                writeln!(output, "{name} -")?;
            }
            Ok(())
        }
        ["FIELD", field, mirror, packages, values @ ..] => {
            // Of several versions in a row the last one counts.
            let mut last = (String::new(), None);
            each_stanza(packages, |stanza| {
                let package = stanza.field("Package:");
                let is_wanted = values.contains(&stanza.field(field));
                let details = is_wanted.then(|| stanza.details(mirror, checksum));
                let (earlier, wanted) = std::mem::replace(&mut last, (package.to_owned(), details));
                let wanted = wanted.filter(|_| earlier != package);
                wanted.map_or(Ok(()), |details| writeln!(output, "{details}"))
            })?;
            last.1
                .map_or(Ok(()), |details| writeln!(output, "{details}"))
        }
        ["GETDEPS", packages, names @ ..] => {
            let mut found = BTreeSet::new();
            each_stanza(packages, |stanza| {
                if names.contains(&stanza.field("Package:")) {
                    for field in ["Depends:", "Pre-Depends:"] {
                        let relations = stanza.field(field).split(',');
                        found.extend(relations.map(|one| first_alternative(one).to_owned()));
                    }
                }
                Ok(())
            })?;
            found.remove("");
            found.iter().try_for_each(|name| writeln!(output, "{name}"))
        }
        ["STANZAS", packages, names @ ..] => each_stanza(packages, |stanza| {
            if names.contains(&stanza.field("Package:")) {
                output.write_all(stanza.0.trim_ascii_end())?;
                output.write_all(END)?;
            }
            Ok(())
        }),
        // Percentages of a download, which only the installer asks for.
        ["WGET%", ..] => io::copy(&mut io::stdin(), &mut io::sink()).map(|_bytes| ()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Lines of one package.
struct Stanza<'a>(&'a [u8]);

/// The file is read piece by piece: it has tens of megabytes, and is read for each package anew.
fn each_stanza(
    packages: &str,
    mut visit: impl FnMut(&Stanza<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = File::open(packages)?;
    let mut text = Vec::new();
    loop {
        let length = (&mut file).take(PIECE).read_to_end(&mut text)?;
        let mut start = 0;
        for end in memmem::find_iter(&text, END) {
            visit(&Stanza(&text[start..=end]))?;
            start = end + END.len();
        }
        text.drain(..start);
        if length == 0 {
            let is_one = !text.trim_ascii().is_empty();
            return if is_one {
                visit(&Stanza(&text))
            } else {
                Ok(())
            };
        }
    }
}

impl<'a> Stanza<'a> {
    /// Value of a field of one line, empty where there is none; the name ends with a colon.
    fn field(&self, name: &str) -> &'a str {
        let lines = self.0.split(|byte| *byte == b'\n');
        let mut values = lines.filter_map(|line| {
            let (start, value) = line.split_at_checked(name.len())?;
            start.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        });
        let value = values.next().unwrap_or_default();
        str::from_utf8(value).unwrap_or_default().trim()
    }

    fn details(&self, mirror: &str, checksum: &str) -> String {
        [
            self.field("Package:"),
            self.field("Version:"),
            self.field("Architecture:"),
            mirror,
            self.field("Filename:"),
            self.field(&format!("{checksum}:")),
            self.field("Size:"),
        ]
        .join(" ")
    }
}

/// `libc6` of `libc6:any (>= 2.36) | libc6.1`
fn first_alternative(relation: &str) -> &str {
    let end = relation.find(['|', '(', ':']).unwrap_or(relation.len());
    relation[..end].trim()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const PACKAGES: &str = "Package: bash\nEssential: yes\nPriority: required\nVersion: 5.2-1\nArchitecture: amd64\n\
        Pre-Depends: libc6 (>= 2.36), libtinfo6 (>= 6)\nDepends: base-files (>= 2.1.12), debianutils (>= 5.6-0.1)\n\
        Filename: pool/main/b/bash/bash_5.2-1_amd64.deb\nSize: 7\nMD5sum: aa\nSHA256: bb\nDescription: a shell\n\n\
        Package: dash\nPriority: required\nVersion: 0.5-1\nArchitecture: amd64\nDepends: dpkg:any | none, debconf\n\
        Filename: pool/d/dash_0.5-1.deb\nSize: 8\nSHA256: cc\n\n\
        Package: dash\nPriority: optional\nVersion: 0.6-1\nArchitecture: amd64\n\
        Filename: pool/d/dash_0.6-1.deb\nSize: 9\nSHA256: dd\n\n\
        Package: perl\nPriority: standard\nVersion: 5\nArchitecture: all\n\
        Filename: pool/p/perl_5.deb\nSize: 10\nSHA256: ee\n\n";

    fn lines(text: Vec<u8>) -> Vec<String> {
        let mut lines: Vec<String> = String::from_utf8(text)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn answers_are_those_of_debootstraps_perl() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("Packages");
        std::fs::write(&path, PACKAGES).unwrap();
        let packages = path.to_str().unwrap();
        for question in [
            &[
                "PKGS", "http://m", packages, "perl", "dash", "bash", "nothing",
            ][..],
            &["PKGS", "http://m", packages, "none"],
            &["GETDEPS", packages, "bash", "dash"],
            &["STANZAS", packages, "dash", "perl"],
        ] {
            let mut ours = Vec::new();
            answer(question, "SHA256", &mut ours).unwrap();
            let theirs = Command::new("sh")
                .args([
                    "-c",
                    ". /usr/share/debootstrap/functions; pkgdetails_perl \"$@\"",
                    "sh",
                ])
                .args(question)
                .env("DEBOOTSTRAP_CHECKSUM_FIELD", "SHA256")
                .output()
                .unwrap();
            assert_eq!(lines(ours), lines(theirs.stdout), "{question:?}");
        }
        let mut ours = Vec::new();
        let question = [
            "FIELD",
            "Priority:",
            "http://m",
            packages,
            "required",
            "standard",
        ];
        answer(&question, "SHA256", &mut ours).unwrap();
        // Of its words, debootstrap reads the first.
        let names: Vec<String> = lines(ours)
            .iter()
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["bash", "perl"]);
        assert!(answer(&["PKGS"], "SHA256", &mut Vec::new()).is_err());
    }
}
