//! Which dists other keys signed: their Release says it, so that nothing else has to be kept right.
use std::fs;

use crate::pgp::SigningKeys;

use super::dist::{self, Dist};
use super::{ArchiveDir, Error, release, times};

pub(super) fn resign(archive: &ArchiveDir, keys: &SigningKeys) -> Result<(), Error> {
    let wanted = release::signed_by(keys);
    let mut dists = archive
        .store
        .read(|tx| dist::all(tx, &archive.repository))?;
    dists.retain(|dist| !dist.removed && is_by_others(archive, dist, &wanted));
    if dists.is_empty() {
        return Ok(());
    }
    archive.store.write(|tx| {
        dists
            .iter()
            .try_for_each(|dist| dist::sign_anew(tx, dist.id))
    })?;
    times::forget(archive)
}

/// One that has no Release is dirty already, or nobody reads it.
fn is_by_others(archive: &ArchiveDir, dist: &Dist, wanted: &str) -> bool {
    let name = dist.settings.diststr.to_string();
    let path = archive.directory.join("dists").join(name).join("Release");
    let Ok(release) = fs::read_to_string(path) else {
        return false;
    };
    let signers = release
        .lines()
        .find_map(|line| line.strip_prefix("Signed-By: "));
    signers != Some(wanted)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::fixture::{Fixture, diststr, key, keys};
    use super::*;
    use crate::pgp::SigningKey;

    #[test]
    fn all_dists_become_dirty_once_when_the_keys_are_others() {
        let fixture = Fixture::new();
        let now = Timestamp::now();
        let old = keys();
        fixture.archive.resign(&old).unwrap();
        let dists = fixture.publish(now);
        fixture.archive.resign(&old).unwrap();
        assert!(fixture.dirty().is_empty());
        let other = SigningKey::generate("Other", "other@example.org").unwrap();
        let both = old.with([other]);
        fixture.archive.resign(&both).unwrap();
        assert_eq!(fixture.dirty(), dists);
        fixture.archive.publish(&both, now).unwrap();
        fixture.archive.resign(&both).unwrap();
        assert!(fixture.dirty().is_empty());
    }

    #[test]
    fn release_names_all_keys_that_signed_it() {
        let fixture = Fixture::new();
        let other = SigningKey::generate("Other", "other@example.org").unwrap();
        let keys = keys().with([other.clone()]);
        fixture.archive.publish(&keys, Timestamp::now()).unwrap();
        let dist = fixture.archive.directory().join("dists");
        let dist = dist.join(diststr().to_string());
        let read = |name| fs::read_to_string(dist.join(name)).unwrap();
        let field = format!(
            "\nSigned-By: {},{}\n",
            key().fingerprint(),
            other.fingerprint()
        );
        assert!(read("Release").contains(&field), "{}", read("Release"));
        for key in [key(), &other] {
            let mut keyring = crate::pgp::Keyring::default();
            keyring.add(key.public_armored().as_bytes()).unwrap();
            let verified = keyring.verify(read("InRelease").as_bytes()).unwrap();
            assert_eq!(verified.text, read("Release"));
        }
    }
}
