use serde_json::Value;

use crate::api::{Arguments, Auth, Call, CallError, Context};

pub(super) const CALL: Call = Call {
    name: "pub_key",
    doc: "Get the public key of this instance\n\n\
          It signs the repositories (for apt) and what instances send each other. ASCII-armored.",
    auth: Auth::None,
    running: false,
    confirm: false,
    arguments: &[],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

async fn run(context: &Context, _arguments: &Arguments) -> Result<Value, CallError> {
    Ok(context.instance.key.public_armored().into())
}
