use serde::{Deserialize, Serialize};

use crate::deb::{Architecture, Codename, Component};
use crate::model::build_check::Mode;
use crate::model::source::sort_components;
use crate::model::{Invalid, Item, Kind, Reference, invalid, is_one_line, setup_block};

/// Stock's blocks for .sbuildrc.
pub const CONFIG_BLOCKS: [&str; 2] = ["set-default-path", "ccache"];
pub const RESOLVERS: [&str; 3] = ["apt", "aptitude", "internal"];

/// A base source with what builds for it need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    pub codename: Codename,
    /// Name of the base [`crate::model::Source`].
    pub base_source: String,
    #[serde(default)]
    pub extra_sources: Vec<PrioritySource>,
    pub components: Vec<Component>,
    pub architectures: Vec<ArchitectureOption>,
    #[serde(default = "disabled")]
    pub lintian_mode: Mode,
    #[serde(default = "info")]
    pub lintian_extra_options: String,
    #[serde(default = "disabled")]
    pub piuparts_mode: Mode,
    #[serde(default = "disabled")]
    pub autopkgtest_mode: Mode,
    #[serde(default = "priority")]
    pub internal_apt_priority: i32,
    #[serde(default)]
    pub deb_build_options: String,
    #[serde(default)]
    pub deb_build_profiles: String,
    #[serde(default)]
    pub add_depends: String,
    #[serde(default)]
    pub chroot_setup_script: String,
    #[serde(default = "config_blocks")]
    pub sbuild_config_blocks: String,
    #[serde(default = "setup_blocks")]
    pub sbuild_setup_blocks: String,
    #[serde(default = "resolver")]
    pub build_dep_resolver: String,
    /// Stock's; read by builders of the stock program alone, as the next two.
    #[serde(default = "info")]
    pub piuparts_extra_options: String,
    #[serde(default = "sudo")]
    pub piuparts_root_arg: String,
    #[serde(default)]
    pub sbuildrc_snippet: String,
}

fn info() -> String {
    "--info".into()
}

fn disabled() -> Mode {
    Mode::Disabled
}

/// As stock's.
fn priority() -> i32 {
    1
}

/// Read by builders of the stock program.
fn config_blocks() -> String {
    "set-default-path ccache".into()
}

fn setup_blocks() -> String {
    setup_block::DEFAULT.into()
}

fn resolver() -> String {
    "apt".into()
}

fn sudo() -> String {
    "sudo".into()
}

impl Distribution {
    /// Stock's defaults, without checks.
    pub fn new(
        codename: Codename,
        base_source: String,
        components: Vec<Component>,
        architectures: Vec<ArchitectureOption>,
    ) -> Distribution {
        Distribution {
            codename,
            base_source,
            extra_sources: Vec::new(),
            components,
            architectures,
            lintian_mode: disabled(),
            lintian_extra_options: info(),
            piuparts_mode: disabled(),
            autopkgtest_mode: disabled(),
            internal_apt_priority: priority(),
            deb_build_options: String::new(),
            deb_build_profiles: String::new(),
            add_depends: String::new(),
            chroot_setup_script: String::new(),
            sbuild_config_blocks: config_blocks(),
            sbuild_setup_blocks: setup_blocks(),
            build_dep_resolver: resolver(),
            piuparts_extra_options: info(),
            piuparts_root_arg: sudo(),
            sbuildrc_snippet: String::new(),
        }
    }
}

/// An additional source and its pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrioritySource {
    /// Name of a [`crate::model::Source`].
    pub source: String,
    #[serde(default = "priority")]
    pub priority: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchitectureOption {
    pub architecture: Architecture,
    #[serde(default)]
    pub optional: bool,
    #[serde(default)]
    pub build_architecture_all: bool,
}

impl Item for Distribution {
    const KIND: &'static str = Kind::Distribution.as_str();
    fn name(&self) -> String {
        self.codename.to_string()
    }
    fn validate(&self) -> Result<(), Invalid> {
        self.fault()
            .map_or(Ok(()), |(field, fault)| Err(invalid(self, field, fault)))
    }
    fn references(&self) -> Vec<Reference> {
        let extra = self.extra_sources.iter().map(|extra| &extra.source);
        std::iter::once(&self.base_source)
            .chain(extra)
            .map(|name| Reference::new(Kind::Source, name))
            .collect()
    }
}

impl Distribution {
    /// In the order in which stock writes them.
    pub fn sorted_components(&self) -> Vec<Component> {
        let mut components = self.components.clone();
        sort_components(&mut components);
        components
    }

