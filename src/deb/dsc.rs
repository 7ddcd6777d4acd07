use std::str::FromStr;

use super::checksums::Kind;
use super::{Architecture, Error, ListedFile, PackageName, Paragraph, Version};

/// Source package control file (Policy 5.4, dsc(5)).
#[derive(Clone, Debug)]
pub struct Dsc {
    pub paragraph: Paragraph,
    pub source: PackageName,
    pub version: Version,
    /// Words of Architecture, wildcards included: `any`, `all`, `linux-any`.
    pub architectures: Vec<String>,
    pub binaries: Vec<PackageName>,
    pub files: Vec<ListedFile>,
}

impl Dsc {
    /// Tells whether anything is to be built for `architecture`, or, with `all`, architecture-independently.
    pub fn builds_for(&self, architecture: &Architecture, all: bool) -> bool {
        self.architectures
            .iter()
            .any(|word| matches(word, architecture) || all && word == "all")
    }
}

/// Parses the signed text, or what the verifier returned of it; armor is refused.
impl FromStr for Dsc {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let paragraph: Paragraph = text.parse()?;
        let architectures: Vec<Architecture> =
            words(&paragraph, "Architecture", |c| c == ' ' || c == '\n')?;
        Ok(Dsc {
            source: paragraph.parsed("Source")?,
            version: paragraph.parsed("Version")?,
            architectures: architectures.into_iter().map(String::from).collect(),
            binaries: words(&paragraph, "Binary", |c| ", \n".contains(c))?,
            files: ListedFile::merge(&paragraph, Kind::Dsc)?,
            paragraph,
        })
    }
}

fn words<T: FromStr<Err = Error>>(
    paragraph: &Paragraph,
    field: &'static str,
    is_separator: fn(char) -> bool,
) -> Result<Vec<T>, Error> {
    let words = paragraph
        .required(field)?
        .split(is_separator)
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().map_err(|fault: Error| fault.in_field(field)))
        .collect::<Result<Vec<T>, Error>>()?;
    if words.is_empty() {
        return Err(Error::Field {
            field: field.to_owned(),
            fault: "is empty".into(),
        });
    }
    Ok(words)
}

/// Tells whether a word of an Architecture field, maybe a wildcard, means `architecture` (Policy 11.1.1).
fn matches(word: &str, architecture: &Architecture) -> bool {
    if word == architecture.as_str() {
        return true;
    }
    let (Some(pattern), Some(tuple)) = (wildcard(word), tuple(architecture.as_str())) else {
        return false;
    };
    pattern
        .iter()
        .zip(tuple)
        .all(|(wanted, part)| *wanted == "any" || *wanted == part)
}

/// ABI, libc, kernel and CPU; missing parts at the left are `any`.
fn wildcard(word: &str) -> Option<[&str; 4]> {
    let parts: Vec<&str> = word.split('-').collect();
    if !parts.contains(&"any") {
        return None;
    }
    match *parts.as_slice() {
        [_] => Some(["any"; 4]),
        [kernel, cpu] => Some(["any", "any", kernel, cpu]),
        [libc, kernel, cpu] => Some(["any", libc, kernel, cpu]),
        [abi, libc, kernel, cpu] => Some([abi, libc, kernel, cpu]),
        _ => None,
    }
}

