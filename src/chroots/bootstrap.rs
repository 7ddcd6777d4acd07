//! Making a base: debootstrap, then what every build needs, so that the first build finds fresh indices.
use std::fs;
use std::path::PathBuf;

use backends::{Access, Backend, Bootstrap};
use sandbox::Network;

use super::quirks::{self, apt_configuration, configure_apt};
use super::reach::Reach;
use super::tree::Tree;
use super::{Chroots, Error, apt, failed, process};
use crate::deb::sources_list;
use crate::model::{Chroot, Item, Quirk, Quirks, Source};
use crate::pgp::Keyring;

/// Makes the build user and where it works, once; $1 is its name, $2 its id.
///
/// A base of trixie has no useradd any more.
/// An index of manual pages is of no use to builds, and making it takes longer than installing debhelper.
const PREPARE: &str = r#"set -eu
if grep -q "^$1:" /etc/passwd; then
    exit 0
fi
echo "man-db man-db/auto-update boolean false" | debconf-set-selections
mkdir -p /build
chown "$2:$2" /build
echo "$1:x:$2:" >> /etc/group
if [ -e /etc/shadow ]; then
    echo "$1:!:::::::" >> /etc/shadow
fi
echo "$1:x:$2:$2::/build:/bin/sh" >> /etc/passwd
"#;

/// Tells how a base was prepared; written last.
pub const PREPARED: &str = "/var/lib/mini-buildd-prepared";

/// Keys that the archives are checked against; binary, which every apt reads.
const TRUSTED: &str = "/etc/apt/trusted.gpg.d/mini-buildd-sources.gpg";

/// Which version of a package apt prefers (apt_preferences(5)).
const PREFERENCES: &str = "/etc/apt/preferences";

/// Packages that builds need beyond debootstrap's variant buildd: fakeroot for Rules-Requires-Root.
pub const PACKAGES: [&str; 2] = ["build-essential", "fakeroot"];

impl Chroots {
    /// Makes the base of `chroot` from `source`, upgraded from `extra` with their priorities too, as its distribution
    /// has them: so the first build finds nothing to upgrade. `progress` gets one line a step.
    pub fn bootstrap(
        &self,
        chroot: &Chroot,
        source: &Source,
        extra: &[(Source, i32)],
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        self.forget_memo(chroot)?;
        let backend = self.backend(chroot);
        self.bootstrap_in(backend.as_ref(), chroot, source, extra, progress)?;
        self.note_renewal(chroot)
    }

    /// Makes the base of `backend`.
    pub(super) fn bootstrap_in(
        &self,
        backend: &dyn Backend,
        chroot: &Chroot,
        source: &Source,
        extra: &[(Source, i32)],
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let quirks = self.quirks(chroot);
        if quirks.has(Quirk::NoBuildDependenciesOfFiles) {
            return Err(Error::TooOld {
                chroot: chroot.name(),
            });
        }
        let what = self.bootstrap_of(chroot, source, &quirks)?;
        let failed = failed("bootstrap", chroot);
        backends::bootstrap(&self.launcher, backend, &what, progress).map_err(failed)?;
        progress("I: Preparing for builds...");
        let prepared = self.prepare_base(chroot, backend, &quirks, source, extra);
        if prepared.is_err() {
            // Or else the next start would take it for whole. If that fails too, the first failure is the one to tell.
            let _ = backend.remove();
        }
        prepared
    }

    fn bootstrap_of(
        &self,
        chroot: &Chroot,
        source: &Source,
        quirks: &Quirks,
    ) -> Result<Bootstrap, Error> {
        let incomplete = |what| Error::Incomplete {
            source_name: source.name(),
            what,
        };
        let mirror = source
            .archives
            .first()
            .ok_or_else(|| incomplete("archive"))?;
        let directory = self.home.chroot(&chroot.codename, &chroot.architecture);
        if source.apt_keys.is_empty() {
            return Err(incomplete("key"));
        }
        let keyring = self.keyring_file(chroot, source, quirks)?;
        let mut options = vec![format!("--include={}", PACKAGES.join(","))];
        options.extend(chroot.debootstrap_extra_options.iter().cloned());
        Ok(Bootstrap {
            codename: chroot.codename.to_string(),
            architecture: chroot.architecture.to_string(),
            mirror: mirror.clone(),
            keyring,
            variant: "buildd".to_owned(),
            components: source.components.iter().map(ToString::to_string).collect(),
            script: quirks::script(chroot, quirks).map(str::to_owned),
            options,
            environment: self.proxies.environment(mirror),
            cache: directory.join("cache"),
            log: directory.join("debootstrap.log"),
        })
    }

