//! Logging in: passwords, sessions, tokens. Synchronous; a password takes a tenth of a second.
//!
//! [`Accounts`] answers who somebody is; `links` is what people do by a link that is mailed to them; `attempts` slows down
//! those who guess.
mod attempts;
mod links;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::Argon2;
use argon2::password_hash::{self, PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::deb::hexadecimal;
use crate::model::is_one_line;
use crate::model::user::{User, UserName};
use crate::store::users::Token;
use crate::store::{self, Store, users};

use attempts::Attempts;

/// How long a session lasts (as stock's).
pub const SESSION: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Longer ones are no passwords.
const MAX_PASSWORD: usize = 4096;
/// Bytes of sessions and tokens, from the kernel's random numbers.
const SECRET: usize = 32;
/// Tells tokens from all else.
const TOKEN_PREFIX: &str = "mbd_";
/// The time of a token's last use is this exact.
const USE: SignedDuration = SignedDuration::from_mins(1);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("can't hash a password: {0}")]
    Hash(password_hash::Error),
    #[error("can't get random numbers from the kernel")]
    Random(#[source] std::io::Error),
    #[error("too many failed logins from {address}; try again in {seconds} s")]
    Attempts { address: IpAddr, seconds: u64 },
    #[error("too many letters were asked for from {address}; try again in {seconds} s")]
    Letters { address: IpAddr, seconds: u64 },
    #[error("there is a user {0} already")]
    Taken(String),
    #[error("a password has 1 to {MAX_PASSWORD} bytes")]
    Length,
    #[error("there is no user {0}")]
    NoUser(String),
    #[error("a token needs a title of one line")]
    Title,
    #[error("the work ended early")]
    Ended,
}

/// Who may log in, and who is.
pub struct Accounts {
    store: Arc<Store>,
    /// One at a time: each takes memory (19 MiB) and a processor.
    hashing: Mutex<()>,
    attempts: Mutex<Attempts>,
    /// Asked for, by address.
    letters: Mutex<Attempts>,
}

/// Somebody is logged in.
#[derive(Clone, Debug)]
pub struct Session {
    pub user: User,
    /// What the client shows from now on.
    pub secret: String,
}

impl Accounts {
    pub fn new(store: Arc<Store>) -> Accounts {
        Accounts {
            store,
            hashing: Mutex::new(()),
            attempts: Mutex::default(),
            letters: Mutex::default(),
        }
    }

    /// `None`: no active user has this name and password.
    pub fn log_in(
        &self,
        name: &str,
        password: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Option<Session>, Error> {
        let attempts = || locked(&self.attempts);
        if let Some(wait) = attempts().refused(address, now) {
            let seconds = wait.as_secs().max(1).unsigned_abs();
            return Err(Error::Attempts { address, seconds });
        }
        let found = self.store.read(|tx| users::get(tx, name))?;
        let fits = self.fits(password, found.as_ref().map_or("", |(_, hash)| hash));
        if let Some((user, hash)) = found.filter(|(user, _)| fits && user.active) {
            let secret = secret()?;
            let expires = now.saturating_add(SESSION).unwrap_or(Timestamp::MAX);
            // The password took its time: meanwhile it may have become another one.
            let who = (&user.name, &*hash);
            let is_begun = self
                .store
                .write(|tx| users::begin_session(tx, &digest(&secret), who, [now, expires]))?;
            if is_begun {
                return Ok(Some(Session { user, secret }));
            }
        }
        // Who logs in as one user is not forgiven for guessing at another.
        attempts().note_failure(address, now);
        Ok(None)
    }

    /// Takes as long where there is nobody.
    fn fits(&self, password: &str, hash: &str) -> bool {
        let _one_at_a_time = self.hashing();
        if password.len() > MAX_PASSWORD {
            return false;
        }
        let Ok(hash) = PasswordHash::new(hash) else {
            let salt = SaltString::encode_b64(&[0; 16]);
            let _ = salt.map(|salt| {
                Argon2::default()
                    .hash_password(password.as_bytes(), &salt)
                    .is_ok()
            });
            return false;
        };
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    }

    pub fn user(&self, name: &str) -> Result<Option<User>, Error> {
        let found = self.store.read(|tx| users::get(tx, name))?;
        Ok(found.map(|(user, _)| user))
    }

    fn hashing(&self) -> MutexGuard<'_, ()> {
        locked(&self.hashing)
    }

