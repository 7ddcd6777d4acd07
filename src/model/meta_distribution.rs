//! Meta-distributions: names like `unstable` that a layout maps to a distribution of its repositories.
use crate::model::diststr::Malformed;
use crate::model::{Diststr, Layout, Repository};

/// The distribution string that a field Distribution stands for.
pub fn resolve<'a>(
    distribution: &str,
    repositories: impl IntoIterator<Item = (&'a Repository, &'a Layout)>,
) -> Result<Diststr, Malformed> {
    for (repository, layout) in repositories {
        let Some(target) = layout.meta_distributions.get(distribution) else {
            continue;
        };
        let Some((codename, suite)) = target.split_once('-') else {
            continue;
        };
        if repository.distributions.iter().any(|of| of.as_str() == codename) {
            return format!("{codename}-{}-{suite}", repository.identity).parse();
        }
    }
    distribution.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debdev(codename: &str) -> (Repository, Layout) {
        let mut layout = Layout::standard();
        let target = ("unstable".to_owned(), "sid-unstable".to_owned());
        layout.meta_distributions = [target].into();
        let repository = Repository {
            identity: "debdev".parse().unwrap(),
            layout: layout.name.clone(),
            distributions: vec![codename.parse().unwrap()],
            allow_unauthenticated_uploads: false,
            extra_uploader_keyrings: Vec::new(),
        };
        (repository, layout)
    }

    #[test]
    fn meta_name_leads_to_the_repository_whose_layout_maps_it() {
        let (repository, layout) = debdev("sid");
        let diststr = resolve("unstable", [(&repository, &layout)]).unwrap();
        assert_eq!(diststr.to_string(), "sid-debdev-unstable");
    }

    #[test]
    fn meta_name_of_a_codename_that_is_not_there_is_malformed() {
        let (repository, layout) = debdev("trixie");
        assert!(resolve("unstable", [(&repository, &layout)]).is_err());
    }

    #[test]
    fn other_names_stand_for_themselves() {
        let diststr = resolve("trixie-test-stable", []).unwrap();
        assert_eq!(diststr.to_string(), "trixie-test-stable");
    }
}
