//! One more architecture for an instance that is there.
//!
//! The order is: [`check_archive`], a chroot [`like`] those that are there, its bootstrap, and then [`add`]: from then
//! on uploads are built for it too.
use std::sync::Arc;
use std::time::Duration;

use crate::deb::{Architecture, Paragraph};
use crate::fetch;
use crate::home::Home;
use crate::model::distribution::ArchitectureOption;
use crate::model::{Chroot, Distribution, Item, Source};
use crate::pgp;
use crate::repositories::dists;
use crate::store::{Store, Transaction, items};

use super::{Error, put};

const LONGEST_RELEASE: usize = 16 << 20;
const RELEASE_TIME: Duration = Duration::from_secs(20);

/// Refuses an architecture that the best archive of a source has no packages for.
///
/// The Release file is not verified: it tells only whether to go on. debootstrap and apt verify.
pub fn check_archive(
    client: &fetch::Client,
    source: &Source,
    architecture: &Architecture,
) -> Result<(), Error> {
    let url = source.apt_source(&source.components)?.release_url();
    let unreadable = |fault: String| Error::Release {
        url: url.clone(),
        fault,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unreadable(error.to_string()))?;
    let release = runtime
        .block_on(client.get(&url, LONGEST_RELEASE, RELEASE_TIME))
        .map_err(|error| unreadable(error.to_string()))?;
    let known = architectures(&release).map_err(unreadable)?;
    if known.iter().any(|known| *known == architecture.as_str()) {
        return Ok(());
    }
    Err(Error::NotInArchive {
        url,
        architecture: architecture.clone(),
        known: known.join(" "),
    })
}

/// Words of the field Architectures.
fn architectures(release: &[u8]) -> Result<Vec<String>, String> {
    let text = pgp::unauthenticated_text(release).map_err(|error| error.to_string())?;
    let paragraph: Paragraph = text.parse().map_err(|error| format!("{error}"))?;
    let field = paragraph
        .required("Architectures")
        .map_err(|error| error.to_string())?;
    Ok(field.split_whitespace().map(str::to_owned).collect())
}

/// The same chroot for another architecture.
pub fn like(chroot: &Chroot, architecture: &Architecture) -> Chroot {
    Chroot {
        architecture: architecture.clone(),
        ..chroot.clone()
    }
}

/// Makes a bootstrapped chroot one of the instance, its architecture a mandatory one of its distribution, and publishes
/// what changes by that.
pub fn add(home: &Home, store: &Arc<Store>, hostname: &str, chroot: &Chroot) -> Result<(), Error> {
    store.write::<_, Error>(|tx| {
        put(tx, chroot)?;
        extend(tx, chroot)?;
        Ok(dists::configure(tx, home, store, hostname)?)
    })?;
    Ok(dists::publish(home, store)?)
}

fn extend(tx: &Transaction<'_>, chroot: &Chroot) -> Result<(), Error> {
    let architecture = &chroot.architecture;
    let name = chroot.codename.as_str();
    let Some((mut distribution, status)) = items::get::<Distribution>(tx, name)? else {
        return Ok(());
    };
    let extra = distribution.extra_sources.iter().map(|extra| &extra.source);
    for name in [&distribution.base_source].into_iter().chain(extra) {
        let Some((mut source, status)) = items::get::<Source>(tx, name)? else {
            continue;
        };
        if !source.architectures.contains(architecture) {
            source.architectures.push(architecture.clone());
            items::put(tx, &source, status)?;
        }
    }
    let mut options = distribution.architectures.iter();
    if options.all(|option| option.architecture != *architecture) {
        distribution.architectures.push(ArchitectureOption {
            architecture: architecture.clone(),
            optional: false,
            build_architecture_all: false,
        });
        distribution.validate()?;
        items::put(tx, &distribution, status)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgp::SigningKey;

    #[test]
    fn architectures_are_read_from_signed_and_unsigned_releases() {
        let release = "Origin: Debian\nArchitectures: all amd64 i386\n";
        let known = ["all", "amd64", "i386"];
        assert_eq!(architectures(release.as_bytes()).unwrap(), known);
        let key = SigningKey::generate("A", "a@example.org").unwrap();
        let signed = key.clearsign(release).unwrap();
        assert_eq!(architectures(signed.as_bytes()).unwrap(), known);
        let fault = architectures(b"Origin: Debian\n").unwrap_err();
        assert!(fault.contains("Architectures"), "{fault}");
    }
}