    /// The file that debootstrap checks the archive's signature against.
    fn keyring_file(
        &self,
        chroot: &Chroot,
        source: &Source,
        quirks: &Quirks,
    ) -> Result<PathBuf, Error> {
        let keyring = keyring([source], quirks)?;
        let directory = self.home.chroot(&chroot.codename, &chroot.architecture);
        let path = directory.join("keyring.gpg");
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&path, keyring.to_binary()))
            .map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?;
        Ok(path)
    }

    fn prepare_base(
        &self,
        chroot: &Chroot,
        backend: &dyn Backend,
        quirks: &Quirks,
        source: &Source,
        extra: &[(Source, i32)],
    ) -> Result<(), Error> {
        let session = self.begin_in(chroot, backend, (Access::Source, None), &Reach::Host)?;
        let all = || {
            [source]
                .into_iter()
                .chain(extra.iter().map(|(extra, _)| extra))
        };
        let sources = apt_sources(all(), quirks)?;
        let mut tree = Tree::default();
        configure_apt(&mut tree, quirks);
        tree.text(apt::SOURCES_FILE, sources_list(&sources))
            .text(PREFERENCES, preferences(extra))
            .text(TRUSTED, keyring(all(), quirks)?.to_binary());
        apt::reach(&mut tree, &self.proxies, (&sources, &[]), "");
        session.unpack(&tree)?;
        session.succeed(&prepare())?;
        session.succeed(&apt::get(Network::Host, &["update"]))?;
        // Usually nothing; it also makes apt's cache of the indices.
        session.succeed(&apt::get(
            Network::Host,
            &[&["dist-upgrade"], &PACKAGES[..]].concat(),
        ))?;
        session.succeed(&apt::get(Network::None, &["clean"]))?;
        // Each build brings its own.
        let rm = [&["rm", "-f", PREFERENCES], &apt::OF_THIS_HOST[..]].concat();
        session.succeed(&process::of_root(&rm, Network::None))?;
        let mut mark = Tree::default();
        mark.text(PREPARED, apt_configuration(quirks));
        session.unpack(&mark)?;
        session.close()?;
        Ok(())
    }
}

/// All keys of the sources, each once: the pockets of a release share theirs.
fn keyring<'a>(
    sources: impl IntoIterator<Item = &'a Source>,
    quirks: &Quirks,
) -> Result<Keyring, Error> {
    let mut keyring = Keyring::default();
    for source in sources {
        let mut signers = source.apt_keys.iter();
        let added = signers.try_for_each(|signers| keyring.add_signers(signers));
        let removed = quirks::removed_keys(quirks);
        added
            .and_then(|()| removed.iter().try_for_each(|path| keyring.add_file(path)))
            .map_err(|fault| Error::Keyring {
                source_name: source.name(),
                source: fault,
            })?;
    }
    Ok(keyring)
}

fn apt_sources<'a>(
    sources: impl Iterator<Item = &'a Source>,
    quirks: &Quirks,
) -> Result<Vec<sources_list::Source>, Error> {
    let sources = sources.map(|source| {
        let found = source.apt_source(&source.components);
        found
            .map(|source| quirks.apt_source(source))
            .map_err(|_no_archive| Error::Incomplete {
                source_name: source.name(),
                what: "archive",
            })
    });
    sources.collect()
}

fn sources_list(sources: &[sources_list::Source]) -> String {
    let lines = sources.iter().map(|source| format!("{source}\n"));
    lines.collect::<Vec<_>>().concat()
}

