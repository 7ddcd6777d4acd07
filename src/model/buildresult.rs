use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deb::{Changes, Error, FileName, Paragraph};
use crate::model::key::BuildKey;
use crate::model::message::{
    self, PREFIX, Subject, field_case, ftp_url, http_url, snake_case, strip_prefix, web_address,
};

/// What a builder answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buildresult {
    #[serde(flatten)]
    pub subject: Subject,
    pub builder: String,
    pub upload_to: String,
    pub buildlog_installed: String,
    /// Without the prefix, snake_cased as in events: `status` → `successful`, `build_time` → `3`.
    pub sbuild: BTreeMap<String, String>,
    /// Who cancelled the build.
    pub canceled_by: Option<String>,
    pub internal_error: Option<String>,
}

impl Buildresult {
    pub fn key(&self) -> BuildKey {
        self.subject.key()
    }

    pub fn file_name(&self) -> FileName {
        message::result_name(&self.key())
    }

    /// All fields but Files.
    pub fn to_paragraph(&self) -> Paragraph {
        let mut paragraph = self.subject.to_paragraph();
        let mut set = |name: &str, value: &str| paragraph.set(&format!("{PREFIX}{name}"), value);
        set("Builder", &self.builder);
        set("Buildlog", &self.subject.buildlog());
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
            subject: Subject::from_changes(changes)?,
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::buildrequest::tests::buildrequest;
    use crate::model::message::list_files;
    use crate::model::message::tests::{sums, without_sha256};

    /// Stock's, without signature; the version cut down.
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

    pub(crate) fn buildresult() -> Buildresult {
        Buildresult::from_changes(&RESULT.parse().unwrap()).unwrap()
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
    fn a_link_to_anything_but_the_web_is_refused() {
        let mut paragraph: Paragraph = RESULT.parse().unwrap();
        paragraph.set("X-Mini-Buildd-Buildlog-Installed", "javascript:alert(1)");
        let changes: Changes = paragraph.to_string().parse().unwrap();
        assert!(Buildresult::from_changes(&changes).is_err());
    }
}
