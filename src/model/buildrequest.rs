use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deb::{Changes, Error, FileName, Paragraph};
use crate::model::Buildresult;
use crate::model::build_check::{Mode, Modes};
use crate::model::key::BuildKey;
use crate::model::message::{self, PREFIX, Subject, ftp_url, http_url};

/// What a packager asks of a builder for one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buildrequest {
    #[serde(flatten)]
    pub subject: Subject,
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

impl Buildrequest {
    pub fn key(&self) -> BuildKey {
        self.subject.key()
    }

    pub fn file_name(&self) -> FileName {
        message::request_name(&self.key())
    }

    /// URL of the log while it grows, on the builder.
    pub fn buildlog_building(&self) -> String {
        format!(
            "{}/mini_buildd/builds-dir/{}",
            self.builder,
            self.subject.buildlog()
        )
    }

    /// URL of the log when it is finished, on the packager.
    pub fn buildlog_installed(&self) -> String {
        format!(
            "{}/mini_buildd/events-dir/{}",
            self.packager,
            self.subject.buildlog()
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
            subject: self.subject.clone(),
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
        let mut paragraph = self.subject.to_paragraph();
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
        set("Buildlog", self.subject.buildlog());
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
            subject: Subject::from_changes(changes)?,
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::message::list_files;
    use crate::model::message::tests::{sums, without_sha256};

    /// Stock's, without signature; the version cut down.
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

    pub(crate) fn buildrequest() -> Buildrequest {
        Buildrequest::from_changes(&REQUEST.parse().unwrap()).unwrap()
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
    fn only_the_builder_of_architecture_all_is_told_so() {
        let request = Buildrequest {
            arch_all: false,
            ..buildrequest()
        };
        assert_eq!(request.to_paragraph().get("X-Mini-Buildd-Arch-All"), None);
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
    }
}
