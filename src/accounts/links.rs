//! What people do without an administrator: register, and set a password anew; both by a link that is mailed to them.
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use crate::model::user::User;
use crate::model::{Item as _, Uploader};
use crate::store::links::{self, Purpose};
use crate::store::{items, users};

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
            let name = user.name.as_str();
            // An uploader that has no account is of somebody else, too.
            if users::get(tx, name)?.is_some() || items::get::<Uploader>(tx, name)?.is_some() {
                return Err(Error::Taken(name.to_owned()));
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
    pub fn forgot(&self, email: &str, now: Timestamp) -> Result<Vec<(User, String)>, Error> {
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
    pub fn take_letter(&self, address: IpAddr, now: Timestamp) -> Result<(), Error> {
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
    use crate::model::Status;
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
        assert!(accounts.forgot("jo@example.org", now).unwrap().is_empty());
        accounts.activate("jo", &secret, now).unwrap();
        assert!(accounts.forgot("x@example.org", now).unwrap().is_empty());
        let mailed = accounts.forgot("JO@example.org", now).unwrap();
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
        let refused = (0..20).find_map(|_| accounts.take_letter(HERE, now).err());
        assert!(matches!(refused, Some(Error::Letters { .. })));
    }

    #[test]
    fn links_end_with_what_they_were_mailed_for() {
        let (_directory, accounts) = accounts();
        let now = Timestamp::now();
        let secret = accounts.register(&jo(), "pw", HERE, now).unwrap();
        let set = |change: fn(&mut User)| {
            accounts.store.write(|tx| {
                let (mut user, _) = users::get(tx, "jo")?.unwrap();
                change(&mut user);
                users::put(tx, &user)
            })
        };
        let mailed = || accounts.forgot("jo@example.org", now).unwrap().remove(0).1;
        // An administrator lets somebody in, and thinks better of it.
        set(|user| user.active = true).unwrap();
        let reset = mailed();
        set(|user| user.active = false).unwrap();
        assert!(!accounts.activate("jo", &secret, now).unwrap());
        assert!(!accounts.may_reset("jo", &reset, now).unwrap());

        set(|user| user.active = true).unwrap();
        let reset = mailed();
        let changed = accounts.change_password(&jo(), ["pw", "new"], HERE, now);
        assert!(changed.unwrap());
        assert!(!accounts.may_reset("jo", &reset, now).unwrap());

        let reset = mailed();
        set(|user| user.staff = true).unwrap();
        assert!(accounts.may_reset("jo", &reset, now).unwrap());
        set(|user| user.email = "other@example.org".into()).unwrap();
        assert!(!accounts.may_reset("jo", &reset, now).unwrap());
    }

    #[test]
    fn nobody_registers_as_an_uploader_and_a_key_ends_with_its_user() {
        let (_directory, accounts) = accounts();
        let now = Timestamp::now();
        let status = || {
            let found = accounts.store.read(|tx| items::get::<Uploader>(tx, "jo"));
            found.unwrap().map(|(_, status)| status)
        };
        let active = Status::Active { checked: now };
        let put = || {
            let uploader = Uploader {
                user: "jo".into(),
                key: String::new(),
                may_upload_to: Vec::new(),
            };
            accounts
                .store
                .write(|tx| items::put(tx, &uploader, active))
                .unwrap();
        };
        put();
        let refused = accounts.register(&jo(), "pw", HERE, now);
        assert!(matches!(refused, Err(Error::Taken(_))), "{refused:?}");
        assert_eq!(status(), Some(active));

        let removed = accounts
            .store
            .write(|tx| items::remove::<Uploader>(tx, "jo"));
        assert!(removed.unwrap());
        let secret = accounts.register(&jo(), "pw", HERE, now).unwrap();
        accounts.activate("jo", &secret, now).unwrap();
        put();
        let inactive = User {
            active: false,
            ..jo()
        };
        accounts
            .store
            .write(|tx| users::put(tx, &inactive))
            .unwrap();
        assert!(status().is_some_and(|status| !status.is_active()));
        put();
        let removed = accounts.store.write(|tx| users::remove(tx, &jo().name));
        assert!(removed.unwrap());
        assert_eq!(status(), None);
    }
}
