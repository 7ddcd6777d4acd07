//! Stanzas of Packages and Sources (repository format). Pure.
use std::fmt::Write as _;

use crate::deb::{BinaryPackage, Checksums, Component, Dsc, Error, FileName, Paragraph};

use super::digests::{self, Digests};

/// Fields that the archive sets; a package's own are dropped.
const OF_FILE: &[&str] = &[
    "Filename",
    "Size",
    "MD5sum",
    "SHA1",
    "SHA256",
    "SHA512",
    "Status",
    "Description-md5",
];

/// Stanza of a .deb that is in the pool as `path`; Description stays last, as apt-ftparchive and reprepro have it.
pub(super) fn packages(package: &BinaryPackage, path: &str, checksums: &Checksums) -> String {
    let mut stanza = Paragraph::default();
    stanza.set("Package", package.name.as_str());
    let is_description = |name: &str| name.eq_ignore_ascii_case("Description");
    let is_kept = |name: &str| !OF_FILE.iter().any(|ours| ours.eq_ignore_ascii_case(name));
    for (name, value) in package.paragraph.fields() {
        if is_kept(name) && !is_description(name) {
            stanza.set(name, value);
        }
    }
    stanza.set("Filename", path);
    stanza.set("Size", checksums.size.to_string());
    stanza.set("MD5sum", checksums.md5.as_str());
    stanza.set("SHA1", checksums.sha1.as_str());
    stanza.set("SHA256", checksums.sha256.as_str());
    if let Some(description) = package.paragraph.get("Description") {
        stanza.set("Description", description);
    }
    stanza.to_string()
}

/// Stanza of a Translation-en index, from the one of Packages; empty where there is no description.
pub(super) fn translation(stanza: &str) -> String {
    let package: Paragraph = stanza.parse().unwrap_or_default();
    let (Some(name), Some(description)) = (package.get("Package"), package.get("Description"))
    else {
        return String::new();
    };
    // The sum is of the value as it stands in the file, the end of its last line included.
    let value = format!("{}\n", description.replace('\n', "\n "));
    let sum = Digests::of(digests::Kind::Usual, value.as_bytes()).md5;
    let mut translation = Paragraph::default();
    translation.set("Package", name);
    translation.set("Description-md5", sum);
    translation.set("Description-en", description);
    translation.to_string()
}

/// Stanza of a .dsc whose files, itself first, are in the pool's `directory`.
pub(super) fn sources(dsc: &Dsc, directory: &str, files: &[(FileName, Checksums)]) -> String {
    let mut stanza = Paragraph::default();
    stanza.set("Package", dsc.source.as_str());
    for (name, value) in dsc.paragraph.fields() {
        if !name.eq_ignore_ascii_case("Source") && !name.eq_ignore_ascii_case("Package") {
            stanza.set(name, value);
        }
    }
    let (section, priority) = source_section(dsc);
    stanza.set("Priority", priority);
    stanza.set("Section", section);
    stanza.set("Directory", directory);
    for field in ["Files", "Checksums-Sha1", "Checksums-Sha256"] {
        stanza.remove(field);
    }
    stanza.set("Files", list(files, |checksums| &checksums.md5));
    stanza.set("Checksums-Sha1", list(files, |checksums| &checksums.sha1));
    stanza.set(
        "Checksums-Sha256",
        list(files, |checksums| &checksums.sha256),
    );
    stanza.to_string()
}

fn list(files: &[(FileName, Checksums)], digest: fn(&Checksums) -> &str) -> String {
    files
        .iter()
        .fold(String::new(), |mut list, (name, checksums)| {
            write!(list, "\n{} {} {name}", digest(checksums), checksums.size)
                .expect("a String takes everything");
            list
        })
}

/// Section and priority of a source: its own, else those of its first package outside of contrib and non-free, else
/// of its first one.
pub(super) fn source_section(dsc: &Dsc) -> (&str, &str) {
    let packages: Vec<(&str, &str)> = dsc
        .paragraph
        .get("Package-List")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            // NAME TYPE SECTION PRIORITY …
            let mut words = line.split_whitespace().skip(2);
            Some((words.next()?, words.next()?))
        })
        .collect();
    let (section, priority) = packages
        .iter()
        .find(|(section, _)| !section.contains('/'))
        .or(packages.first())
        .copied()
        .unwrap_or(("misc", "optional"));
    (
        dsc.paragraph.get("Section").unwrap_or(section),
        dsc.paragraph.get("Priority").unwrap_or(priority),
    )
}

