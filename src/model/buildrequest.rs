//! The fields of buildrequest and buildresult .changes, in stock's order and names (`X-Mini-Buildd-…`).
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::deb::{
    Architecture, Changes, Checksums, Error, FileName, PackageName, Paragraph, Version,
};
use crate::endpoint::{ClientEndpoint, Scheme};
use crate::model::build_check::{Mode, Modes};
use crate::model::key::{BuildKey, PackageKey, Timecode};

/// What a packager asks of a builder for one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buildrequest {
    /// As in the upload; meta names stay.
    pub distribution: String,
    pub source: PackageName,
    pub version: Version,
    pub architecture: Architecture,
    pub timecode: Timecode,
    /// `ftp://HOST:PORT` of the packager's incoming.
    pub upload_to: String,
    /// HTTP URL of the packager.
    pub packager: String,
    /// Architecture: all packages are built here too.
    pub arch_all: bool,
    pub build_dep_resolver: String,
    pub sbuild_config_blocks: String,
    pub sbuild_setup_blocks: String,
    pub deb_build_options: String,
    pub deb_build_profiles: String,
    pub add_depends: String,
    pub lintian_mode: Mode,
    pub lintian_extra_options: String,
    pub autopkgtest_mode: Mode,
    pub piuparts_mode: Mode,
    /// HTTP URL of the builder.
    pub builder: String,
}

/// What a builder answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buildresult {
    pub distribution: String,
    pub source: PackageName,
    pub version: Version,
    pub architecture: Architecture,
    pub timecode: Timecode,
    pub builder: String,
    pub upload_to: String,
    pub buildlog_installed: String,
    /// Without the prefix, snake_cased as in events: `status` → `successful`, `build_time` → `3`.
    pub sbuild: BTreeMap<String, String>,
    /// Who cancelled the build.
    pub canceled_by: Option<String>,
    pub internal_error: Option<String>,
}

impl Buildrequest {
    pub fn key(&self) -> BuildKey {
        key(
            &self.source,
            &self.version,
            &self.timecode,
            &self.architecture,
        )
    }

    /// `SOURCE_VERSION_mini-buildd-buildrequest_ARCH.changes`
    pub fn file_name(&self) -> FileName {
        file_name(&self.key(), "buildrequest")
    }

    /// Path of the log below builds and events directories: `BKEY/BASE_ARCH.buildlog`.
    pub fn buildlog(&self) -> String {
        buildlog(&self.key())
    }

    /// URL of the log while it grows, on the builder.
    pub fn buildlog_building(&self) -> String {
        format!(
            "{}/mini_buildd/builds-dir/{}",
            self.builder,
            self.buildlog()
        )
    }

    /// URL of the log when it is finished, on the packager.
    pub fn buildlog_installed(&self) -> String {
        format!(
            "{}/mini_buildd/events-dir/{}",
            self.packager,
            self.buildlog()
        )
    }

    pub fn modes(&self) -> Modes {
        Modes {
            lintian: self.lintian_mode,
            piuparts: self.piuparts_mode,
            autopkgtest: self.autopkgtest_mode,
        }
    }

    /// The answer as it is before anything was built.
    pub fn result(&self) -> Buildresult {
        Buildresult {
            distribution: self.distribution.clone(),
            source: self.source.clone(),
            version: self.version.clone(),
            architecture: self.architecture.clone(),
            timecode: self.timecode.clone(),
            builder: self.builder.clone(),
            upload_to: self.upload_to.clone(),
            buildlog_installed: self.buildlog_installed(),
            sbuild: BTreeMap::new(),
            canceled_by: None,
            internal_error: None,
        }
    }

    /// All fields but Files.
    pub fn to_paragraph(&self) -> Paragraph {
        let mut paragraph = frame(&self.key(), &self.distribution);
        let mut set = |name: &str, value: String| paragraph.set(&format!("{PREFIX}{name}"), value);
        set("Upload-To", self.upload_to.clone());
        set("Packager", self.packager.clone());
        if self.arch_all {
            set("Arch-All", "Yes".into());
        }
        set("Build-Dep-Resolver", self.build_dep_resolver.clone());
        set("Sbuild-Config-Blocks", self.sbuild_config_blocks.clone());
        set("Sbuild-Setup-Blocks", self.sbuild_setup_blocks.clone());
        set("Deb-Build-Options", self.deb_build_options.clone());
        set("Deb-Build-Profiles", self.deb_build_profiles.clone());
        set("Add-Depends", self.add_depends.clone());
        set("Lintian-Mode", self.lintian_mode.to_string());
        set("Lintian-Extra-Options", self.lintian_extra_options.clone());
        set("Autopkgtest-Mode", self.autopkgtest_mode.to_string());
        set("Piuparts-Mode", self.piuparts_mode.to_string());
        set("Buildlog", self.buildlog());
        set("Builder", self.builder.clone());
        set("Buildlog-Building", self.buildlog_building());
        set("Buildlog-Installed", self.buildlog_installed());
        paragraph
    }

