//! One key takes the place of another. What changes on disk is a list of steps, each of them whole or not at all; after
//! any number of them the keys that sign are some that clients know.
use std::fs;
use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::home::{self, Home};
use crate::pgp::SigningKey;

use super::{Error, lock};

/// `rollover.json`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) next: Option<Next>,
    #[serde(default)]
    pub(super) retired: Vec<Retired>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Next {
    pub(super) fingerprint: String,
    /// Fingerprint of the signing key of now.
    replaces: String,
    pub(super) until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retired {
    pub(super) fingerprint: String,
    pub(super) at: Timestamp,
}

/// What is written, at once.
#[derive(Debug)]
enum Step<'a> {
    /// A key under its fingerprint.
    Keep(&'a SigningKey),
    /// The signing key.
    Promote(&'a SigningKey),
    Note(Record),
}

impl Record {
    pub(super) fn read(home: &Home) -> Result<Record, Error> {
        let path = home.rollover();
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|source| Error::Malformed { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Record::default()),
            Err(source) => Err(Error::File {
                action: "read",
                path,
                source,
            }),
        }
    }
}

impl Step<'_> {
    fn take(&self, home: &Home) -> Result<(), Error> {
        match self {
            Step::Keep(key) => key.replace(&home.other_key(&key.fingerprint()))?,
            Step::Promote(key) => key.replace(&home.signing_key())?,
            Step::Note(record) => {
                let path = home.rollover();
                let text = serde_json::to_vec_pretty(record).expect("it has text and times only");
                home::replace(&path, &text).map_err(|source| Error::File {
                    action: "write",
                    path,
                    source,
                })?;
            }
        }
        Ok(())
    }
}

/// The next key signs beside the signing key from now on.
fn beginning<'a>(
    mut record: Record,
    primary: &SigningKey,
    next: &'a SigningKey,
    until: Timestamp,
) -> [Step<'a>; 2] {
    let fingerprint = next.fingerprint();
    // One that comes back is no longer retired.
    record.retired.retain(|key| key.fingerprint != fingerprint);
    record.next = Some(Next {
        fingerprint,
        replaces: primary.fingerprint(),
        until,
    });
    [Step::Keep(next), Step::Note(record)]
}

/// The next key becomes the signing key, unless that is done already.
fn end<'a>(
    mut record: Record,
    primary: &'a SigningKey,
    next: &'a SigningKey,
    replaces: String,
    now: Timestamp,
) -> Vec<Step<'a>> {
    record.next = None;
    record.retired.retain(|key| key.fingerprint != replaces);
    record.retired.push(Retired {
        fingerprint: replaces,
        at: now,
    });
    let mut steps = Vec::new();
    if primary.fingerprint() != next.fingerprint() {
        steps.extend([Step::Keep(primary), Step::Promote(next)]);
    }
    steps.push(Step::Note(record));
    steps
}

