//! Arguments that several calls have.
use crate::api::argument::Argument;
use crate::api::{Arguments, CallError};
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
/// Of lists whose latest come first.
pub(super) const BEFORE: Argument<Option<i64>> =
    Argument::option("before", 'b', "", "Only those with ids below this");
pub(super) const LIMIT: Argument<i64> =
    Argument::option("limit", 'n', "100", "At most so many: 1 to 1000");

const MOST: i64 = 1000;

/// What was given for [`LIMIT`].
pub(super) fn limit(arguments: &Arguments) -> Result<u32, CallError> {
    let limit = arguments.get(&LIMIT)?;
    u32::try_from(limit)
        .ok()
        .filter(|_| (1..=MOST).contains(&limit))
        .ok_or_else(|| CallError::Refused(format!("limit must be 1 to {MOST}")))
}
