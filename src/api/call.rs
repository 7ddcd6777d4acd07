//! A call, who may make it, and what can go wrong.
use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

use crate::cause::with_causes;
use crate::instance::Instance;
use crate::model::user::UserName;
use crate::repositories::{self, Repositories};
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
    /// Changes something: a browser asks for it by POST only.
    pub changes: bool,
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
        name: UserName,
        staff: bool,
        superuser: bool,
        /// The calls that the token is good for; `None`: all.
        calls: Option<BTreeSet<String>>,
    },
}

/// What a call works on.
pub struct Context {
    /// Name of the call.
    pub call: &'static str,
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
    #[error("This token is not good for API call '{0}'")]
    OutOfScope(&'static str),
    #[error("API call '{0}' is not available yet")]
    NotAvailable(&'static str),
    #[error("API call '{0}' needs a running daemon")]
    NotRunning(&'static str),
    #[error("API call '{0}' needs to be confirmed: {0}")]
    Unconfirmed(&'static str),
    /// The user's mistake.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    NotFound(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
    /// Nothing that the user could mend; not told in public.
    #[error("can't {action}")]
    Failed {
        action: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CallError {
    /// Nothing that the user could mend.
    pub fn failed(
        action: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> CallError {
        CallError::Failed {
            action,
            source: Box::new(source),
        }
    }
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

    /// Checks the role, and what a token is good for.
    pub fn permit_role(&self, caller: &Caller) -> Result<(), CallError> {
        if !self.auth.allows(caller) {
            return Err(CallError::Unauthorized {
                call: self.name,
                needs: self.auth,
            });
        }
        if !caller.is_good_for(self.name) {
            return Err(CallError::OutOfScope(self.name));
        }
        Ok(())
    }

    fn permit(
        &self,
        caller: &Caller,
        is_running: impl FnOnce() -> bool,
        confirmed: Option<&str>,
    ) -> Result<(), CallError> {
        self.permit_role(caller)?;
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

impl Caller {
    fn is_good_for(&self, call: &str) -> bool {
        match self {
            Caller::User {
                calls: Some(calls), ..
            } => calls.contains(call),
            Caller::User { calls: None, .. } | Caller::Anonymous => true,
        }
    }

    /// Who is logged in; nobody gets further than [`Auth::Login`] who isn't.
    pub fn user(&self) -> Option<&UserName> {
        match self {
            Caller::User { name, .. } => Some(name),
            Caller::Anonymous => None,
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
            Caller::User { name, .. } => name.fmt(f),
        }
    }
}

impl Context {
    fn is_running(&self) -> bool {
        self.instance.builder.load() >= 0.0
    }

    /// Who asks; calls for those who are logged in need no other answer.
    pub fn user(&self) -> Result<UserName, CallError> {
        let nobody = || CallError::Refused("Nobody is logged in".into());
        self.caller.user().cloned().ok_or_else(nobody)
    }

    /// Works on repositories, beside the async threads.
    pub async fn repositories<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Repositories) -> Result<T, repositories::Error> + Send + 'static,
    ) -> Result<T, CallError> {
        let repositories = self.instance.repositories.clone();
        let done = tokio::task::spawn_blocking(move || work(&repositories)).await;
        let done = done.map_err(|stopped| CallError::failed("work on repositories", stopped))?;
        done.map_err(|error| {
            if error.is_mistake() {
                CallError::Refused(with_causes(&error))
            } else {
                CallError::failed("work on repositories", error)
            }
        })
    }

    /// Works on repositories, publishes, and tells of it before the call ends.
    pub async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Repositories) -> Result<T, repositories::Error> + Send + 'static,
    ) -> Result<T, CallError> {
        let done = self.repositories(work).await?;
        self.publish().await?;
        Ok(done)
    }

    /// Publishes what changed, and tells of it.
    pub async fn publish(&self) -> Result<(), CallError> {
        let publication = Arc::clone(&self.instance.publication);
        blocking("publish", move || publication.publish()).await
    }

    /// Writes to the database, beside the async threads.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, CallError> {
        let store = self.instance.store.clone();
        blocking("write to the database", move || store.write(work)).await
    }

    /// Reads a few rows that are in memory, on this thread: another one would take longer than they do.
    pub fn read_here<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, store::Error>,
    ) -> Result<T, CallError> {
        let read = self.instance.store.read(work);
        read.map_err(|error| CallError::failed("read the database", error))
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
        changes: true,
        arguments: &[],
        run: |_, _| Box::pin(async { Ok(Value::Null) }),
    };

    fn user(staff: bool, superuser: bool) -> Caller {
        Caller::User {
            name: "u".parse().unwrap(),
            staff,
            superuser,
            calls: None,
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