    /// Paths and URLs of logs are not taken from the message but made from its key.
    pub fn from_changes(changes: &Changes) -> Result<Buildrequest, Error> {
        let paragraph = &changes.paragraph;
        let text = |name: &str| paragraph.get(name).unwrap_or_default().to_owned();
        let mode = |name: &'static str| match paragraph.get(name) {
            None | Some("") => Ok(Mode::Disabled),
            Some(_) => paragraph.parsed(name),
        };
        Ok(Buildrequest {
            distribution: changes.distribution.clone(),
            source: changes.source.clone(),
            version: changes.version.clone(),
            architecture: one_architecture(changes)?,
            timecode: paragraph.parsed("X-Mini-Buildd-Timecode")?,
            upload_to: ftp_url(paragraph, "X-Mini-Buildd-Upload-To")?,
            packager: http_url(paragraph, "X-Mini-Buildd-Packager")?,
            arch_all: paragraph
                .get("X-Mini-Buildd-Arch-All")
                .is_some_and(|value| value == "Yes"),
            build_dep_resolver: text("X-Mini-Buildd-Build-Dep-Resolver"),
            sbuild_config_blocks: text("X-Mini-Buildd-Sbuild-Config-Blocks"),
            sbuild_setup_blocks: text("X-Mini-Buildd-Sbuild-Setup-Blocks"),
            deb_build_options: text("X-Mini-Buildd-Deb-Build-Options"),
            deb_build_profiles: text("X-Mini-Buildd-Deb-Build-Profiles"),
            add_depends: text("X-Mini-Buildd-Add-Depends"),
            lintian_mode: mode("X-Mini-Buildd-Lintian-Mode")?,
            lintian_extra_options: text("X-Mini-Buildd-Lintian-Extra-Options"),
            autopkgtest_mode: mode("X-Mini-Buildd-Autopkgtest-Mode")?,
            piuparts_mode: mode("X-Mini-Buildd-Piuparts-Mode")?,
            builder: http_url(paragraph, "X-Mini-Buildd-Builder")?,
        })
    }
}

impl Buildresult {
    pub fn key(&self) -> BuildKey {
        key(
            &self.source,
            &self.version,
            &self.timecode,
            &self.architecture,
        )
    }

    /// `SOURCE_VERSION_mini-buildd-buildresult_ARCH.changes`
    pub fn file_name(&self) -> FileName {
        file_name(&self.key(), "buildresult")
    }

    pub fn buildlog(&self) -> String {
        buildlog(&self.key())
    }

    /// All fields but Files.
    pub fn to_paragraph(&self) -> Paragraph {
        let mut paragraph = frame(&self.key(), &self.distribution);
        let mut set =
            |name: &str, value: &str| paragraph.set(&format!("{PREFIX}{name}"), value.to_owned());
        set("Builder", &self.builder);
        set("Buildlog", &self.buildlog());
        set("Buildlog-Installed", &self.buildlog_installed);
        set("Upload-To", &self.upload_to);
        for (name, value) in &self.sbuild {
            set(&format!("Sbuild-{}", field_case(name)), value);
        }
        if let Some(who) = &self.canceled_by {
            set("Canceled-By", who);
        }
        if let Some(error) = &self.internal_error {
            set("Internal-Error", error);
        }
        paragraph
    }

    pub fn from_changes(changes: &Changes) -> Result<Buildresult, Error> {
        let paragraph = &changes.paragraph;
        let sbuild = paragraph.fields().filter_map(|(name, value)| {
            let name = strip_prefix(name, "X-Mini-Buildd-Sbuild-")?;
            Some((snake_case(name), value.to_owned()))
        });
        Ok(Buildresult {
            distribution: changes.distribution.clone(),
            source: changes.source.clone(),
            version: changes.version.clone(),
            architecture: one_architecture(changes)?,
            timecode: paragraph.parsed("X-Mini-Buildd-Timecode")?,
            builder: http_url(paragraph, "X-Mini-Buildd-Builder")?,
            upload_to: ftp_url(paragraph, "X-Mini-Buildd-Upload-To")?,
            buildlog_installed: web_address(paragraph, "X-Mini-Buildd-Buildlog-Installed")?,
            sbuild: sbuild.collect(),
            canceled_by: paragraph
                .get("X-Mini-Buildd-Canceled-By")
                .map(str::to_owned),
            internal_error: paragraph
                .get("X-Mini-Buildd-Internal-Error")
                .map(str::to_owned),
        })
    }

