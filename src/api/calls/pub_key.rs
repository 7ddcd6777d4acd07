use serde_json::Value;

use crate::api::{Arguments, Auth, Call, CallError, Context};

pub(super) const CALL: Call = Call {
    name: "pub_key",
    doc: "Get the public keys of this instance\n\n\
          They sign the repositories (for apt) and what instances send each other. ASCII-armored, in one block.\n\n\
          More than one while a key takes the place of another: whoever has the former one alone needs the new one.",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

async fn run(context: &Context, _arguments: &Arguments) -> Result<Value, CallError> {
    let keys = context.instance.keys.now().signing();
    let armored = keys.public_armored().map_err(|error| CallError::Failed {
        action: "write the public keys",
        source: Box::new(error),
    })?;
    Ok(armored.into())
}
