//! Buildrequests: what a builder is asked for one architecture, and the tar that goes with it.
use std::path::{Path, PathBuf};

use crate::deb::Dsc;
use crate::message::tarball::{self, CONFIG, Content, Member};
use crate::message::{self, Error};
use crate::model::build_check::Mode;
use crate::model::distribution::ArchitectureOption;
use crate::model::message::Subject;
use crate::model::{Buildrequest, PackageKey, UploadOptions};
use crate::pgp::SigningKey;

use super::target::Target;

/// Who asks, and whom.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    pub upload_to: &'a str,
    pub packager: &'a str,
    pub builder: &'a str,
}

/// Architectures of the distribution for which the package builds something.
pub fn architectures<'a>(target: &Target<'a>, dsc: &Dsc) -> Vec<&'a ArchitectureOption> {
    let all = &target.distribution.architectures;
    all.iter()
        .filter(|option| dsc.builds_for(&option.architecture, option.build_architecture_all))
        .collect()
}

pub fn request(
    key: &PackageKey,
    distribution: &str,
    target: &Target<'_>,
    option: &ArchitectureOption,
    options: &UploadOptions,
    ends: Ends<'_>,
) -> Buildrequest {
    let settings = target.distribution;
    let architecture = &option.architecture;
    let text = |name: &str, default: &str| {
        let value = options.get(name, architecture);
        value.unwrap_or(default).to_owned()
    };
    let mode = |name: &str, default: Mode| options.mode(name, architecture).unwrap_or(default);
    Buildrequest {
        subject: Subject {
            distribution: distribution.into(),
            source: key.source.clone(),
            version: key.version.clone(),
            architecture: architecture.clone(),
            timecode: key.timecode.clone(),
        },
        upload_to: ends.upload_to.into(),
        packager: ends.packager.into(),
        arch_all: option.build_architecture_all,
        build_dep_resolver: settings.build_dep_resolver.clone(),
        sbuild_config_blocks: settings.sbuild_config_blocks.clone(),
        sbuild_setup_blocks: settings.sbuild_setup_blocks.clone(),
        deb_build_options: text("deb-build-options", &settings.deb_build_options),
        deb_build_profiles: text("deb-build-profiles", &settings.deb_build_profiles),
        add_depends: text("add-depends", &settings.add_depends),
        lintian_mode: mode("lintian-mode", settings.lintian_mode),
        lintian_extra_options: settings.lintian_extra_options.clone(),
        autopkgtest_mode: mode("autopkgtest-mode", settings.autopkgtest_mode),
        piuparts_mode: mode("piuparts-mode", settings.piuparts_mode),
        builder: ends.builder.into(),
    }
}

/// Contents of `.config/`.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub sources_list: String,
    pub preferences: String,
    pub keys: String,
    /// Of the HTTP server that has the sources, if it speaks TLS.
    pub ssl_cert: String,
    pub chroot_setup_script: String,
}

/// Members of the tar in stock's order; stock's builders want all of `.config/`, empty files too.
fn members(config: &Config, sources: &[PathBuf]) -> Vec<Member> {
    let text = |name: &str, text: &str| Member {
        name: format!("{CONFIG}/{name}"),
        content: Content::Text(text.into()),
    };
    let mut members = vec![
        text("apt_sources.list", &config.sources_list),
        text("apt_preferences", &config.preferences),
        text("apt_keys", &config.keys),
        text("ssl_cert", &config.ssl_cert),
        text("chroot_setup_script", &config.chroot_setup_script),
        text("sbuildrc_snippet", ""),
    ];
    members.extend(sources.iter().map(|path| Member {
        name: file_name(path),
        content: Content::File(path.clone()),
    }));
    members
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Writes the signed .changes and its tar into `directory`; returns their paths.
pub fn write(
    directory: &Path,
    request: &Buildrequest,
    config: &Config,
    sources: &[PathBuf],
    key: &SigningKey,
) -> Result<(), Error> {
    let name = request.file_name();
    let tar = directory.join(format!("{name}.tar"));
    tarball::pack(&tar, &members(config, sources))?;
    message::write(directory, &name, request.to_paragraph(), &[tar], key)?;
    Ok(())
}
