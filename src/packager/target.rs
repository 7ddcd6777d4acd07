//! Where an upload goes, and whether its version may go there.
use crate::archive::Listed;
use crate::deb::{PackageName, Version};
use crate::model::{
    Distribution, Diststr, Layout, Repository, Source, SuiteOptions, version_scheme,
};
use crate::store::catalog::Catalog;

use super::rejection::Rejection;

#[derive(Clone, Debug)]
pub struct Target<'a> {
    pub diststr: Diststr,
    pub repository: &'a Repository,
    pub layout: &'a Layout,
    pub suite: &'a SuiteOptions,
    pub distribution: &'a Distribution,
    pub base: &'a Source,
}

impl<'a> Target<'a> {
    /// The distribution's additional sources with their priorities.
    pub fn extra_sources(&self, catalog: &'a Catalog) -> impl Iterator<Item = (&'a Source, i32)> {
        let extra = self.distribution.extra_sources.iter();
        extra.filter_map(|extra| Some((catalog.source(&extra.source)?, extra.priority)))
    }
}

/// Finds where the field Distribution leads.
pub fn find<'a>(catalog: &'a Catalog, distribution: &str) -> Result<Target<'a>, Rejection> {
    let diststr = catalog.resolve(distribution)?;
    let name = diststr.to_string();
    let Some((repository, status)) = catalog.repository(&diststr.repository) else {
        return Err(Rejection::NoRepository {
            distribution: name,
            repository: diststr.repository.to_string(),
        });
    };
    let no_codename = || Rejection::NoCodename {
        distribution: name.clone(),
        repository: repository.identity.to_string(),
        codename: diststr.codename.to_string(),
    };
    if !repository.distributions.contains(&diststr.codename) {
        return Err(no_codename());
    }
    let distribution = catalog
        .distribution(&diststr.codename)
        .ok_or_else(no_codename)?;
    let no_suite = || Rejection::NoSuite {
        distribution: name.clone(),
        suite: diststr.suite.to_string(),
        layout: repository.layout.clone(),
    };
    let layout = catalog.layout(&repository.layout).ok_or_else(no_suite)?;
    let suite = layout.suite(&diststr.suite).ok_or_else(no_suite)?;
    if diststr.rollback.is_some() || !suite.uploadable {
        return Err(Rejection::NotUploadable(name));
    }
    let not_active = |item: String| Rejection::NotActive {
        distribution: name.clone(),
        item,
    };
    if !status.is_active() {
        return Err(not_active(format!("repository '{}'", repository.identity)));
    }
    let base = catalog
        .source(&distribution.base_source)
        .ok_or_else(|| not_active(format!("source '{}'", distribution.base_source)))?;
    Ok(Target {
        diststr: diststr.clone(),
        repository,
        layout,
        suite,
        distribution,
        base,
    })
}

/// Holds a version against the suite's rule and what the repository has.
pub fn check_version(
    target: &Target<'_>,
    source: &PackageName,
    version: &Version,
    installed: &[Listed],
) -> Result<(), Rejection> {
    version_scheme::check_mandatory(
        target.layout,
        target.suite,
        target.repository.identity.as_str(),
        &target.base.codeversion,
        version,
    )?;
    let mut in_dists = installed
        .iter()
        .filter(|listed| listed.diststr.rollback.is_none());
    if let Some(same) = in_dists.find(|listed| listed.version == *version) {
        return Err(Rejection::AlreadyInstalled {
            source_package: source.to_string(),
            version: version.clone(),
            diststr: same.diststr.to_string(),
        });
    }
    check_not_lower(&target.diststr, version, installed)
}

/// Refuses to go back in a dist.
pub fn check_not_lower(
    diststr: &Diststr,
    version: &Version,
    installed: &[Listed],
) -> Result<(), Rejection> {
    let higher = installed
        .iter()
        .find(|listed| listed.diststr == *diststr && listed.version > *version);
    match higher {
        Some(higher) => Err(Rejection::Lower {
            version: version.clone(),
            installed: higher.version.clone(),
            diststr: diststr.to_string(),
        }),
        None => Ok(()),
    }
}