fn take(home: &Home, steps: &[Step<'_>]) -> Result<(), Error> {
    steps.iter().try_for_each(|step| step.take(home))
}

/// Lets a key sign indices beside the signing key until `until`, and then in its place.
///
/// Where the signing key can't sign, its place is taken at once. A key that signs already is replaced by the copy that
/// is given: gpg may have let it live on.
pub fn begin(home: &Home, key: &SigningKey, until: Timestamp, now: Timestamp) -> Result<(), Error> {
    let _lock = lock(home)?;
    settle_locked(home, now)?;
    let record = Record::read(home)?;
    let primary = SigningKey::read(&home.signing_key())?;
    if key.fingerprint() == primary.fingerprint() {
        return take(home, &[Step::Promote(key)]);
    }
    if let Some(next) = &record.next {
        if key.fingerprint() == next.fingerprint {
            return take(home, &[Step::Keep(key), Step::Note(record)]);
        }
        return Err(Error::UnderWay {
            next: next.fingerprint.clone(),
            until: next.until,
        });
    }
    let last = |key: &SigningKey| {
        key.expires()
            .and_then(|time| Timestamp::try_from(time).ok())
    };
    // The signing key may not reach the end of the window.
    let until = last(&primary)
        .map_or(until, |last| until.min(last))
        .max(now);
    if last(key).is_some_and(|last| last <= until) {
        let next = key.fingerprint();
        return Err(Error::TooShort { next, until });
    }
    take(home, &beginning(record, &primary, key, until))?;
    settle_locked(home, now)?;
    Ok(())
}

/// Ends the window now.
pub fn finish(home: &Home, now: Timestamp) -> Result<(), Error> {
    let _lock = lock(home)?;
    if finish_locked(home, now, |_, _| true)? {
        return Ok(());
    }
    Err(Error::NothingToFinish)
}

/// Finishes a rollover whose window has ended, or whose signing key can't sign any more; tells whether it did.
pub fn settle(home: &Home, now: Timestamp) -> Result<bool, Error> {
    // Without the record, no directory of keys is locked, or even needed.
    if Record::read(home)?.next.is_none() {
        return Ok(false);
    }
    let _lock = lock(home)?;
    settle_locked(home, now)
}

fn settle_locked(home: &Home, now: Timestamp) -> Result<bool, Error> {
    finish_locked(home, now, |next, primary| {
        next.until <= now
            || primary.can_sign().is_err()
            || primary.fingerprint() == next.fingerprint
    })
}

fn finish_locked(
    home: &Home,
    now: Timestamp,
    is_due: impl FnOnce(&Next, &SigningKey) -> bool,
) -> Result<bool, Error> {
    let record = Record::read(home)?;
    let Some(next) = record.next.clone() else {
        return Ok(false);
    };
    let primary = SigningKey::read(&home.signing_key())?;
    if !is_due(&next, &primary) {
        return Ok(false);
    }
    let key = SigningKey::read(&home.other_key(&next.fingerprint))?;
    take(home, &end(record, &primary, &key, next.replaces, now))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use tempfile::TempDir;

    use super::super::{KeySet, Keys};
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn key(name: &str) -> SigningKey {
        SigningKey::generate(name, "test@localhost").unwrap()
    }

    struct Disk {
        _directory: TempDir,
        home: Home,
        old: SigningKey,
        new: SigningKey,
        now: Timestamp,
        until: Timestamp,
    }

    impl Disk {
        fn new() -> Disk {
            let directory = tempfile::tempdir().unwrap();
            let home = Home::new(directory.path().join("home"));
            home.create().unwrap();
            let (old, new) = (key("old"), key("new"));
            old.save(&home.signing_key()).unwrap();
            let now = Timestamp::now();
            Disk {
                _directory: directory,
                home,
                old,
                new,
                now,
                until: now + DAY * 30,
            }
        }

        fn begin(&self) {
            begin(&self.home, &self.new, self.until, self.now).unwrap();
        }

        fn signing(&self) -> Vec<String> {
            KeySet::load(&self.home).unwrap().signing().fingerprints()
        }

        fn messages(&self) -> String {
            KeySet::load(&self.home).unwrap().primary().fingerprint()
        }

        fn is_own(&self, key: &SigningKey, now: Timestamp) -> bool {
            let keys = KeySet::load(&self.home).unwrap();
            keys.own(now).holds(&key.fingerprint())
        }
    }

    #[test]
    fn both_keys_sign_indices_in_the_window_and_the_old_one_messages() {
        let disk = Disk::new();
        let (old, new) = (&disk.old.fingerprint(), &disk.new.fingerprint());
        assert_eq!(disk.signing(), [&old[..]]);
        disk.begin();
        assert_eq!(disk.signing(), [&old[..], new]);
        assert_eq!(&disk.messages(), old);
        assert!(!settle(&disk.home, disk.until - DAY).unwrap());
        assert_eq!(disk.signing(), [&old[..], new]);
        assert!(settle(&disk.home, disk.until).unwrap());
        assert_eq!(disk.signing(), [&new[..]]);
        assert_eq!(&disk.messages(), new);
        assert!(!settle(&disk.home, disk.until).unwrap());
        let retired = KeySet::load(&disk.home).unwrap().retired;
        assert_eq!(&retired[0].key.fingerprint(), old);
        assert_eq!(retired[0].at, disk.until);
    }

    #[test]
    fn messages_of_a_retired_key_that_were_under_way_are_still_ours() {
        let disk = Disk::new();
        disk.begin();
        finish(&disk.home, disk.now).unwrap();
        assert!(disk.is_own(&disk.new, disk.now));
        assert!(disk.is_own(&disk.old, disk.now + DAY * 6));
        assert!(!disk.is_own(&disk.old, disk.now + DAY * 8));
        fs::remove_file(disk.home.other_key(&disk.old.fingerprint())).unwrap();
        assert!(!disk.is_own(&disk.old, disk.now));
    }

    #[test]
    fn crash_after_any_step_of_a_beginning_leaves_the_old_key_signing() {
        for steps in 0..=2 {
            let disk = Disk::new();
            let planned = beginning(Record::default(), &disk.old, &disk.new, disk.until);
            take(&disk.home, &planned[..steps]).unwrap();
            assert!(disk.signing().contains(&disk.old.fingerprint()), "{steps}");
            assert_eq!(disk.messages(), disk.old.fingerprint(), "{steps}");
            disk.begin();
            assert_eq!(disk.signing().len(), 2, "{steps}");
        }
    }

    #[test]
    fn crash_after_any_step_of_an_end_leaves_the_new_key_signing_and_is_made_good() {
        for steps in 0..=3 {
            let disk = Disk::new();
            disk.begin();
            let record = Record::read(&disk.home).unwrap();
            let old = disk.old.fingerprint();
            let planned = end(record, &disk.old, &disk.new, old.clone(), disk.until);
            assert_eq!(planned.len(), 3);
            take(&disk.home, &planned[..steps]).unwrap();
            assert!(disk.signing().contains(&disk.new.fingerprint()), "{steps}");
            assert_eq!(
                settle(&disk.home, disk.until).unwrap(),
                steps < 3,
                "{steps}"
            );
            assert_eq!(disk.signing(), [disk.new.fingerprint()], "{steps}");
            let retired = KeySet::load(&disk.home).unwrap().retired;
            assert_eq!(retired.len(), 1, "{steps}");
            assert_eq!(retired[0].key.fingerprint(), old, "{steps}");
        }
    }

    #[test]
    fn one_rollover_goes_on_at_a_time() {
        let disk = Disk::new();
        let fault = finish(&disk.home, disk.now).unwrap_err().to_string();
        assert!(fault.contains("mini-buildd key rotate"), "{fault}");
        disk.begin();
        let third = begin(&disk.home, &key("third"), disk.until, disk.now);
        let fault = third.unwrap_err().to_string();
        assert!(fault.contains(&disk.new.fingerprint()), "{fault}");
        assert!(fault.contains("key rotate --finish"), "{fault}");
        begin(&disk.home, &key("third"), disk.until + DAY, disk.until).unwrap();
        assert_eq!(disk.messages(), disk.new.fingerprint());
    }

    #[test]
    fn key_that_comes_back_is_no_longer_retired() {
        let disk = Disk::new();
        disk.begin();
        finish(&disk.home, disk.now).unwrap();
        begin(&disk.home, &disk.old, disk.until, disk.now).unwrap();
        assert!(KeySet::load(&disk.home).unwrap().retired.is_empty());
        finish(&disk.home, disk.now).unwrap();
        assert_eq!(disk.signing(), [disk.old.fingerprint()]);
    }

    #[test]
    fn keys_are_private_in_every_state() {
        use std::os::unix::fs::PermissionsExt;
        let disk = Disk::new();
        disk.begin();
        finish(&disk.home, disk.now).unwrap();
        for key in [&disk.old, &disk.new] {
            let path = disk.home.other_key(&key.fingerprint());
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let mode = fs::metadata(disk.home.signing_key()).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn running_daemon_sees_what_another_process_changed() {
        let disk = Disk::new();
        let keys = Keys::open(&disk.home).unwrap();
        disk.begin();
        assert_eq!(keys.now().signing().fingerprints().len(), 2);
        let settled = keys.settled(disk.until);
        assert_eq!(settled.signing().fingerprints(), [disk.new.fingerprint()]);
        fs::write(disk.home.rollover(), "broken").unwrap();
        let kept = keys.now();
        assert_eq!(kept.signing().fingerprints(), [disk.new.fingerprint()]);
    }
}
