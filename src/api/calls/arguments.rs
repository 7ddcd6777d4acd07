//! Arguments that several calls have.
use crate::api::argument::Argument;
use crate::deb::{Codename, PackageName, Version};
use crate::model::repository::Identity;

pub(super) const SOURCE: Argument<PackageName> =
    Argument::positional("source", "Name of the source package");
pub(super) const REPOSITORIES: Argument<Option<Vec<Identity>>> = Argument::computed(
    "repositories",
    'R',
    "all_repositories",
    "Only these repositories",
);
pub(super) const CODENAMES: Argument<Option<Vec<Codename>>> =
    Argument::computed("codenames", 'C', "all_codenames", "Only these codenames");
/// Of a source that a distribution may have several of.
pub(super) const WHICH_VERSION: Argument<Option<Version>> =
    Argument::option("version", 'V', "", "Which, where there are several");