    pub fn mandatory_architectures(&self) -> impl Iterator<Item = &Architecture> {
        self.architectures
            .iter()
            .filter(|option| !option.optional)
            .map(|option| &option.architecture)
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        for (index, extra) in self.extra_sources.iter().enumerate() {
            let before = &self.extra_sources[..index];
            if before.iter().any(|other| other.source == extra.source) {
                return Some(("extra_sources", format!("{} is there twice", extra.source)));
            }
        }
        if !self.components.iter().any(|component| component == "main") {
            return Some(("components", "main is missing".into()));
        }
        self.architectures_fault()
            .map(|fault| ("architectures", fault))
            .or_else(|| self.blocks_fault())
            .or_else(|| self.text_fault())
    }

    fn architectures_fault(&self) -> Option<String> {
        for (index, option) in self.architectures.iter().enumerate() {
            let name = &option.architecture;
            let before = &self.architectures[..index];
            if before.iter().any(|other| other.architecture == *name) {
                return Some(format!("{name} is there twice"));
            }
            if !name.is_machine() {
                return Some(format!("{name} is no machine"));
            }
            if option.optional && option.build_architecture_all {
                return Some(format!(
                    "{name} builds architecture all, so it can't be optional"
                ));
            }
        }
        let all = |option: &&ArchitectureOption| option.build_architecture_all;
        match self.architectures.iter().filter(all).count() {
            1 => None,
            count => Some(format!("{count} build architecture all, not exactly one")),
        }
    }

    fn blocks_fault(&self) -> Option<(&'static str, String)> {
        let unknown = |field, block: &str| Some((field, format!("unknown block {block:?}")));
        let mut blocks = self.sbuild_config_blocks.split_ascii_whitespace();
        if let Some(block) = blocks.find(|block| !CONFIG_BLOCKS.contains(block)) {
            return unknown("sbuild_config_blocks", block);
        }
        let mut blocks = self.sbuild_setup_blocks.split_ascii_whitespace();
        if let Some(block) = blocks.find(|block| setup_block::find(block).is_none()) {
            return unknown("sbuild_setup_blocks", block);
        }
        None
    }

    fn text_fault(&self) -> Option<(&'static str, String)> {
        for (field, text) in [
            ("lintian_extra_options", &self.lintian_extra_options),
            ("piuparts_extra_options", &self.piuparts_extra_options),
            ("piuparts_root_arg", &self.piuparts_root_arg),
            ("deb_build_options", &self.deb_build_options),
            ("deb_build_profiles", &self.deb_build_profiles),
            ("add_depends", &self.add_depends),
        ] {
            if !is_one_line(text) {
                return Some((field, "must be one line".into()));
            }
        }
        let script = &self.chroot_setup_script;
        if !script.is_empty() && !script.starts_with("#!") {
            return Some(("chroot_setup_script", "must begin with #!".into()));
        }
        if !RESOLVERS.contains(&self.build_dep_resolver.as_str()) {
            let fault = format!("unknown resolver {:?}", self.build_dep_resolver);
            return Some(("build_dep_resolver", fault));
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn trixie() -> Distribution {
        let option = |architecture: &str, all| ArchitectureOption {
            architecture: architecture.parse().unwrap(),
            optional: false,
            build_architecture_all: all,
        };
        let components = ["main", "contrib", "non-free", "non-free-firmware"];
        let distribution = Distribution::new(
            "trixie".parse().unwrap(),
            "Debian:trixie".into(),
            components.map(|name| name.parse().unwrap()).into(),
            vec![option("amd64", true), option("i386", false)],
        );
        Distribution {
            lintian_mode: Mode::Errfail,
            build_dep_resolver: "aptitude".into(),
            ..distribution
        }
    }

    #[test]
    fn broken_distributions_are_named() {
        assert_eq!(trixie().validate(), Ok(()));
        for (change, field) in [
            (
                (|d| drop(d.components.remove(0))) as fn(&mut Distribution),
                "components",
            ),
            (|d| d.architectures[0].optional = true, "architectures"),
            (
                |d| d.architectures[1].build_architecture_all = true,
                "architectures",
            ),
            (|d| d.architectures.clear(), "architectures"),
            (
                |d| d.sbuild_setup_blocks = "apt-setup nosuch".into(),
                "sbuild_setup_blocks",
            ),
            (
                |d| d.sbuild_config_blocks = "eatmydata".into(),
                "sbuild_config_blocks",
            ),
            (
                |d| d.chroot_setup_script = "rm -rf /".into(),
                "chroot_setup_script",
            ),
            (|d| d.add_depends = "a\nb".into(), "add_depends"),
            (
                |d| d.build_dep_resolver = "pip".into(),
                "build_dep_resolver",
            ),
        ] {
            let mut distribution = trixie();
            change(&mut distribution);
            assert_eq!(distribution.validate().unwrap_err().field, field);
        }
    }

    #[test]
    fn optional_architectures_are_not_mandatory() {
        let mut distribution = trixie();
        distribution.architectures[1].optional = true;
        let names: Vec<&str> = distribution
            .mandatory_architectures()
            .map(Architecture::as_str)
            .collect();
        assert_eq!(names, ["amd64"]);
    }
}