    pub fn status(&self) -> Option<&str> {
        self.sbuild.get("status").map(String::as_str)
    }

    /// `successful` or `skipped`.
    pub fn is_successful(&self) -> bool {
        matches!(self.status(), Some("successful" | "skipped"))
    }
}

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
fn field_case(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

fn key(
    source: &PackageName,
    version: &Version,
    timecode: &Timecode,
    architecture: &Architecture,
) -> BuildKey {
    let package = PackageKey {
        source: source.clone(),
        version: version.clone(),
        timecode: timecode.clone(),
    };
    package.build(architecture.as_str())
}

fn file_name(key: &BuildKey, kind: &str) -> FileName {
    let (base, architecture) = (key.package.file_base(), &key.architecture);
    format!("{base}_mini-buildd-{kind}_{architecture}.changes")
        .parse()
        .expect("the bounds of words fit into a file name's")
}

fn buildlog(key: &BuildKey) -> String {
    let base = key.package.file_base();
    format!("{key}/{base}_{}.buildlog", key.architecture)
}

fn frame(key: &BuildKey, distribution: &str) -> Paragraph {
    let mut paragraph = Paragraph::default();
    paragraph.set("Distribution", distribution);
    paragraph.set("Source", key.package.source.as_str());
    paragraph.set("Version", key.package.version.as_str());
    paragraph.set("Architecture", key.architecture.as_str());
    paragraph.set("X-Mini-Buildd-Timecode", key.package.timecode.as_str());
    paragraph
}

fn one_architecture(changes: &Changes) -> Result<Architecture, Error> {
    match changes.architectures.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(fault("Architecture", "must be one word")),
    }
}

fn ftp_url(paragraph: &Paragraph, field: &'static str) -> Result<String, Error> {
    url(paragraph, field, &[Scheme::Ftp, Scheme::Ftps])
}