/// `contrib/net` is in contrib, `net` in main.
pub(super) fn component(section: &str) -> Result<Component, Error> {
    // Contents indices have it in a line of words.
    if section.contains(char::is_whitespace) {
        return Err(Error::Field {
            field: "Section".into(),
            fault: format!("{section:?} is more than one word"),
        });
    }
    section
        .split_once('/')
        .map_or("main", |(component, _)| component)
        .parse()
        .map_err(|fault: Error| fault.in_field("Section"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(digit: char) -> Checksums {
        Checksums {
            size: 7,
            md5: digit.to_string().repeat(32),
            sha1: digit.to_string().repeat(40),
            sha256: digit.to_string().repeat(64),
        }
    }

    fn dsc(more: &str) -> Dsc {
        let md5 = "a".repeat(32);
        format!(
            "Format: 3.0 (native)\nSource: hello\nBinary: hello\nArchitecture: any\nVersion: 1.0\n{more}\
             Files:\n {md5} 7 hello_1.0.tar.xz\n"
        )
        .parse()
        .unwrap()
    }

    #[test]
    fn a_binary_gets_its_place_size_and_digests_before_its_description() {
        let control = "Version: 1.0\nPackage: hello\nArchitecture: amd64\nSize: 1\nStatus: forged\nDescription-md5: 77\n\
                       Description: greets\n the world\nHomepage: there\n";
        let package = BinaryPackage {
            paragraph: control.parse().unwrap(),
            name: "hello".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            architecture: "amd64".parse().unwrap(),
            source: "hello".parse().unwrap(),
            source_version: "1.0".parse().unwrap(),
        };
        let path = "pool/main/h/hello/hello_1.0_amd64.deb";
        let expected = format!(
            "Package: hello\nVersion: 1.0\nArchitecture: amd64\nHomepage: there\nFilename: {path}\nSize: 7\n\
             MD5sum: {}\nSHA1: {}\nSHA256: {}\nDescription: greets\n the world\n",
            "b".repeat(32),
            "b".repeat(40),
            "b".repeat(64)
        );
        assert_eq!(packages(&package, path, &sums('b')), expected);
    }

    #[test]
    fn a_source_is_listed_with_its_dsc_and_without_the_field_source() {
        let files = [
            ("hello_1.0.dsc".parse().unwrap(), sums('d')),
            ("hello_1.0.tar.xz".parse().unwrap(), sums('a')),
        ];
        let stanza = sources(&dsc(""), "pool/main/h/hello", &files);
        let parsed: Paragraph = stanza.parse().unwrap();
        assert!(stanza.starts_with("Package: hello\nFormat: 3.0 (native)\nBinary: hello\n"));
        assert_eq!(parsed.get("Source"), None);
        assert_eq!(parsed.get("Directory"), Some("pool/main/h/hello"));
        let listed = format!(
            "\n{} 7 hello_1.0.dsc\n{} 7 hello_1.0.tar.xz",
            "d".repeat(40),
            "a".repeat(40)
        );
        assert_eq!(parsed.get("Checksums-Sha1"), Some(listed.as_str()));
    }

    #[test]
    fn the_section_tells_the_component() {
        assert_eq!(component("net").unwrap().as_str(), "main");
        assert_eq!(component("contrib/net").unwrap().as_str(), "contrib");
        assert_eq!(
            component("non-free-firmware/kernel").unwrap().as_str(),
            "non-free-firmware"
        );
        assert!(component("../net").is_err());
        assert!(component("/net").is_err());
    }

    #[test]
    fn a_source_is_in_main_when_one_of_its_packages_is() {
        let listed =
            "Package-List:\n a deb contrib/net optional arch=any\n b deb net extra arch=any\n";
        assert_eq!(source_section(&dsc(listed)), ("net", "extra"));
        let all_contrib = "Package-List:\n a deb contrib/net optional arch=any\n";
        assert_eq!(
            source_section(&dsc(all_contrib)),
            ("contrib/net", "optional")
        );
        assert_eq!(source_section(&dsc("")), ("misc", "optional"));
        let own = format!("Section: non-free/net\nPriority: extra\n{listed}");
        assert_eq!(source_section(&dsc(&own)), ("non-free/net", "extra"));
    }
}
