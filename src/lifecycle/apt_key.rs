use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::apt_key::{KEYRINGS, KeyFacts};
use crate::model::{AptKey, Item as _, Reference};
use crate::pgp::{Described, Keyring};
use crate::store::catalog::Catalog;

use super::managed::{Hands, Managed};
use super::{Failure, Lifecycle};

const LONGEST: usize = 1 << 20;
const TIME: Duration = Duration::from_secs(20);

impl Managed for AptKey {
    fn dependencies(&self, _catalog: &Catalog) -> Vec<Reference> {
        Vec::new()
    }

    fn create(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        let keyring = self.look(server(&hands.catalog), hands.say)?;
        if self.keyring_file().is_none() {
            self.key = keyring.to_armored()?;
        }
        self.found = facts(&keyring)?;
        Ok(())
    }

    fn verify(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        let keyring = match self.keyring_file() {
            Some(_) => self.look(server(&hands.catalog), hands.say)?,
            None => read(self.key.as_bytes())?,
        };
        self.found = facts(&keyring)?;
        Ok(())
    }

    fn discard(&mut self, _hands: &mut Hands<'_>) -> Result<(), Failure> {
        self.found.clear();
        Ok(())
    }
}

impl AptKey {
    /// The file; else the installed keyring that has the key; else the text; else what the key server has.
    fn look(&self, server: &str, say: &mut dyn FnMut(&str)) -> Result<Keyring, Failure> {
        if let Some(path) = self.keyring_file() {
            let mut keyring = Keyring::default();
            keyring.add_file(&path)?;
            return Ok(keyring);
        }
        if !self.key.is_empty() {
            return self.only(&read(self.key.as_bytes())?, "the given text");
        }
        for path in installed_keyrings(Path::new(KEYRINGS)) {
            let mut keyring = Keyring::default();
            if keyring.add_file(&path).is_ok() && !keyring.with_ids(&self.key_id).is_empty() {
                say(&format!("{} is in {}", self.key_id, path.display()));
                return self.only(&keyring, &path.display().to_string());
            }
        }
        if server.is_empty() {
            let fault = format!(
                "no keyring in {KEYRINGS} has it, and there is no key server: give the key itself (gpg --armor --export {})",
                self.key_id
            );
            return Err(fault.into());
        }
        let url = lookup(server, &self.key_id);
        say(&format!("asking {server}"));
        let answer = super::get(&url, LONGEST, TIME)?;
        self.only(&read(&answer)?, server)
    }

    /// Exactly one key of a keyring.
    fn only(&self, keyring: &Keyring, of: &str) -> Result<Keyring, Failure> {
        let fitting = keyring.with_ids(&self.key_id);
        match fitting.fingerprints().as_slice() {
            [_] => Ok(fitting),
            [] => Err(format!("{of} has no key {}", self.key_id).into()),
            several => Err(format!("{of} has {} keys {}", several.len(), self.key_id).into()),
        }
    }
}

/// The key server of the daemon's item; empty: none.
fn server(catalog: &Catalog) -> &str {
    let daemon = catalog.daemons.values().next();
    daemon.map_or("", |(daemon, _)| daemon.gnupg_keyserver.as_str())
}

impl Lifecycle {
    /// A public key, armored, by its id: of an installed keyring, else of the key server.
    pub fn public_key(&self, key_id: &str) -> Result<String, Failure> {
        let key = AptKey::new(key_id);
        key.validate()?;
        let catalog = self.store.read(Catalog::load)?;
        let keyring = key.look(server(&catalog), &mut |_| {})?;
        Ok(keyring.to_armored()?)
    }
}

fn read(text: &[u8]) -> Result<Keyring, Failure> {
    let mut keyring = Keyring::default();
    keyring.add(text)?;
    Ok(keyring)
}

/// Keyrings of archives that packages installed.
fn installed_keyrings(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.contains("-archive-") && (name.ends_with(".gpg") || name.ends_with(".pgp"))
        })
        .collect();
    found.sort();
    found
}

/// Question to a key server (draft-gallagher-openpgp-hkp).
fn lookup(server: &str, id: &str) -> String {
    let base = match server.split_once("://") {
        Some(("hkps", host)) => format!("https://{host}"),
        Some(("hkp", host)) if host.contains(':') => format!("http://{host}"),
        Some(("hkp", host)) => format!("http://{host}:11371"),
        _ => server.to_owned(),
    };
    let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
    format!(
        "{}/pks/lookup?op=get&options=mr&search=0x{id}",
        base.trim_end_matches('/')
    )
}

fn facts(keyring: &Keyring) -> Result<Vec<KeyFacts>, Failure> {
    let described = keyring.described()?;
    Ok(described.iter().map(fact).collect())
}

fn fact(key: &Described) -> KeyFacts {
    let day = |seconds: u64| {
        let time = i64::try_from(seconds).ok();
        let time = time.and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map_or_else(String::new, |time| {
            time.to_zoned(TimeZone::UTC).date().to_string()
        })
    };
    KeyFacts {
        key_long_id: key.long_id.clone(),
        key_created: day(key.created),
        key_expires: key.expires.map_or_else(String::new, day),
        key_name: key.user_id.clone(),
        key_fingerprint: key.fingerprint.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_servers_are_asked_in_hkp() {
        let path = "pks/lookup?op=get&options=mr&search=0x73A4F27B8DD47936";
        for (server, base) in [
            ("hkps://keys.test", "https://keys.test"),
            ("hkp://keys.test", "http://keys.test:11371"),
            ("hkp://keys.test:80", "http://keys.test:80"),
            ("https://keys.test/", "https://keys.test"),
        ] {
            assert_eq!(lookup(server, "73A4F27B8DD47936"), format!("{base}/{path}"));
        }
    }
}