fn http_url(paragraph: &Paragraph, field: &'static str) -> Result<String, Error> {
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
fn web_address(paragraph: &Paragraph, field: &'static str) -> Result<String, Error> {
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
pub(crate) mod tests {
    use super::*;

    /// Stock's messages without signature; the version cut down.
    const REQUEST: &str = "\
Distribution: trixie-test-unstable
Source: mbd-test-cpp
Version: 2026~test13+1
Architecture: amd64
X-Mini-Buildd-Timecode: 20261122:054621:058520
X-Mini-Buildd-Upload-To: ftp://buildd.test:8067
X-Mini-Buildd-Packager: http://buildd.test:8066
X-Mini-Buildd-Arch-All: Yes
X-Mini-Buildd-Build-Dep-Resolver: aptitude
X-Mini-Buildd-Sbuild-Config-Blocks: set-default-path ccache
X-Mini-Buildd-Sbuild-Setup-Blocks: apt-setup apt-update ccache eatmydata
X-Mini-Buildd-Deb-Build-Options:
X-Mini-Buildd-Deb-Build-Profiles:
X-Mini-Buildd-Add-Depends:
X-Mini-Buildd-Lintian-Mode: IGNORE
X-Mini-Buildd-Lintian-Extra-Options: --info
X-Mini-Buildd-Autopkgtest-Mode: DISABLED
X-Mini-Buildd-Piuparts-Mode: DISABLED
X-Mini-Buildd-Buildlog: mbd-test-cpp/2026~test13+1/20261122:054621:058520/amd64/mbd-test-cpp_2026~test13+1_amd64.buildlog
X-Mini-Buildd-Builder: http://buildd.test:8066
X-Mini-Buildd-Buildlog-Building: http://buildd.test:8066/mini_buildd/builds-dir/mbd-test-cpp/2026~test13+1/20261122:054621:058520/amd64/mbd-test-cpp_2026~test13+1_amd64.buildlog
X-Mini-Buildd-Buildlog-Installed: http://buildd.test:8066/mini_buildd/events-dir/mbd-test-cpp/2026~test13+1/20261122:054621:058520/amd64/mbd-test-cpp_2026~test13+1_amd64.buildlog
Files:
 72a162d1d61281029215534c20139b6f 30720 mini-buildd extra mbd-test-cpp_2026~test13+1_mini-buildd-buildrequest_amd64.changes.tar
";
    const RESULT: &str = "\
Distribution: trixie-test-unstable
Source: mbd-test-cpp
Version: 2026~test13+1
Architecture: amd64
X-Mini-Buildd-Timecode: 20261122:054621:058520
X-Mini-Buildd-Builder: http://buildd.test:8066
X-Mini-Buildd-Buildlog: mbd-test-cpp/2026~test13+1/20261122:054621:058520/amd64/mbd-test-cpp_2026~test13+1_amd64.buildlog
X-Mini-Buildd-Buildlog-Installed: http://buildd.test:8066/mini_buildd/events-dir/mbd-test-cpp/2026~test13+1/20261122:054621:058520/amd64/mbd-test-cpp_2026~test13+1_amd64.buildlog
X-Mini-Buildd-Upload-To: ftp://buildd.test:8067
Files:
 50a3e2a00ea4df2c93508e9dbc7d77ef 640 mini-buildd extra mbd-test-cpp_2026~test13+1_amd64.buildlog
 80a7e09fbca158e74be75eb405bde73d 10240 mini-buildd extra mbd-test-cpp_2026~test13+1_mini-buildd-buildresult_amd64.changes.tar
X-Mini-Buildd-Sbuild-Autopkgtest: no tests
X-Mini-Buildd-Sbuild-Build-Space: 100
X-Mini-Buildd-Sbuild-Build-Time: 3
X-Mini-Buildd-Sbuild-Lintian: warn
X-Mini-Buildd-Sbuild-Package-Time: 5
X-Mini-Buildd-Sbuild-Space: 100
X-Mini-Buildd-Sbuild-Status: successful
";

    pub(crate) fn buildrequest() -> Buildrequest {
        Buildrequest::from_changes(&REQUEST.parse().unwrap()).unwrap()
    }

    pub(crate) fn buildresult() -> Buildresult {
        Buildresult::from_changes(&RESULT.parse().unwrap()).unwrap()
    }

    fn sums(text: &str) -> Vec<(FileName, Checksums)> {
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
    fn without_sha256(mut paragraph: Paragraph) -> String {
        paragraph.remove("Checksums-Sha256").unwrap();
        paragraph.to_string()
    }

    #[test]
    fn a_buildrequest_is_stocks_to_the_byte() {
        let request = buildrequest();
        assert_eq!(
            request.file_name(),
            "mbd-test-cpp_2026~test13+1_mini-buildd-buildrequest_amd64.changes"
        );
        let mut paragraph = request.to_paragraph();
        list_files(&mut paragraph, &sums(REQUEST));
        let again: Changes = paragraph.to_string().parse().unwrap();
        assert!(again.files[0].sha256.is_some());
        assert_eq!(without_sha256(paragraph), REQUEST);
    }

    #[test]
    fn a_buildresult_is_stocks_to_the_byte() {
        let result = buildresult();
        assert_eq!(result.sbuild["build_time"], "3");
        assert!(result.is_successful());
        let mut paragraph = result.to_paragraph();
        list_files(&mut paragraph, &sums(RESULT));
        assert_eq!(without_sha256(paragraph), RESULT);
        assert_eq!(
            Buildresult {
                sbuild: BTreeMap::new(),
                ..result
            },
            buildrequest().result()
        );
    }

    #[test]
    fn only_the_builder_of_architecture_all_is_told_so() {
        let request = Buildrequest {
            arch_all: false,
            ..buildrequest()
        };
        assert_eq!(request.to_paragraph().get("X-Mini-Buildd-Arch-All"), None);
    }

    #[test]
    fn an_error_of_many_lines_cannot_add_fields() {
        let result = Buildresult {
            internal_error: Some("broken\nX-Mini-Buildd-Sbuild-Status: successful".into()),
            ..buildrequest().result()
        };
        let mut paragraph = result.to_paragraph();
        list_files(&mut paragraph, &sums(RESULT));
        let again = Buildresult::from_changes(&paragraph.to_string().parse().unwrap()).unwrap();
        assert_eq!(again.status(), None);
        assert_eq!(again, result);
    }

    #[test]
    fn hostile_messages_are_refused_by_field() {
        for (field, value) in [
            ("Architecture", "amd64 i386"),
            ("X-Mini-Buildd-Timecode", "../../x"),
            ("X-Mini-Buildd-Upload-To", "http://buildd.test:8067"),
            ("X-Mini-Buildd-Upload-To", "ftp://buildd.test:8067/x"),
            ("X-Mini-Buildd-Packager", "javascript:alert(1)"),
            ("X-Mini-Buildd-Builder", "http://a b"),
            ("X-Mini-Buildd-Lintian-Mode", "maybe"),
        ] {
            let mut paragraph: Paragraph = REQUEST.parse().unwrap();
            paragraph.set(field, value);
            let changes: Changes = paragraph.to_string().parse().unwrap();
            let error = Buildrequest::from_changes(&changes)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(&format!("field {field}: ")), "{error}");
        }
        let mut paragraph: Paragraph = RESULT.parse().unwrap();
        paragraph.set("X-Mini-Buildd-Buildlog-Installed", "javascript:alert(1)");
        let changes: Changes = paragraph.to_string().parse().unwrap();
        assert!(Buildresult::from_changes(&changes).is_err());
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