/// What dpkg's tupletable says of a Debian architecture: its ABI, libc, kernel and CPU.
fn tuple(architecture: &str) -> Option<[&str; 4]> {
    if architecture == "all" || architecture == "source" {
        return None;
    }
    if let Some(cpu) = architecture.strip_prefix("hurd-") {
        return Some(["base", "gnu", "hurd", cpu]);
    }
    if let Some(cpu) = architecture.strip_prefix("kfreebsd-") {
        return Some(["base", "gnu", "kfreebsd", cpu]);
    }
    let (libc, name) = if let Some(name) = architecture.strip_prefix("musl-linux-") {
        ("musl", name)
    } else if let Some(name) = architecture.strip_prefix("uclibc-linux-") {
        ("uclibc", name)
    } else {
        ("gnu", architecture)
    };
    let (abi, cpu) = match name {
        "armhf" => ("eabihf", "arm"),
        "armel" => ("eabi", "arm"),
        "x32" => ("x32", "amd64"),
        "arm64ilp32" => ("ilp32", "arm64"),
        "powerpcspe" => ("spe", "powerpc"),
        "mipsn32" => ("abin32", "mips64"),
        "mipsn32el" => ("abin32", "mips64el"),
        "mips64" | "mips64el" | "mips64r6" | "mips64r6el" if libc == "gnu" => ("abi64", name),
        _ => ("base", name),
    };
    Some([abi, libc, "linux", cpu])
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const DSC: &str = "\
Format: 3.0 (native)
Source: mbd-test-cpp
Binary: mbd-test-cpp, mbd-test-cpp-doc,
 mbd-test-cpp-dev
Architecture: any all
Version: 20261122054500~test13+1
Maintainer: Stephan Sürken <absurd@debian.org>
Build-Depends: debhelper (>= 9), dh-autoreconf, libssl-dev
Package-List:
 mbd-test-cpp deb misc optional arch=any
Checksums-Sha1:
 0428c6fd16881ae794be06e3588dd8cf0937b345 3280 mbd-test-cpp_20261122054500~test13+1.tar.xz
Checksums-Sha256:
 f7b1aecdd6087b3dada7d17fcf88bc23fdb28f22b36b5ec42affc341a5b39ebb 3280 mbd-test-cpp_20261122054500~test13+1.tar.xz
Files:
 280ff82aee9c886a42ff0ae446ee85df 3280 mbd-test-cpp_20261122054500~test13+1.tar.xz
";

    fn builds(words: &str, architecture: &str, all: bool) -> bool {
        let mut paragraph: Paragraph = DSC.parse().unwrap();
        paragraph.set("Architecture", words);
        let dsc: Dsc = paragraph.to_string().parse().unwrap();
        dsc.builds_for(&architecture.parse().unwrap(), all)
    }

    #[test]
    fn a_dsc_is_read_whole() {
        let dsc: Dsc = DSC.parse().unwrap();
        assert_eq!(dsc.architectures, ["any", "all"]);
        assert_eq!(dsc.binaries.len(), 3);
        assert_eq!(dsc.files[0].size, 3280);
        assert_eq!(dsc.paragraph.to_string(), DSC);
    }

    #[test]
    fn only_the_builder_of_architecture_all_builds_it() {
        assert!(builds("all", "amd64", true));
        assert!(!builds("all", "amd64", false));
        assert!(builds("any all", "amd64", false));
        assert!(!builds("i386 arm64", "amd64", true));
        assert!(!builds("any", "all", true) && !builds("linux-any", "source", false));
    }

    #[test]
    fn wildcards_match_as_in_dpkg() {
        for word in [
            "any",
            "linux-any",
            "any-amd64",
            "any-arm",
            "gnu-any-any",
            "musl-any-any",
            "gnu-linux-any",
            "eabihf-any-any-any",
            "amd64",
        ] {
            for architecture in [
                "amd64",
                "armhf",
                "armel",
                "x32",
                "mips64el",
                "musl-linux-amd64",
                "hurd-i386",
            ] {
                let dpkg = Command::new("dpkg-architecture")
                    .args(["-a", architecture, "-i", word])
                    .stderr(std::process::Stdio::null())
                    .status()
                    .unwrap();
                assert_eq!(
                    builds(word, architecture, false),
                    dpkg.success(),
                    "{word} {architecture}"
                );
            }
        }
    }

    #[test]
    fn signed_text_and_hostile_names_are_refused() {
        for text in [
            format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{DSC}"),
            format!("{DSC}\n{DSC}"),
            DSC.replace("Binary: mbd-test-cpp,", "Binary: ../x,"),
            DSC.replace("Architecture: any all", "Architecture: ../any"),
            DSC.replace("Source: mbd-test-cpp", "Source: Mbd"),
        ] {
            assert!(text.parse::<Dsc>().is_err(), "{text}");
        }
    }
}
