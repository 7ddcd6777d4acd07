use serde_json::{Value, json};

use crate::api::argument::Argument;
use crate::api::{Arguments, Auth, Call, CallError, Context};

use super::arguments::{LIMIT, limit};

pub(super) const CALL: Call = Call {
    name: "packages",
    doc: "List the source packages of a distribution, page by page\n\n\
          By name. What `next` of a page is, `after` of the next one must be; it is null in the last page.",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[DISTRIBUTION.spec, AFTER.spec, LIMIT.spec],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

const DISTRIBUTION: Argument<String> =
    Argument::positional("distribution", "CODENAME-REPOSITORY-SUITE[-rollbackN]");
const AFTER: Argument<String> = Argument::option(
    "after",
    'a',
    "",
    "Only packages whose names come after this",
);
async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let (distribution, after) = (arguments.get(&DISTRIBUTION)?, arguments.get(&AFTER)?);
    let limit = limit(arguments)?;
    let mut page = context
        .repositories(move |repositories| {
            let diststr = repositories.resolve(&distribution)?;
            // One more tells whether there is more.
            repositories.page(&diststr, &after, limit + 1)
        })
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut next = None;
    if page.len() > limit {
        // Versions of one source are not torn apart, unless they are all that there is.
        let beyond = page[limit].source.clone();
        page.truncate(limit);
        if page.first().is_some_and(|first| first.source != beyond) {
            page.retain(|listed| listed.source != beyond);
        }
        next = page.last().map(|last| last.source.clone());
    }
    let packages = page.into_iter().map(|listed| {
        json!({
            "source": listed.source,
            "version": listed.version,
            "component": listed.component,
            "architectures": listed.architectures,
        })
    });
    Ok(json!({"packages": packages.collect::<Value>(), "next": next}))
}
