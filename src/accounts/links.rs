//! What people do without an administrator: register, and set a password anew; both by a link that is mailed to them.
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use crate::model::Item as _;
use crate::model::user::User;
use crate::store::links::{self, Purpose};
use crate::store::users;

use super::{Accounts, Error, digest, hash, secret};

/// How long links are good.
const ACTIVATION: SignedDuration = SignedDuration::from_hours(3 * 24);
const RESET: SignedDuration = SignedDuration::from_hours(24);

impl Accounts {
    /// Notes a new user, who may log in once the secret that is returned comes back.
    pub fn register(
        &self,
        user: &User,
        password: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<String, Error> {
        self.take_letter(address, now)?;
        user.validate().map_err(crate::store::Error::from)?;
        let hash = {
            let _one_at_a_time = self.hashing();
            hash(password)?
        };
        let secret = secret()?;
        let pending = User {
            active: false,
            staff: false,
            superuser: false,
            ..user.clone()
        };
        self.store.write(|tx| {
            links::expire(tx, now)?;
            if users::get(tx, user.name.as_str())?.is_some() {
                return Err(Error::Taken(user.name.to_string()));
            }
            users::put(tx, &pending)?;
            users::set_password(tx, &user.name, &hash)?;
            let expires = now.saturating_add(ACTIVATION).unwrap_or(Timestamp::MAX);
            let digest = digest(&secret);
            links::add(tx, &digest, &user.name, Purpose::Activate, expires)?;
            Ok(())
        })?;
        Ok(secret)
    }

    /// Lets a new user log in; `false`: the link is not good.
    pub fn activate(&self, name: &str, secret: &str, now: Timestamp) -> Result<bool, Error> {
        self.store.write(|tx| {
            if !links::take(tx, &digest(secret), name, Purpose::Activate, now)? {
                return Ok(false);
            }
            let Some((user, _)) = users::get(tx, name)? else {
                return Ok(false);
            };
            users::put(
                tx,
                &User {
                    active: true,
                    ..user
                },
            )?;
            Ok(true)
        })
    }

    /// The active users who have this e-mail address, each with the secret of a link; mostly one, or none.
    pub fn forgot(
        &self,
        email: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Vec<(User, String)>, Error> {
        self.take_letter(address, now)?;
        self.store.write(|tx| {
            links::expire(tx, now)?;
            let users = users::all(tx)?.into_iter();
            let of_email = users.filter(|user| {
                user.active && !user.email.is_empty() && user.email.eq_ignore_ascii_case(email)
            });
            of_email
                .map(|user| {
                    let secret = secret()?;
                    let expires = now.saturating_add(RESET).unwrap_or(Timestamp::MAX);
                    links::add(tx, &digest(&secret), &user.name, Purpose::Reset, expires)?;
                    Ok((user, secret))
                })
                .collect()
        })
    }

    /// Tells whether a link to set a password anew is good.
    pub fn may_reset(&self, name: &str, secret: &str, now: Timestamp) -> Result<bool, Error> {
        let digest = digest(secret);
        Ok(self
            .store
            .read(|tx| links::has(tx, &digest, name, Purpose::Reset, now))?)
    }

    /// Sets a password anew; `false`: the link is not good.
    pub fn reset(
        &self,
        name: &str,
        secret: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let hash = {
            let _one_at_a_time = self.hashing();
            hash(password)?
        };
        self.store.write(|tx| {
            if !links::take(tx, &digest(secret), name, Purpose::Reset, now)? {
                return Ok(false);
            }
            let Some((user, _)) = users::get(tx, name)?.filter(|(user, _)| user.active) else {
                return Ok(false);
            };
            users::set_password(tx, &user.name, &hash)?;
            Ok(true)
        })
    }

    /// Sets another password; `false`: the old one is wrong.
    pub fn change_password(
        &self,
        user: &User,
        [old, new]: [&str; 2],
        address: IpAddr,
        now: Timestamp,
    ) -> Result<bool, Error> {
        if self
            .log_in(user.name.as_str(), old, address, now)?
            .is_none()
        {
            return Ok(false);
        }
        super::set_password(&self.store, &user.name, new)?;
        Ok(true)
    }

    /// So many letters may be sent for an address as logins may fail.
    fn take_letter(&self, address: IpAddr, now: Timestamp) -> Result<(), Error> {
        let mut letters = super::locked(&self.letters);
        if let Some(wait) = letters.refused(address, now) {
            let seconds = wait.as_secs().max(1).unsigned_abs();
            return Err(Error::Letters { address, seconds });
        }
        letters.note_failure(address, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::Store;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn accounts() -> (tempfile::TempDir, Accounts) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("db")).unwrap();
        (directory, Accounts::new(Arc::new(store)))
    }

    fn jo() -> User {
        User {
            name: "jo".parse().unwrap(),
            email: "jo@example.org".into(),
            active: true,
            staff: true,
            superuser: true,
        }
    }

    #[test]
    fn who_registers_is_let_in_by_the_link_and_has_no_role() {
        let (_directory, accounts) = accounts();
        let now = Timestamp::now();
        let secret = accounts.register(&jo(), "pw", HERE, now).unwrap();
        let log_in = |password| accounts.log_in("jo", password, HERE, now).unwrap();
        assert!(log_in("pw").is_none());
        let again = accounts.register(&jo(), "other", HERE, now);
        assert!(matches!(again, Err(Error::Taken(_))));
        assert!(!accounts.activate("jo", "guess", now).unwrap());
        assert!(!accounts.activate("admin", &secret, now).unwrap());
        let late = now + ACTIVATION;
        assert!(!accounts.activate("jo", &secret, late).unwrap());
        assert!(accounts.activate("jo", &secret, now).unwrap());
        assert!(!accounts.activate("jo", &secret, now).unwrap(), "good once");
        let user = log_in("pw").unwrap().user;
        assert!(user.active && !user.staff && !user.superuser);
    }

    #[test]
    fn a_name_that_nobody_proved_is_free_again() {
        let (_directory, accounts) = accounts();
        let now = Timestamp::now();
        accounts.register(&jo(), "pw", HERE, now).unwrap();
        let late = now + ACTIVATION;
        let secret = accounts.register(&jo(), "other", HERE, late).unwrap();
        assert!(accounts.activate("jo", &secret, late).unwrap());
    }

    #[test]
    fn a_password_is_set_anew_by_the_link_alone() {
        let (_directory, accounts) = accounts();
        let now = Timestamp::now();
        let secret = accounts.register(&jo(), "pw", HERE, now).unwrap();
        assert!(
            accounts
                .forgot("jo@example.org", HERE, now)
                .unwrap()
                .is_empty()
        );
        accounts.activate("jo", &secret, now).unwrap();
        assert!(
            accounts
                .forgot("x@example.org", HERE, now)
                .unwrap()
                .is_empty()
        );
        let mailed = accounts.forgot("JO@example.org", HERE, now).unwrap();
        let [(user, secret)] = mailed.as_slice() else {
            panic!("{mailed:?}");
        };
        assert_eq!(user.name.as_str(), "jo");
        assert!(!accounts.reset("jo", "guess", "new", now).unwrap());
        assert!(!accounts.reset("jo", secret, "new", now + RESET).unwrap());
        assert!(accounts.may_reset("jo", secret, now).unwrap());
        assert!(accounts.reset("jo", secret, "new", now).unwrap());
        assert!(!accounts.may_reset("jo", secret, now).unwrap());
        assert!(accounts.log_in("jo", "new", HERE, now).unwrap().is_some());
        assert!(accounts.log_in("jo", "pw", HERE, now).unwrap().is_none());
        assert!(
            accounts
                .change_password(user, ["new", "newer"], HERE, now)
                .unwrap()
        );
        assert!(
            !accounts
                .change_password(user, ["new", "other"], HERE, now)
                .unwrap()
        );
    }

    #[test]
    fn nobody_has_a_thousand_letters_sent() {
        let (_directory, accounts) = accounts();
        let now = Timestamp::now();
        let refused = (0..20).find_map(|_| accounts.forgot("x@example.org", HERE, now).err());
        assert!(matches!(refused, Some(Error::Letters { .. })));
    }
}
