use serde_json::Value;

use crate::api::argument::Argument;
use crate::api::call::blocking;
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::chroots::Chroots;
use crate::chroots::comparison::SourceFiles;
use crate::deb::Version;
use crate::model::repository::Identity;
use crate::store::catalog::Catalog;

use super::arguments::SOURCE;

pub(super) const CALL: Call = Call {
    name: "debdiff",
    doc: "Compare two versions of a source package\n\n\
          Both are unpacked in a throw-away copy of a chroot, and compared by diff -Nru.",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[SOURCE.spec, REPOSITORY.spec, OLD.spec, NEW.spec],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

const REPOSITORY: Argument<Identity> =
    Argument::positional("repository", "The repository that has it");
const OLD: Argument<Option<Version>> = Argument::option(
    "versiona",
    'a',
    "",
    "The one version; without it, the highest that is lower than the other",
);
const NEW: Argument<Option<Version>> = Argument::option(
    "versionb",
    'b',
    "",
    "The other version; without it, the highest that there is",
);

async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let (source, repository) = (arguments.get(&SOURCE)?, arguments.get(&REPOSITORY)?);
    let given = [arguments.get(&OLD)?, arguments.get(&NEW)?];
    let packages = context
        .repositories(move |repositories| {
            let listed = repositories.list(&source)?.into_iter();
            let here = listed.filter(|listed| listed.diststr.repository == repository);
            let Some(versions) = choose(given, here.map(|listed| listed.version).collect()) else {
                return Ok(None);
            };
            let files = |version: &Version| {
                Ok::<_, crate::repositories::Error>(SourceFiles {
                    title: format!("{source}-{}", version.without_epoch()),
                    files: repositories.source_files(&repository, &source, version)?,
                })
            };
            Ok(Some([files(&versions[0])?, files(&versions[1])?]))
        })
        .await?;
    let two = "There are no two versions to compare; name them with versiona and versionb";
    let [old, new] = packages.ok_or_else(|| CallError::Refused(two.into()))?;
    let Ok(_only) = context.instance.comparing.try_acquire() else {
        let busy = "Other source packages are being compared; try again soon";
        return Err(CallError::Unavailable(busy.into()));
    };
    let catalog = context.read(Catalog::load).await?;
    let home = context.instance.home.clone();
    let compared = blocking("compare source packages", move || {
        let chroots = Chroots::of_caller(home)?;
        let chroot = catalog.chroots().find(|chroot| chroots.exists(chroot));
        chroot
            .map(|chroot| chroots.compare(chroot, [&old, &new]))
            .transpose()
    });
    let nowhere = "There is no chroot to unpack source packages in; make one with: mini-buildd up";
    let difference = compared
        .await?
        .ok_or_else(|| CallError::Refused(nowhere.into()))?;
    Ok(difference.into())
}

/// Versions as given, else from those that there are.
fn choose([old, new]: [Option<Version>; 2], mut known: Vec<Version>) -> Option<[Version; 2]> {
    known.sort();
    let new = new.or_else(|| known.last().cloned())?;
    let old = old.or_else(|| known.into_iter().rfind(|version| *version < new))?;
    Some([old, new])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_highest_versions_are_compared_unless_others_are_given() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let known = || ["2", "1", "3", "2"].map(version).to_vec();
        let chosen = |old: Option<&str>, new: Option<&str>| {
            choose([old.map(version), new.map(version)], known())
        };
        assert_eq!(chosen(None, None), Some(["2", "3"].map(version)));
        assert_eq!(chosen(None, Some("2")), Some(["1", "2"].map(version)));
        assert_eq!(chosen(Some("1"), None), Some(["1", "3"].map(version)));
        assert_eq!(chosen(Some("9"), Some("7")), Some(["9", "7"].map(version)));
        assert_eq!(chosen(None, Some("1")), None);
        assert_eq!(choose([None, None], Vec::new()), None);
    }
}
