use jiff::Timestamp;

use crate::cause::with_causes;
use crate::model::{Archive, Item as _, Kind, Quirk, Reference, SignedBy, Source};
use crate::pgp::Keyring;
use crate::store::catalog::Catalog;
use crate::store::{self, items};

use super::Failure;
use super::managed::{Hands, Managed};
use super::release::{self, Trust};

impl Managed for Source {
    fn dependencies(&self, catalog: &Catalog) -> Vec<Reference> {
        let named = self.apt_keys.iter().filter_map(|key| match key {
            SignedBy::Key(name) => Some(name),
            SignedBy::Armored(_) | SignedBy::KeyringFile(_) => None,
        });
        named
            .filter(|name| catalog.apt_keys.contains_key(*name))
            .map(|name| Reference::new(Kind::AptKey, name))
            .collect()
    }

    fn create(&mut self, _hands: &mut Hands<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Asks all archives; those that have it are used from now on, the fastest first.
    fn verify(&mut self, hands: &mut Hands<'_>) -> Result<(), Failure> {
        let trust = self.trust(hands)?;
        let mut urls = self.archives.clone();
        for url in hands.catalog.archives.keys() {
            if !urls.contains(url) {
                urls.push(url.clone());
            }
        }
        if urls.is_empty() {
            return Err(
                "there is no archive to ask; make one, like: mini-buildd item add archive url=URL"
                    .into(),
            );
        }
        let mut carriers = Vec::new();
        let mut refusals = Vec::new();
        for url in urls {
            match release::ask(&url, self, &trust) {
                Ok((found, ping)) => {
                    (hands.say)(&format!("{url} has it ({ping} ms)"));
                    note_ping(hands, &url, ping)?;
                    carriers.push((ping, url, found));
                }
                Err(fault) => {
                    let fault = with_causes(fault.as_ref());
                    (hands.say)(&format!("{url}: {fault}"));
                    refusals.push(format!("{url}: {fault}"));
                }
            }
        }
        carriers.sort_by_key(|(ping, _, _)| *ping);
        let Some((_, _, best)) = carriers.first() else {
            return Err(format!(
                "none of {} archives has it: {}",
                refusals.len(),
                refusals.join("; ")
            )
            .into());
        };
        self.components.clone_from(&best.components);
        self.architectures.clone_from(&best.architectures);
        self.description.clone_from(&best.description);
        self.codeversion.clone_from(&best.codeversion);
        self.archives = carriers.into_iter().map(|(_, url, _)| url).collect();
        Ok(())
    }

    fn discard(&mut self, _hands: &mut Hands<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Source {
    fn trust(&self, hands: &Hands<'_>) -> Result<Trust, Failure> {
        let resolved = hands.catalog.source(&self.name());
        let signers = resolved.map_or(&self.apt_keys, |source| &source.apt_keys);
        let mut keyring = Keyring::default();
        for signers in signers {
            keyring.add_signers(signers)?;
        }
        let quirks = crate::chroots::quirks::of(&self.codename);
        let is_archived = quirks.has(Quirk::Archived);
        if let Some(path) = crate::chroots::quirks::removed_keys(&quirks) {
            keyring.add_file(&path)?;
        }
        if keyring.is_empty() {
            return Err("no key is known that signs it".into());
        }
        Ok(Trust {
            keyring,
            is_archived,
            now: Timestamp::now(),
        })
    }
}

fn note_ping(hands: &Hands<'_>, url: &str, ping: u64) -> Result<(), store::Error> {
    hands.lifecycle.store.write(|tx| {
        let Some((mut archive, status)) = items::get::<Archive>(tx, url)? else {
            return Ok(());
        };
        archive.ping = Some(ping);
        items::put(tx, &archive, status)
    })
}
