use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::Paragraph;

/// Fields of a Release file of ours, in stock's order (repository format).
#[derive(Clone, Debug)]
pub struct Release {
    pub origin: String,
    pub label: String,
    pub suite: String,
    pub codename: String,
    pub date: Timestamp,
    pub valid_until: Option<Timestamp>,
    pub architectures: Vec<String>,
    pub components: Vec<String>,
    pub description: String,
    pub not_automatic: bool,
    pub but_automatic_upgrades: bool,
    pub acquire_by_hash: bool,
    /// Fingerprints, with commas between them.
    pub signed_by: String,
    /// Sorted by path.
    pub files: Vec<IndexFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Below the directory of the Release file.
    pub path: String,
    pub size: u64,
    pub md5: String,
    pub sha256: String,
    /// Listed where every file has it.
    pub sha512: Option<String>,
}

impl IndexFile {
    fn sha512(&self) -> Option<&str> {
        self.sha512.as_deref()
    }
}

impl Release {
    /// The fields without the lists of files.
    fn header(&self) -> Paragraph {
        let mut header = Paragraph::default();
        header.set("Origin", self.origin.as_str());
        header.set("Label", self.label.as_str());
        header.set("Suite", self.suite.as_str());
        header.set("Codename", self.codename.as_str());
        header.set("Date", date(self.date));
        if let Some(until) = self.valid_until {
            header.set("Valid-Until", date(until));
        }
        header.set("Architectures", self.architectures.join(" "));
        header.set("Components", self.components.join(" "));
        header.set("Description", self.description.as_str());
        header.set("NotAutomatic", yes_or_no(self.not_automatic));
        header.set(
            "ButAutomaticUpgrades",
            yes_or_no(self.but_automatic_upgrades),
        );
        if self.acquire_by_hash {
            header.set("Acquire-By-Hash", "yes");
        }
        if !self.signed_by.is_empty() {
            header.set("Signed-By", self.signed_by.as_str());
        }
        header
    }

    fn list<'a>(&'a self, digest: fn(&'a IndexFile) -> &'a str) -> String {
        self.files.iter().fold(String::new(), |mut list, file| {
            write!(list, "\n{} {} {}", digest(file), file.size, file.path)
                .expect("a String takes everything");
            list
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut paragraph = self.header();
        paragraph.set("MD5Sum", self.list(|file| &file.md5));
        paragraph.set("SHA256", self.list(|file| &file.sha256));
        if !self.files.is_empty() && self.files.iter().all(|file| file.sha512.is_some()) {
            let sha512 = |file| IndexFile::sha512(file).unwrap_or_default();
            paragraph.set("SHA512", self.list(sha512));
        }
        write!(f, "{paragraph}")
    }
}

/// `Sun, 22 Nov 2026 05:54:15 UTC`
fn date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock() -> Release {
        let name = "trixie-test-unstable";
        Release {
            origin: "Mini-Buildd archive ident on buildd.test".into(),
            label: name.into(),
            suite: name.into(),
            codename: name.into(),
            date: "2026-11-22T05:54:15Z".parse().unwrap(),
            valid_until: None,
            architectures: vec!["amd64".into(), "i386".into()],
            components: ["main", "contrib", "non-free", "non-free-firmware"]
                .map(String::from)
                .into(),
            description: name.into(),
            not_automatic: true,
            but_automatic_upgrades: true,
            acquire_by_hash: true,
            signed_by: "6E7F,0A1B".into(),
            files: vec![
                IndexFile {
                    path: "main/binary-amd64/Packages".into(),
                    size: 3222,
                    md5: "729bb698cc16e7927520fdeeb233a718".into(),
                    sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
                        .into(),
                    sha512: None,
                },
                IndexFile {
                    path: "main/binary-amd64/Packages.gz".into(),
                    size: 1132,
                    md5: "891c36553aaf0384417318904e90ed2a".into(),
                    sha256: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
                        .into(),
                    sha512: None,
                },
            ],
        }
    }

    #[test]
    fn fields_stand_in_stocks_order() {
        assert_eq!(
            stock().to_string(),
            "\
Origin: Mini-Buildd archive ident on buildd.test
Label: trixie-test-unstable
Suite: trixie-test-unstable
Codename: trixie-test-unstable
Date: Sun, 22 Nov 2026 05:54:15 UTC
Architectures: amd64 i386
Components: main contrib non-free non-free-firmware
Description: trixie-test-unstable
NotAutomatic: yes
ButAutomaticUpgrades: yes
Acquire-By-Hash: yes
Signed-By: 6E7F,0A1B
MD5Sum:
 729bb698cc16e7927520fdeeb233a718 3222 main/binary-amd64/Packages
 891c36553aaf0384417318904e90ed2a 1132 main/binary-amd64/Packages.gz
SHA256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 3222 main/binary-amd64/Packages
 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 1132 main/binary-amd64/Packages.gz
"
        );
    }

    #[test]
    fn a_rollback_says_that_it_never_upgrades() {
        let rollback = Release {
            but_automatic_upgrades: false,
            acquire_by_hash: false,
            signed_by: String::new(),
            files: Vec::new(),
            ..stock()
        };
        let text = rollback.to_string();
        assert!(
            text.ends_with("ButAutomaticUpgrades: no\nMD5Sum:\nSHA256:\n"),
            "{text}"
        );
    }

    #[test]
    fn an_origin_cannot_add_fields() {
        let release = Release {
            origin: "x\nSHA256: y".into(),
            ..stock()
        };
        assert!(release.to_string().starts_with("Origin: x\n SHA256: y\n"));
    }
}
