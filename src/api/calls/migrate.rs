use serde_json::{Value, json};

use crate::api::argument::Argument;
use crate::api::{Arguments, Auth, Call, CallError, Context};

use super::arguments::{SOURCE, WHICH_VERSION};

pub(super) const CALL: Call = Call {
    name: "migrate",
    doc: "Migrate a source package with its binaries\n\n\
          To where the suite migrates; from a rollback, back into its distribution, which must have none.",
    auth: Auth::Staff,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[
        SOURCE.spec,
        DISTRIBUTION.spec,
        FULL.spec,
        WHICH_VERSION.spec,
    ],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

const DISTRIBUTION: Argument<String> = Argument::positional(
    "distribution",
    "From here: CODENAME-REPOSITORY-SUITE[-rollbackN]",
);
const FULL: Argument<bool> = Argument::option("full", 'F', "False", "Migrate all the way up");

async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let (source, distribution) = (arguments.get(&SOURCE)?, arguments.get(&DISTRIBUTION)?);
    let (full, version) = (arguments.get(&FULL)?, arguments.get(&WHICH_VERSION)?);
    context
        .change(move |repositories| {
            let from = repositories.resolve(&distribution)?;
            repositories.migrate(&source, &from, version.as_ref(), full)
        })
        .await?;
    Ok(json!({}))
}