    pub fn of_session(&self, secret: &str, now: Timestamp) -> Result<Option<User>, Error> {
        let digest = digest(secret);
        Ok(self.store.read(|tx| users::of_session(tx, &digest, now))?)
    }

    pub fn log_out(&self, secret: &str) -> Result<(), Error> {
        let digest = digest(secret);
        Ok(self.store.write(|tx| users::end_session(tx, &digest))?)
    }

    /// The user of a token, and what it is good for.
    pub fn of_token(&self, secret: &str, now: Timestamp) -> Result<Option<(User, Token)>, Error> {
        let digest = digest(secret);
        let found = self.store.read(|tx| users::of_token(tx, &digest, now))?;
        if let Some((_, token)) = &found
            && token
                .used
                .is_none_or(|used| now.duration_since(used) >= USE)
        {
            self.store.write(|tx| users::note_use(tx, token.id, now))?;
        }
        Ok(found)
    }
}

/// Makes a user log in with this password from now on, and ends the sessions of the one before.
pub fn set_password(store: &Store, name: &UserName, password: &str) -> Result<(), Error> {
    let hash = hash(password)?;
    store.write(|tx| {
        users::get(tx, name.as_str())?.ok_or_else(|| Error::NoUser(name.to_string()))?;
        Ok(users::set_password(tx, name, &hash)?)
    })
}

