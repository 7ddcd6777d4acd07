//! What buildrequests and buildresults have in common: the frame of their .changes, its names, paths and URLs.
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::deb::{
    Architecture, Changes, Checksums, Error, FileName, PackageName, Paragraph, Version,
};
use crate::endpoint::{ClientEndpoint, Scheme};
use crate::model::key::{BuildKey, PackageKey, Timecode};

/// Adds the fields Files and Checksums-Sha256 where stock has Files: before what sbuild said.
pub fn list_files(paragraph: &mut Paragraph, files: &[(FileName, Checksums)]) {
    let is_next = |name: &str| {
        name.starts_with("X-Mini-Buildd-Sbuild-") && !name.ends_with("-Blocks")
            || name == "X-Mini-Buildd-Canceled-By"
            || name == "X-Mini-Buildd-Internal-Error"
    };
    let (mut md5, mut sha256) = (String::new(), String::new());
    for (name, sums) in files {
        write!(md5, "\n{} {} mini-buildd extra {name}", sums.md5, sums.size)
            .expect("a String takes everything");
        write!(sha256, "\n{} {} {name}", sums.sha256, sums.size)
            .expect("a String takes everything");
    }
    paragraph.set_before(is_next, "Files", md5);
    paragraph.set_before(is_next, "Checksums-Sha256", sha256);
}

/// What a file name of a .changes tells about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageKind {
    Upload,
    Buildrequest,
    Buildresult,
}

impl MessageKind {
    pub fn of(changes_name: &FileName) -> MessageKind {
        let base = changes_name
            .as_str()
            .strip_suffix(".changes")
            .and_then(|name| name.rsplit_once('_'))
            .filter(|(_, architecture)| !architecture.is_empty())
            .map_or("", |(base, _)| base);
        match base.rsplit_once('_') {
            Some((_, "mini-buildd-buildrequest")) => MessageKind::Buildrequest,
            Some((_, "mini-buildd-buildresult")) => MessageKind::Buildresult,
            Some(_) | None => MessageKind::Upload,
        }
    }
}

/// What all fields of ours begin with.
pub const PREFIX: &str = "X-Mini-Buildd-";

/// Name of a field as events have it: `Upload-To` → `upload_to`.
pub fn snake_case(field: &str) -> String {
    field.to_ascii_lowercase().replace('-', "_")
}

/// Strips without regard to case, as field names compare.
pub(crate) fn strip_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// `build_time` → `Build-Time`
pub(super) fn field_case(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

/// What a message between instances is about: the build of a source package for an architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// As in the upload; meta names stay.
    pub distribution: String,
    pub source: PackageName,
    pub version: Version,
    pub architecture: Architecture,
    pub timecode: Timecode,
}

impl Subject {
    pub fn key(&self) -> BuildKey {
        let package = PackageKey {
            source: self.source.clone(),
            version: self.version.clone(),
            timecode: self.timecode.clone(),
        };
        package.build(self.architecture.as_str())
    }

    /// Path of the log below builds and events directories: `BKEY/BASE_ARCH.buildlog`.
    pub fn buildlog(&self) -> String {
        let key = self.key();
        let base = key.package.file_base();
        format!("{key}/{base}_{}.buildlog", key.architecture)
    }

    pub(super) fn from_changes(changes: &Changes) -> Result<Subject, Error> {
        Ok(Subject {
            distribution: changes.distribution.clone(),
            source: changes.source.clone(),
            version: changes.version.clone(),
            architecture: one_architecture(changes)?,
            timecode: changes.paragraph.parsed("X-Mini-Buildd-Timecode")?,
        })
    }

    /// The first fields of a message.
    pub(super) fn to_paragraph(&self) -> Paragraph {
        let mut paragraph = Paragraph::default();
        paragraph.set("Distribution", self.distribution.as_str());
        paragraph.set("Source", self.source.as_str());
        paragraph.set("Version", self.version.as_str());
        paragraph.set("Architecture", self.architecture.as_str());
        paragraph.set("X-Mini-Buildd-Timecode", self.timecode.as_str());
        paragraph
    }
}

/// `SOURCE_VERSION_mini-buildd-buildrequest_ARCH.changes`
pub fn request_name(key: &BuildKey) -> FileName {
    file_name(key, "buildrequest")
}

/// `SOURCE_VERSION_mini-buildd-buildresult_ARCH.changes`
pub fn result_name(key: &BuildKey) -> FileName {
    file_name(key, "buildresult")
}

fn file_name(key: &BuildKey, kind: &str) -> FileName {
    let (base, architecture) = (key.package.file_base(), &key.architecture);
    format!("{base}_mini-buildd-{kind}_{architecture}.changes")
        .parse()
        .expect("the bounds of words fit into a file name's")
}

fn one_architecture(changes: &Changes) -> Result<Architecture, Error> {
    match changes.architectures.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(fault("Architecture", "must be one word")),
    }
}

pub(super) fn ftp_url(paragraph: &Paragraph, field: &'static str) -> Result<String, Error> {
    url(paragraph, field, &[Scheme::Ftp, Scheme::Ftps])
}

pub(super) fn http_url(paragraph: &Paragraph, field: &'static str) -> Result<String, Error> {
    url(paragraph, field, &[Scheme::Http, Scheme::Https])
}

fn url(paragraph: &Paragraph, field: &'static str, schemes: &[Scheme]) -> Result<String, Error> {
    let endpoint: ClientEndpoint = paragraph.parsed(field)?;
    if schemes.contains(&endpoint.scheme) {
        return Ok(paragraph.required(field)?.to_owned());
    }
    Err(fault(field, "has the wrong scheme"))
}

/// A link that is shown to users.
pub(super) fn web_address(paragraph: &Paragraph, field: &'static str) -> Result<String, Error> {
    let text = paragraph.required(field)?;
    let is_web = text.starts_with("http://") || text.starts_with("https://");
    if is_web && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(fault(field, "is no web address"))
}

fn fault(field: &str, fault: &str) -> Error {
    Error::Field {
        field: field.to_owned(),
        fault: fault.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::model) fn sums(text: &str) -> Vec<(FileName, Checksums)> {
        let changes: Changes = text.parse().unwrap();
        let sum = |file: &crate::deb::ListedFile| Checksums {
            size: file.size,
            md5: file.md5.clone().unwrap(),
            sha1: String::new(),
            sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
        };
        let files = changes.files.iter();
        files.map(|file| (file.name.clone(), sum(file))).collect()
    }

    /// Stock has no Checksums-Sha256.
    pub(in crate::model) fn without_sha256(mut paragraph: Paragraph) -> String {
        paragraph.remove("Checksums-Sha256").unwrap();
        paragraph.to_string()
    }

    #[test]
    fn the_name_tells_the_kind() {
        for (name, kind) in [
            (
                "a_1_mini-buildd-buildrequest_amd64.changes",
                MessageKind::Buildrequest,
            ),
            (
                "a_1_mini-buildd-buildresult_amd64.changes",
                MessageKind::Buildresult,
            ),
            ("a_1_source.changes", MessageKind::Upload),
            ("a_1_mini-buildd-buildresult_.changes", MessageKind::Upload),
            ("a_1_mini-buildd-buildresult_amd64.dsc", MessageKind::Upload),
            (
                "a_1_x-mini-buildd-buildresult_amd64.changes",
                MessageKind::Upload,
            ),
        ] {
            assert_eq!(MessageKind::of(&name.parse().unwrap()), kind, "{name}");
        }
    }
}
