//! The fields of buildrequest and buildresult .changes, in stock's order and names (`X-Mini-Buildd-…`).
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, Changes, Error, FileName, PackageName, Paragraph, Version};
use crate::model::build_check::Mode;
use crate::model::key::{BuildKey, Timecode};

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
    pub internal_error: Option<String>,
}

impl Buildrequest {
    pub fn key(&self) -> BuildKey {
        todo!()
    }
    /// `SOURCE_VERSION_mini-buildd-buildrequest_ARCH.changes`
    pub fn file_name(&self) -> FileName {
        todo!()
    }
    /// Path of the log below builds and events directories: `BKEY/BASE_ARCH.buildlog`.
    pub fn buildlog(&self) -> String {
        todo!()
    }
    /// All fields but Files.
    pub fn to_paragraph(&self) -> Paragraph {
        todo!()
    }
    pub fn from_changes(_changes: &Changes) -> Result<Buildrequest, Error> {
        todo!()
    }
}

impl Buildresult {
    pub fn key(&self) -> BuildKey {
        todo!()
    }
    pub fn file_name(&self) -> FileName {
        todo!()
    }
    pub fn buildlog(&self) -> String {
        todo!()
    }
    pub fn to_paragraph(&self) -> Paragraph {
        todo!()
    }
    pub fn from_changes(_changes: &Changes) -> Result<Buildresult, Error> {
        todo!()
    }
    /// `successful` or `skipped`.
    pub fn is_successful(&self) -> bool {
        todo!()
    }
}

/// What a file name of a .changes tells about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageKind {
    Upload,
    Buildrequest,
    Buildresult,
}

impl MessageKind {
    pub fn of(_changes_name: &FileName) -> MessageKind {
        todo!()
    }
}
