//! What administrators should know before it happens.
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::pgp::SigningKey;

use super::KeySet;

const BEFORE_EXPIRY: SignedDuration = SignedDuration::from_hours(60 * 24);
const BEFORE_END: SignedDuration = SignedDuration::from_hours(7 * 24);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    Expires {
        key: String,
        at: Timestamp,
    },
    Expired {
        key: String,
    },
    /// Soon the next key signs alone.
    WindowEnds {
        next: String,
        at: Timestamp,
    },
}

impl Warning {
    /// The command that mends it, if there is one.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Warning::Expires { .. } | Warning::Expired { .. } => Some("mini-buildd key rotate"),
            Warning::WindowEnds { .. } => None,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |time: &Timestamp| time.strftime("%F").to_string();
        match self {
            Warning::Expires { key, at } => {
                write!(f, "signing key {key} expires on {}", day(at))
            }
            Warning::Expired { key } => write!(f, "signing key {key} has expired"),
            Warning::WindowEnds { next, at } => write!(
                f,
                "from {} on key {next} signs alone; clients and other instances that don't have it yet need it now",
                day(at)
            ),
        }
    }
}

impl KeySet {
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        let next = self.next.as_ref();
        // One that goes before it expires is no worry.
        let staying = next.map_or(&self.primary, |next| &next.key);
        let end = next.filter(|next| next.until - BEFORE_END < now);
        let ends = end.map(|next| Warning::WindowEnds {
            next: next.key.fingerprint(),
            at: next.until,
        });
        expiry(staying, now).into_iter().chain(ends).collect()
    }
}

fn expiry(key: &SigningKey, now: Timestamp) -> Option<Warning> {
    let at = Timestamp::try_from(key.expires()?).ok()?;
    let key = key.fingerprint();
    if at <= now {
        return Some(Warning::Expired { key });
    }
    (at - BEFORE_EXPIRY < now).then_some(Warning::Expires { key, at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Next;
    use crate::pgp::gnupg::GnuPg;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn keys(primary: SigningKey) -> KeySet {
        KeySet {
            primary,
            next: None,
            retired: Vec::new(),
        }
    }

    fn key(expire: &str) -> SigningKey {
        let gnupg = GnuPg::new();
        gnupg.make_key("test@localhost", "ed25519", expire);
        SigningKey::import(&gnupg.export_secret("test@localhost"), None).unwrap()
    }

    #[test]
    fn expiry_is_told_from_sixty_days_before_it_on() {
        let keys = keys(key("100d"));
        let now = Timestamp::now();
        assert_eq!(keys.warnings(now), []);
        assert_eq!(keys.warnings(now + DAY * 39), []);
        let warnings = keys.warnings(now + DAY * 41);
        assert!(
            matches!(warnings[..], [Warning::Expires { .. }]),
            "{warnings:?}"
        );
        assert_eq!(warnings[0].remedy(), Some("mini-buildd key rotate"));
        let warnings = keys.warnings(now + DAY * 101);
        assert!(
            matches!(warnings[..], [Warning::Expired { .. }]),
            "{warnings:?}"
        );
    }

    #[test]
    fn key_without_expiry_needs_no_warning() {
        let far = Timestamp::now() + DAY * 10_000;
        assert_eq!(keys(key("never")).warnings(far), []);
    }

    #[test]
    fn end_of_the_window_is_told_a_week_before_and_the_expiry_of_the_key_that_goes_is_not() {
        let now = Timestamp::now();
        let mut keys = keys(key("20d"));
        let next = key("never");
        keys.next = Some(Next {
            key: next.clone(),
            until: now + DAY * 10,
        });
        assert_eq!(keys.warnings(now), []);
        let warnings = keys.warnings(now + DAY * 4);
        let [Warning::WindowEnds { next: named, .. }] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert_eq!(*named, next.fingerprint());
    }
}
