use std::io;

use serde_json::{Value, json};

use crate::api::argument::Argument;
use crate::api::call::blocking;
use crate::api::{Arguments, Auth, Call, CallError, Context, json};
use crate::model::Address;

pub(super) const CALL: Call = Call {
    name: "dput_conf",
    doc: "Get recommended dput configuration\n\n\
          For ~/.dput.cf; what the administrator keeps in etc/dput.cf follows verbatim.",
    auth: Auth::None,
    running: false,
    confirm: false,
    changes: false,
    arguments: &[DPUT_NG_PROFILE.spec],
    run: |context, arguments| Box::pin(run(context, arguments)),
};

const DPUT_NG_PROFILE: Argument<bool> = Argument::option(
    "dput_ng_profile",
    'N',
    "False",
    "Get a profile of dput-ng instead (JSON), to be saved as ~/.dput.d/profiles/NAME.json",
);

async fn run(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let instance = &context.instance;
    let target = Target::of(&instance.address);
    if arguments.get(&DPUT_NG_PROFILE)? {
        return Ok(json::compact(&target.profile()).into());
    }
    let path = instance.home.dput_cf();
    let own = blocking("read etc/dput.cf", move || {
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            text => text,
        }
    })
    .await?;
    Ok(format!("{}{own}", target.section(&instance.daemon.identity)).into())
}

/// Where dput sends to.
struct Target<'a> {
    method: &'a str,
    /// With the port.
    fqdn: &'a str,
}

const LOGIN: &str = "anonymous";
const INCOMING: &str = "/incoming";

impl<'a> Target<'a> {
    fn of(address: &'a Address) -> Target<'a> {
        let url = &address.incoming_url;
        let (method, fqdn) = url.split_once("://").unwrap_or(("ftp", url));
        Target { method, fqdn }
    }

    fn section(&self, identity: &str) -> String {
        let Target { method, fqdn } = self;
        format!(
            "[mini-buildd-{identity}]\n\
             method   = {method}\n\
             fqdn     = {fqdn}\n\
             login    = {LOGIN}\n\
             incoming = {INCOMING}\n"
        )
    }

    fn profile(&self) -> Value {
        json!({
            "method": self.method,
            "fqdn": self.fqdn,
            "login": LOGIN,
            "incoming": INCOMING,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address {
            http_certificate: None,
            incoming_certificate: None,
            hostname: "mbd-peer.localdomain".into(),
            http_url: "http://mbd-peer.localdomain:8066".into(),
            incoming_url: "ftp://mbd-peer.localdomain:8067".into(),
        }
    }

    #[test]
    fn section_is_stocks() {
        assert_eq!(
            Target::of(&address()).section("peer"),
            "[mini-buildd-peer]\nmethod   = ftp\nfqdn     = mbd-peer.localdomain:8067\n\
             login    = anonymous\nincoming = /incoming\n"
        );
    }

    #[test]
    fn profile_has_the_keys_of_dput_ng() {
        assert_eq!(
            json::compact(&Target::of(&address()).profile()),
            r#"{"method": "ftp", "fqdn": "mbd-peer.localdomain:8067", "login": "anonymous", "incoming": "/incoming"}"#
        );
    }
}
