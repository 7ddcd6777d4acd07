use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, Codename, Component};
use crate::model::Item;
use crate::model::build_check::Mode;

/// A base source with what builds for it need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    pub codename: Codename,
    /// Name of the base [`crate::model::Source`].
    pub base_source: String,
    pub extra_sources: Vec<PrioritySource>,
    pub components: Vec<Component>,
    pub architectures: Vec<ArchitectureOption>,
    pub lintian_mode: Mode,
    pub lintian_extra_options: String,
    pub piuparts_mode: Mode,
    pub autopkgtest_mode: Mode,
    pub internal_apt_priority: i32,
    pub deb_build_options: String,
    pub deb_build_profiles: String,
    pub add_depends: String,
    pub chroot_setup_script: String,
    pub sbuild_config_blocks: String,
    pub sbuild_setup_blocks: String,
    pub build_dep_resolver: String,
}

/// An additional source and its pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrioritySource {
    /// Name of a [`crate::model::Source`].
    pub source: String,
    pub priority: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchitectureOption {
    pub architecture: Architecture,
    pub optional: bool,
    pub build_architecture_all: bool,
}

impl Item for Distribution {
    const KIND: &'static str = "distribution";
    fn name(&self) -> String {
        self.codename.to_string()
    }
}
