//! The first user, who may do everything.
use crate::accounts;
use crate::model::user::{User, UserName};
use crate::store::{Store, users};

use super::Failure;

/// As stock's.
pub(super) const NAME: &str = "admin";

/// Makes the administrator, with a new password, where there is no user at all.
pub(super) fn first(store: &Store) -> Result<Option<String>, Failure> {
    if !store.read(users::all)?.is_empty() {
        return Ok(None);
    }
    let password = accounts::generate_password()?;
    set_password(store, &password)?;
    Ok(Some(password))
}

/// Makes the administrator or lets one in again, with this password.
pub(super) fn set_password(store: &Store, password: &str) -> Result<(), Failure> {
    let name: UserName = NAME.parse()?;
    store.write::<_, Failure>(|tx| {
        let email = users::get(tx, NAME)?.map(|(user, _)| user.email);
        let user = User {
            name: name.clone(),
            email: email.unwrap_or_default(),
            active: true,
            staff: true,
            superuser: true,
        };
        Ok(users::put(tx, &user)?)
    })?;
    Ok(accounts::set_password(store, &name, password)?)
}
