//! Making a base: debootstrap, then what every build needs, so that the first build finds fresh indices.
use std::fs;
use std::io;
use std::path::PathBuf;

use backends::{Access, Backend, Bootstrap};
use sandbox::Network;

use super::tree::Tree;
use super::{Chroots, Error, apt, failed, process};
use crate::model::source::AptKey;
use crate::model::{Chroot, Item, Source};

/// Makes the build user and where it works, once; $1 is its name, $2 its id.
///
/// An index of manual pages is of no use to builds, and making it takes longer than installing debhelper.
const PREPARE: &str = r#"set -eu
if grep -q "^$1:" /etc/passwd; then
    exit 0
fi
echo "man-db man-db/auto-update boolean false" | debconf-set-selections
mkdir -p /build
chown "$2:$2" /build
useradd --uid "$2" --user-group --no-create-home --home-dir /build --shell /bin/sh "$1"
"#;

/// Tells how a base was prepared; written last.
pub const PREPARED: &str = "/var/lib/mini-buildd-prepared";

/// Packages that builds need beyond debootstrap's variant buildd: fakeroot for Rules-Requires-Root.
pub const PACKAGES: [&str; 2] = ["build-essential", "fakeroot"];

impl Chroots {
    /// Makes the base of `chroot` from `source`; `progress` gets one line a step.
    pub fn bootstrap(
        &self,
        chroot: &Chroot,
        source: &Source,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let what = self.bootstrap_of(chroot, source)?;
        let backend = self.backend(chroot);
        let memo = self.memo(chroot);
        match fs::remove_dir_all(&memo) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Remove { path: memo, source });
            }
            _ => {}
        }
        let failed = failed("bootstrap", chroot);
        backends::bootstrap(&self.launcher, backend.as_ref(), &what, progress).map_err(failed)?;
        progress("I: Preparing for builds...");
        self.prepare_base(backend.as_ref(), source)
    }

    fn bootstrap_of(&self, chroot: &Chroot, source: &Source) -> Result<Bootstrap, Error> {
        let incomplete = |what| Error::Incomplete {
            source_name: source.name(),
            what,
        };
        let mirror = source
            .archives
            .first()
            .ok_or_else(|| incomplete("archive"))?;
        let directory = self.home.chroot(&chroot.codename, &chroot.architecture);
        let keyring = self
            .keyring_file(chroot, source)?
            .ok_or_else(|| incomplete("key"))?;
        let mut options = vec![format!("--include={}", PACKAGES.join(","))];
        options.extend(chroot.debootstrap_extra_options.iter().cloned());
        Ok(Bootstrap {
            codename: chroot.codename.to_string(),
            architecture: chroot.architecture.to_string(),
            mirror: mirror.clone(),
            keyring,
            variant: "buildd".to_owned(),
            components: source.components.iter().map(ToString::to_string).collect(),
            options,
            cache: directory.join("cache"),
            log: directory.join("debootstrap.log"),
        })
    }

    /// The file that debootstrap checks against: the host's, else one that holds the armored keys.
    fn keyring_file(&self, chroot: &Chroot, source: &Source) -> Result<Option<PathBuf>, Error> {
        let mut armored = String::new();
        for key in &source.apt_keys {
            match key {
                AptKey::KeyringFile(path) => return Ok(Some(path.clone())),
                AptKey::Armored(text) => armored.push_str(text),
            }
        }
        if armored.is_empty() {
            return Ok(None);
        }
        let directory = self.home.chroot(&chroot.codename, &chroot.architecture);
        let path = directory.join("keyring.asc");
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&path, armored))
            .map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?;
        Ok(Some(path))
    }

    fn prepare_base(&self, backend: &dyn Backend, source: &Source) -> Result<(), Error> {
        let session = self.begin_in(backend, Access::Source, None, Network::Host)?;
        let mut tree = Tree::default();
        tree.text(apt::CONFIGURATION_FILE, apt::CONFIGURATION);
        for (number, key) in source.apt_keys.iter().enumerate() {
            let trusted = format!("/etc/apt/trusted.gpg.d/mini-buildd-source-{number}");
            match key {
                AptKey::Armored(text) => tree.text(&format!("{trusted}.asc"), text.as_str()),
                AptKey::KeyringFile(path) => {
                    let armored = path.extension().is_some_and(|extension| extension == "asc");
                    let extension = if armored { "asc" } else { "gpg" };
                    tree.file(
                        &format!("{trusted}.{extension}"),
                        super::tree::Owner::Root,
                        path,
                    )
                }
            };
        }
        session.unpack(&tree)?;
        session.succeed(&prepare())?;
        session.succeed(&apt::get(&["update"]))?;
        // Usually nothing; it also makes apt's cache of the indices.
        session.succeed(&apt::get(&[&["dist-upgrade"], &PACKAGES[..]].concat()))?;
        session.succeed(&apt::get(&["clean"]))?;
        let mut mark = Tree::default();
        mark.text(PREPARED, apt::CONFIGURATION);
        session.unpack(&mark)?;
        session.close()
    }
}

/// Makes the build user where there is none yet.
pub fn prepare() -> sandbox::Process {
    let id = process::BUILD_ID.to_string();
    let line = ["/bin/sh", "-c", PREPARE, "sh", process::BUILD_USER, &id];
    process::of_root(&line, Network::None)
}
