use serde_json::{Value, json};

use crate::api::argument::Argument;
use crate::api::{Arguments, Auth, Call, CallError, Context};

use super::arguments::{SOURCE, WHICH_VERSION};

pub(super) const CALL: Call = Call {
    name: "remove",
    doc: "Remove a source package with its binaries\n\n\
          From a distribution into its rollbacks; from a rollback for good, and those behind it move up.",
    auth: Auth::Admin,
    running: false,
    confirm: true,
    changes: true,
    arguments: &[
        SOURCE.spec,
        DISTRIBUTION.spec,
        WITHOUT_ROLLBACK.spec,
        WHICH_VERSION.spec,
    ],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

const DISTRIBUTION: Argument<String> = Argument::positional(
    "distribution",
    "From here: CODENAME-REPOSITORY-SUITE[-rollbackN]",
);
const WITHOUT_ROLLBACK: Argument<bool> = Argument::long(
    "without_rollback",
    "False",
    "Don't keep it in the rollbacks",
);

async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let (source, distribution) = (arguments.get(&SOURCE)?, arguments.get(&DISTRIBUTION)?);
    let (version, without) = (
        arguments.get(&WHICH_VERSION)?,
        arguments.get(&WITHOUT_ROLLBACK)?,
    );
    context
        .change(move |repositories| {
            let from = repositories.resolve(&distribution)?;
            repositories.remove(&source, &from, version.as_ref(), without)
        })
        .await?;
    Ok(json!({}))
}