fn preferences(extra: &[(Source, i32)]) -> String {
    let stanzas = extra.iter().map(|(source, priority)| {
        let pin = source.pin();
        format!("Package: *\nPin: {pin}\nPin-Priority: {priority}\n\n")
    });
    stanzas.collect()
}

/// Tells whether debootstrap's message is one of hundreds: `I: Unpacking dash...`.
pub fn is_of_one_package(line: &str) -> bool {
    let mut words = line.split_whitespace().skip(1);
    match words.next() {
        Some("Retrieving" | "Validating") => true,
        Some("Extracting" | "Unpacking" | "Configuring") => words.count() == 1,
        _ => false,
    }
}

/// Makes the build user where there is none yet.
pub fn prepare() -> sandbox::Process {
    let id = process::BUILD_ID.to_string();
    let line = ["/bin/sh", "-c", PREPARE, "sh", process::BUILD_USER, &id];
    process::of_root(&line, Network::None)
}

#[cfg(test)]
mod tests {
    use crate::model::SignedBy;
    use std::process::Command;

    use super::*;
    use crate::model::source::tests::source;
    use crate::pgp::SigningKey;

    #[test]
    fn the_base_is_upgraded_from_all_its_sources() {
        let mut base = source("Debian", "trixie");
        base.components.truncate(2);
        let mut security = source("Debian", "trixie-security");
        security.components.truncate(2);
        assert_eq!(
            sources_list(&apt_sources([&base, &security].into_iter(), &Quirks::default()).unwrap()),
            "deb [check-valid-until=yes] http://buildd.test:9999/debian/ trixie main non-free-firmware\n\
             deb [check-valid-until=yes] http://buildd.test:9999/debian/ trixie-security main non-free-firmware\n"
        );
        assert_eq!(
            preferences(&[(security, 500)]),
            "Package: *\nPin: release o=Debian, n=trixie-security\nPin-Priority: 500\n\n"
        );
    }

    #[test]
    fn gpgv_of_any_age_accepts_the_keyring_of_armored_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let names = ["one", "two"];
        let signers = names.map(|name| SigningKey::generate(name, "a@example.org").unwrap());
        fs::write(path("two.asc"), signers[1].public_armored()).unwrap();
        let mut source = source("Debian", "trixie");
        source.apt_keys = vec![
            SignedBy::Armored(signers[0].public_armored()),
            SignedBy::KeyringFile(path("two.asc")),
        ];
        // gpgv of Debian 12 reads binary keyrings only.
        let keyring = keyring([&source], &Quirks::default()).unwrap();
        fs::write(path("keyring.gpg"), keyring.to_binary()).unwrap();
        for signer in signers {
            fs::write(path("InRelease"), signer.clearsign("Suite: a\n").unwrap()).unwrap();
            let gpgv = Command::new("gpgv")
                .arg("--keyring")
                .args([path("keyring.gpg"), path("InRelease")])
                .output()
                .unwrap();
            assert!(gpgv.status.success(), "{gpgv:?}");
        }
    }

    #[test]
    fn a_key_that_sources_share_is_trusted_once() {
        let keys = ["one", "two"].map(|name| {
            let key = SigningKey::generate(name, "a@example.org").unwrap();
            SignedBy::Armored(key.public_armored())
        });
        let mut base = source("Debian", "trixie");
        base.apt_keys = vec![keys[0].clone()];
        let mut security = source("Debian", "trixie-security");
        security.apt_keys = keys.to_vec();
        let shared = keyring([&base, &security], &Quirks::default()).unwrap();
        assert_eq!(shared.fingerprints().len(), 2);
    }

    #[test]
    fn steps_of_debootstrap_are_told_and_its_packages_are_not() {
        for (line, of_one) in [
            ("I: Retrieving dash 0.5.12-2", true),
            ("I: Validating dash 0.5.12-2", true),
            ("I: Unpacking dash...", true),
            ("I: Unpacking the base system...", false),
            ("I: Installing core packages...", false),
            ("I: Base system installed successfully.", false),
        ] {
            assert_eq!(is_of_one_package(line), of_one, "{line}");
        }
    }
}