fn hash(password: &str) -> Result<String, Error> {
    if password.is_empty() || password.len() > MAX_PASSWORD {
        return Err(Error::Length);
    }
    let salt = SaltString::encode_b64(&random::<16>()?).map_err(Error::Hash)?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map_err(Error::Hash)?;
    Ok(hash.to_string())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a token of a user; only what is returned ever shows it.
pub fn make_token(
    store: &Store,
    name: &UserName,
    title: &str,
    calls: Option<&BTreeSet<String>>,
    expires: Option<Timestamp>,
) -> Result<(i64, String), Error> {
    if title.trim().is_empty() || !is_one_line(title) {
        return Err(Error::Title);
    }
    let token = format!("{TOKEN_PREFIX}{}", secret()?);
    let id = store.write(|tx| {
        users::get(tx, name.as_str())?.ok_or_else(|| Error::NoUser(name.to_string()))?;
        let digest = digest(&token);
        Ok::<_, Error>(users::add_token(tx, &digest, name, title, calls, expires)?)
    })?;
    Ok((id, token))
}

/// A password for somebody who has none: 128 bits, easy to type.
pub fn generate_password() -> Result<String, Error> {
    Ok(hexadecimal(&random::<16>()?))
}

/// What nobody can guess.
pub fn secret() -> Result<String, Error> {
    Ok(hexadecimal(&random::<SECRET>()?))
}

fn digest(secret: &str) -> String {
    hexadecimal(&Sha256::digest(secret.as_bytes()))
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    // Up to 256 bytes come at once (getrandom(2)).
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match got {
        Ok(length) if length == N => Ok(bytes),
        Ok(_) => Err(Error::Random(std::io::ErrorKind::UnexpectedEof.into())),
        Err(errno) => Err(Error::Random(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn with_user() -> (tempfile::TempDir, Arc<Store>, User) {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&directory.path().join("db")).unwrap());
        let user = User {
            name: "jo".parse().unwrap(),
            email: "jo@example.org".into(),
            active: true,
            staff: true,
            superuser: false,
        };
        store.write(|tx| users::put(tx, &user)).unwrap();
        set_password(&store, &user.name, "secret ü").unwrap();
        (directory, store, user)
    }

    #[test]
    fn a_session_lasts_until_it_is_over_or_ended() {
        let (_directory, store, user) = with_user();
        let accounts = Accounts::new(Arc::clone(&store));
        let now = Timestamp::now();
        assert!(
            accounts
                .log_in("jo", "secret", HERE, now)
                .unwrap()
                .is_none()
        );
        assert!(
            accounts
                .log_in("nobody", "secret ü", HERE, now)
                .unwrap()
                .is_none()
        );
        let session = accounts
            .log_in("jo", "secret ü", HERE, now)
            .unwrap()
            .unwrap();
        assert_eq!(session.user, user);
        // Another process knows it too.
        let accounts = Accounts::new(store);
        assert_eq!(
            accounts.of_session(&session.secret, now).unwrap(),
            Some(user)
        );
        assert_eq!(accounts.of_session("", now).unwrap(), None);
        let later = now + SESSION;
        assert_eq!(accounts.of_session(&session.secret, later).unwrap(), None);
        accounts.log_out(&session.secret).unwrap();
        assert_eq!(accounts.of_session(&session.secret, now).unwrap(), None);
    }

    #[test]
    fn a_new_password_and_a_locked_user_end_sessions() {
        let (_directory, store, user) = with_user();
        let accounts = Accounts::new(Arc::clone(&store));
        let now = Timestamp::now();
        let log_in = |password| accounts.log_in("jo", password, HERE, now).unwrap();
        let session = log_in("secret ü").unwrap();
        set_password(&store, &user.name, "other").unwrap();
        assert_eq!(accounts.of_session(&session.secret, now).unwrap(), None);
        let session = log_in("other").unwrap();
        let locked = User {
            active: false,
            ..user.clone()
        };
        store.write(|tx| users::put(tx, &locked)).unwrap();
        assert_eq!(accounts.of_session(&session.secret, now).unwrap(), None);
        assert!(log_in("other").is_none());
    }

    #[test]
    fn a_token_is_good_for_its_calls_until_it_expires_or_is_revoked() {
        let (_directory, store, user) = with_user();
        let accounts = Accounts::new(Arc::clone(&store));
        let now = Timestamp::now();
        let calls = BTreeSet::from(["ls".to_owned()]);
        let expires = now + SignedDuration::from_hours(1);
        let made = make_token(&store, &user.name, "laptop", Some(&calls), Some(expires));
        let (id, secret) = made.unwrap();
        assert!(secret.starts_with("mbd_"), "{secret}");
        let (owner, token) = accounts.of_token(&secret, now).unwrap().unwrap();
        assert_eq!((owner, token.calls), (user.clone(), Some(calls)));
        assert!(accounts.of_token(&secret, expires).unwrap().is_none());
        assert!(accounts.of_token("mbd_", now).unwrap().is_none());
        let listed = store.read(|tx| users::tokens(tx, &user.name)).unwrap();
        assert_eq!((listed[0].id, &*listed[0].title), (id, "laptop"));
        assert!(listed[0].used.is_some());
        assert!(
            store
                .write(|tx| users::remove_token(tx, &user.name, id))
                .unwrap()
        );
        assert!(accounts.of_token(&secret, now).unwrap().is_none());
    }

    #[test]
    fn a_password_that_changed_while_it_was_checked_lets_nobody_in() {
        let (_directory, store, user) = with_user();
        let (_, hash) = store.read(|tx| users::get(tx, "jo")).unwrap().unwrap();
        set_password(&store, &user.name, "other").unwrap();
        let now = Timestamp::now();
        let begin = |hash: &str| {
            let who = (&user.name, hash);
            store.write(|tx| users::begin_session(tx, "digest", who, [now, now + SESSION]))
        };
        assert!(!begin(&hash).unwrap());
        store.write(|tx| users::remove(tx, &user.name)).unwrap();
        assert!(!begin(&hash).unwrap());
    }

    #[test]
    fn who_guesses_must_wait() {
        let (_directory, store, _) = with_user();
        let accounts = Accounts::new(store);
        let now = Timestamp::now();
        let mut refused = 0;
        for _ in 0..12 {
            match accounts.log_in("jo", "wrong", HERE, now) {
                Ok(session) => assert!(session.is_none()),
                Err(Error::Attempts { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(refused, 2);
        let elsewhere = "192.0.2.1".parse().unwrap();
        assert!(
            accounts
                .log_in("jo", "secret ü", elsewhere, now)
                .unwrap()
                .is_some()
        );
        let later = now + SignedDuration::from_mins(6);
        assert!(
            accounts
                .log_in("jo", "secret ü", HERE, later)
                .unwrap()
                .is_some()
        );
    }
}
