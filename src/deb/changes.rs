use std::str::FromStr;

use super::checksums::Kind;
use super::{Architecture, Error, FileName, ListedFile, PackageName, Paragraph, Version};

/// Upload control file (Policy 5.5, deb-changes(5)); also the frame of buildrequest and buildresult.
#[derive(Clone, Debug)]
pub struct Changes {
    pub paragraph: Paragraph,
    pub source: PackageName,
    pub version: Version,
    /// As written; meta-distributions are mapped later.
    pub distribution: String,
    /// Words of the Architecture field.
    pub architectures: Vec<Architecture>,
    pub files: Vec<ListedFile>,
}

impl Changes {
    /// The one listed file with this ending: `.dsc`.
    pub fn file_ending_with(&self, ending: &str) -> Option<&ListedFile> {
        let mut found = self
            .files
            .iter()
            .filter(|file| file.name.as_str().ends_with(ending));
        found.next().filter(|_| found.next().is_none())
    }

    /// The Architecture field as keys have it: its words with one blank between.
    pub fn architecture(&self) -> String {
        let words: Vec<&str> = self
            .architectures
            .iter()
            .map(Architecture::as_str)
            .collect();
        words.join(" ")
    }
}

/// Parses what the verifier returned; every word that is used in a path is validated.
impl FromStr for Changes {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let paragraph: Paragraph = text.parse()?;
        Ok(Changes {
            source: source(&paragraph)?,
            version: paragraph.parsed("Version")?,
            distribution: distribution(&paragraph)?,
            architectures: architectures(&paragraph)?,
            files: ListedFile::merge(&paragraph, Kind::Changes)?,
            paragraph,
        })
    }
}

/// A binary upload may name the source's version after it: `hello (2.10-3)`.
fn source(paragraph: &Paragraph) -> Result<PackageName, Error> {
    let value = paragraph.required("Source")?;
    let name = match value.split_once(' ') {
        Some((name, rest)) => {
            let version = rest
                .strip_prefix('(')
                .and_then(|rest| rest.strip_suffix(')'))
                .ok_or_else(|| fault("Source", format!("not NAME (VERSION): {value:?}")))?;
            let _: Version = version
                .parse()
                .map_err(|fault: Error| fault.in_field("Source"))?;
            name
        }
        None => value,
    };
    name.parse()
        .map_err(|fault: Error| fault.in_field("Source"))
}

fn distribution(paragraph: &Paragraph) -> Result<String, Error> {
    let value = paragraph.required("Distribution")?;
    if FileName::is_safe(value) {
        return Ok(value.to_owned());
    }
    Err(fault(
        "Distribution",
        format!("not one plain word: {value:?}"),
    ))
}

fn architectures(paragraph: &Paragraph) -> Result<Vec<Architecture>, Error> {
    let field = "Architecture";
    let mut words: Vec<Architecture> = Vec::new();
    for word in paragraph.required(field)?.split_ascii_whitespace() {
        let word = word.parse().map_err(|fault: Error| fault.in_field(field))?;
        if words.contains(&word) {
            return Err(fault(field, format!("{word} is listed twice")));
        }
        words.push(word);
    }
    // Keys and names of directories hold all of them.
    match words.len() {
        0 => Err(fault(field, "is empty".into())),
        1..=8 => Ok(words),
        _ => Err(fault(field, "has more than eight words".into())),
    }
}

fn fault(field: &str, fault: String) -> Error {
    Error::Field {
        field: field.to_owned(),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPLOAD: &str = "\
Format: 1.8
Date: Sun, 22 Nov 2026 05:00:00 +0000
Source: hello
Binary: hello
Architecture: source amd64
Version: 1:2.10-3~test13+1
Distribution: trixie-test-unstable
Urgency: low
Maintainer: Upl <upl@buildd.test>
Changed-By: Upl <upl@buildd.test>
Description:
 hello - example
Changes:
 hello (1:2.10-3~test13+1) trixie-test-unstable; urgency=low
 .
   * Rebuild.
Checksums-Sha1:
 41b89ddc91693d9a274ef8f78144de7769d03db5 700 hello_2.10-3~test13+1.dsc
Checksums-Sha256:
 321a7a287add04cae9d8a5fdd6322b05fe3d161d97440c2d94906b3d4f683e11 700 hello_2.10-3~test13+1.dsc
Files:
 3f3080b15c19b0e7d1ff42f84806fe89 700 contrib/devel optional hello_2.10-3~test13+1.dsc
";
    const STOCK_RESULT: &str = "\
Distribution: trixie-test-unstable
Source: mbd-test-cpp
Version: 20261122054500~test13+1
Architecture: amd64
X-Mini-Buildd-Timecode: 20261122:054621:058520
Files:
 50a3e2a00ea4df2c93508e9dbc7d77ef 640 mini-buildd extra mbd-test-cpp_20261122054500~test13+1_amd64.buildlog
X-Mini-Buildd-Sbuild-Status: successful
";

    fn with(field: &str, value: &str) -> String {
        let mut paragraph: Paragraph = UPLOAD.parse().unwrap();
        paragraph.set(field, value);
        paragraph.to_string()
    }

    #[test]
    fn an_upload_is_read_whole() {
        let changes: Changes = UPLOAD.parse().unwrap();
        assert_eq!(changes.source, "hello");
        assert_eq!(changes.version.as_str(), "1:2.10-3~test13+1");
        assert_eq!(changes.distribution, "trixie-test-unstable");
        assert_eq!(changes.architecture(), "source amd64");
        let dsc = changes.file_ending_with(".dsc").unwrap();
        assert_eq!(dsc.section.as_deref(), Some("contrib/devel"));
        assert_eq!(dsc.size, 700);
        assert!(dsc.sha256.is_some());
        assert_eq!(changes.paragraph.to_string(), UPLOAD);
    }

    #[test]
    fn a_stock_message_has_md5_only() {
        let changes: Changes = STOCK_RESULT.parse().unwrap();
        assert_eq!(
            changes.files[0].md5.as_deref(),
            Some("50a3e2a00ea4df2c93508e9dbc7d77ef")
        );
        assert_eq!(changes.files[0].sha256, None);
        assert_eq!(changes.paragraph.to_string(), STOCK_RESULT);
    }

    #[test]
    fn a_binary_upload_may_name_the_version_of_its_source() {
        let changes: Changes = with("Source", "hello (2.10-3)").parse().unwrap();
        assert_eq!(changes.source, "hello");
    }

    #[test]
    fn hostile_fields_are_refused_by_name() {
        for (field, value) in [
            ("Source", "../hello"),
            ("Source", "hello (../1)"),
            ("Source", "hello x"),
            ("Version", "1/2"),
            ("Architecture", ""),
            ("Architecture", "../amd64"),
            ("Architecture", "amd64 amd64"),
            ("Architecture", "a b c d e f g h i"),
            ("Distribution", "a/b"),
            ("Distribution", "a b"),
            ("Distribution", "-x"),
            (
                "Files",
                "\n3f3080b15c19b0e7d1ff42f84806fe89 700 x y ../hello.dsc",
            ),
        ] {
            let error = with(field, value)
                .parse::<Changes>()
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(&format!("field {field}: ")), "{error}");
        }
        let error = "Source: hello\n".parse::<Changes>().unwrap_err();
        assert_eq!(error, Error::MissingField("Version"));
    }

    #[test]
    fn a_second_paragraph_is_refused() {
        let text = format!("{UPLOAD}\nSource: other\n");
        assert_eq!(text.parse::<Changes>().unwrap_err(), Error::Paragraphs(2));
    }
}
