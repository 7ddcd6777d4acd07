//! `subscribe` and `unsubscribe`: whom to tell of which packages.
use serde_json::{Value, json};

use crate::api::argument::Argument;
use crate::api::{Arguments, Auth, Call, CallError, Context};
use crate::deb::PackageName;
use crate::store::users::{self, Subscription};

pub(super) const SUBSCRIBE: Call = Call {
    name: "subscribe",
    doc: "Be told of packages by mail\n\n\
          Without a source of any, without a distribution of those in any. Letters are sent where the daemon has a\n\
          relay (--smtp), to the user's address.",
    auth: Auth::Login,
    running: false,
    confirm: false,
    changes: true,
    arguments: &[SOURCE.spec, DISTRIBUTION.spec],
    run: |context, arguments| Box::pin(subscribe(context, arguments)),
};

pub(super) const UNSUBSCRIBE: Call = Call {
    name: "unsubscribe",
    doc: "Be told of packages no more\n\n\
          Of a source, of a distribution; without them, of all that was subscribed to.",
    auth: Auth::Login,
    running: false,
    confirm: false,
    changes: true,
    arguments: &[SOURCE.spec, DISTRIBUTION.spec],
    run: |context, arguments| Box::pin(unsubscribe(context, arguments)),
};

const SOURCE: Argument<Option<PackageName>> =
    Argument::optional("source", "Name of a source package");
const DISTRIBUTION: Argument<String> =
    Argument::optional("distribution", "CODENAME-REPOSITORY-SUITE");

/// The distribution must be one of ours.
async fn read(context: &Context, arguments: &Arguments) -> Result<Subscription, CallError> {
    let source = arguments.get(&SOURCE)?;
    let mut distribution = arguments.get(&DISTRIBUTION)?;
    if !distribution.is_empty() {
        let known = context
            .repositories(move |all| all.resolve(&distribution))
            .await?;
        distribution = known.to_string();
    }
    Ok(Subscription {
        package: source.map(String::from).unwrap_or_default(),
        distribution,
    })
}

async fn subscribe(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let user = context.user()?;
    let wanted = read(context, arguments).await?;
    let Subscription {
        package,
        distribution,
    } = wanted.clone();
    let created = context
        .write(move |tx| users::subscribe(tx, &user, &wanted))
        .await?;
    Ok(json!({"created": created, "source": package, "distribution": distribution}))
}

async fn unsubscribe(context: &Context, arguments: &Arguments) -> Result<Value, CallError> {
    let user = context.user()?;
    let given = read(context, arguments).await?;
    let removed = context
        .write(move |tx| {
            let is_meant = |given: &str, present: &str| given.is_empty() || given == present;
            let mut found = users::subscriptions(tx, &user)?;
            found.retain(|present| {
                is_meant(&given.package, &present.package)
                    && is_meant(&given.distribution, &present.distribution)
            });
            for subscription in &found {
                users::unsubscribe(tx, &user, subscription)?;
            }
            Ok(found)
        })
        .await?;
    let removed = removed.into_iter();
    let removed = removed.map(
        |Subscription {
             package,
             distribution,
         }| { json!({"source": package, "distribution": distribution}) },
    );
    Ok(removed.collect())
}
