//! A call, who may make it, and what can go wrong.
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

use crate::instance::Instance;
use crate::store::{self, Transaction};

use super::{Arguments, Spec};

/// Something users can ask for.
#[derive(Debug)]
pub struct Call {
    pub name: &'static str,
    /// First line: what it does. After an empty line: the rest.
    pub doc: &'static str,
    pub auth: Auth,
    /// Needs a running daemon.
    pub running: bool,
    /// Must be confirmed with its name.
    pub confirm: bool,
    pub arguments: &'static [Spec],
    pub run: Run,
}

pub type Run = for<'a> fn(&'a Context, &'a Arguments) -> Running<'a>;
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Value, CallError>> + Send + 'a>>;

/// Role that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    None,
    /// Any active user.
    Login,
    Staff,
    Admin,
}

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
    User {
        name: String,
        staff: bool,
        superuser: bool,
    },
}

/// What a call works on.
pub struct Context {
    pub instance: Arc<Instance>,
    pub caller: Caller,
    /// Name of the call that the caller confirms.
    pub confirmed: Option<String>,
}

/// Why a call gave no result; what users see of it is in stock's words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    #[error("Missing required argument: {0}: given=None, _default=None")]
    Missing(&'static str),
    #[error("Invalid argument: {argument}='{given}': {fault}")]
    Malformed {
        argument: &'static str,
        given: String,
        fault: String,
    },
    #[error("API call '{call}' needs authorization: {needs}")]
    Unauthorized { call: &'static str, needs: Auth },
    #[error("API call '{0}' needs a running daemon")]
    NotRunning(&'static str),
    #[error("API call '{0}' needs to be confirmed: {0}")]
    Unconfirmed(&'static str),
    /// The user's mistake.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    NotFound(String),
    /// Nothing that the user could mend; not told in public.
    #[error("can't {action}")]
    Failed {
        action: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Call {
    /// First line of the documentation.
    pub fn summary(&self) -> &'static str {
        self.doc.lines().next().unwrap_or_default()
    }

    /// Checks arguments, role, daemon and confirmation in this order, then runs.
    pub async fn run(
        &self,
        context: &Context,
        query: &[(String, String)],
    ) -> Result<Value, CallError> {
        let arguments = Arguments::read(self.arguments, query)?;
        let confirmed = context.confirmed.as_deref();
        self.permit(&context.caller, || context.is_running(), confirmed)?;
        (self.run)(context, &arguments).await
    }

    fn permit(
        &self,
        caller: &Caller,
        is_running: impl FnOnce() -> bool,
        confirmed: Option<&str>,
    ) -> Result<(), CallError> {
        if !self.auth.allows(caller) {
            return Err(CallError::Unauthorized {
                call: self.name,
                needs: self.auth,
            });
        }
        if self.running && !is_running() {
            return Err(CallError::NotRunning(self.name));
        }
        if self.confirm && confirmed != Some(self.name) {
            return Err(CallError::Unconfirmed(self.name));
        }
        Ok(())
    }
}

impl Auth {
    pub fn allows(self, caller: &Caller) -> bool {
        match (self, caller) {
            (Auth::None, _) | (Auth::Login, Caller::User { .. }) => true,
            (Auth::Staff, Caller::User { staff, .. }) => *staff,
            (Auth::Admin, Caller::User { superuser, .. }) => *superuser,
            (Auth::Login | Auth::Staff | Auth::Admin, Caller::Anonymous) => false,
        }
    }
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Auth::None => "NONE",
            Auth::Login => "LOGIN",
            Auth::Staff => "STAFF",
            Auth::Admin => "ADMIN",
        })
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Anonymous => f.write_str("AnonymousUser"),
            Caller::User { name, .. } => f.write_str(name),
        }
    }
}

impl Context {
    fn is_running(&self) -> bool {
        self.instance.builder.load() >= 0.0
    }

    /// Reads from the database, beside the async threads.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, CallError> {
        let store = self.instance.store.clone();
        blocking("read the database", move || store.read(work)).await
    }
}

/// Runs work that waits for disks beside the async threads.
pub(super) async fn blocking<T, E>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, CallError>
where
    T: Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let failed = |source| CallError::Failed { action, source };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|stopped| failed(Box::new(stopped)))?
        .map_err(|error| failed(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call = Call {
        name: "start",
        doc: "Start the daemon",
        auth: Auth::Staff,
        running: true,
        confirm: true,
        arguments: &[],
        run: |_, _| Box::pin(async { Ok(Value::Null) }),
    };

    fn user(staff: bool, superuser: bool) -> Caller {
        Caller::User {
            name: "u".into(),
            staff,
            superuser,
        }
    }

    #[test]
    fn role_comes_before_daemon_before_confirmation() {
        let refusal = |caller, running, confirmed| {
            CALL.permit(&caller, || running, confirmed)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refusal(Caller::Anonymous, false, None),
            "API call 'start' needs authorization: STAFF"
        );
        assert_eq!(
            refusal(user(true, false), false, None),
            "API call 'start' needs a running daemon"
        );
        assert_eq!(
            refusal(user(true, false), true, Some("stop")),
            "API call 'start' needs to be confirmed: start"
        );
        assert!(
            CALL.permit(&user(true, false), || true, Some("start"))
                .is_ok()
        );
    }

    #[test]
    fn superuser_without_staff_flag_is_no_staff() {
        assert!(!Auth::Staff.allows(&user(false, true)));
        assert!(Auth::Admin.allows(&user(false, true)));
        assert!(Auth::Login.allows(&user(false, false)));
        assert!(!Auth::Login.allows(&Caller::Anonymous));
        assert!(Auth::None.allows(&Caller::Anonymous));
    }
}
