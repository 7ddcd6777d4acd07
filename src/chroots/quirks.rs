//! What a chroot's release needs because it is old, put to use.
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Zoned;

use super::tree::Tree;
use super::{Chroots, apt};
use crate::deb::{Codename, distro_info};
use crate::model::apt_key::KEYRINGS;
use crate::model::quirks::Distributor;
use crate::model::{Chroot, Quirk, Quirks};

/// Where distro-info-data has its tables.
pub const DISTRO_INFO: &str = "/usr/share/distro-info";
const DISTRIBUTORS: [&str; 2] = ["debian", "ubuntu"];
const SCRIPTS: &str = "/usr/share/debootstrap/scripts";

/// Path of [`GPGV`] inside.
const GPGV_FILE: &str = "/usr/lib/mini-buildd/gpgv";

/// A gpgv to which the signature of a key that has expired is as good as any; all else is still refused.
///
/// apt reads the status that it writes (apt-key(8)); debootstrap takes VALIDSIG, which expired keys have too.
const GPGV: &str = r#"#!/bin/sh
fd=3 last=
for word; do
	[ "$last" != --status-fd ] || fd=$word
	last=$word
done
eval "exec 9>&$fd"
exec 8>&1
status=$({ {
	eval "gpgv \"\$@\" $fd>&1 1>&8"
	echo $? >&7
} | sed 's/^\[GNUPG:] EXPKEYSIG /[GNUPG:] GOODSIG /' >&9; } 7>&1)
exit "$status"
"#;

impl Chroots {
    /// Quirks of the chroot's release, as of today.
    pub fn quirks(&self, chroot: &Chroot) -> Quirks {
        of(&chroot.codename)
    }
}

/// Quirks of a release, as of today.
pub fn of(codename: &Codename) -> Quirks {
    let distributors = DISTRIBUTORS.map(|name| {
        let table = Path::new(DISTRO_INFO).join(format!("{name}.csv"));
        Distributor {
            name,
            // Nothing is known without it; doctor asks for it.
            releases: distro_info::parse(&fs::read_to_string(table).unwrap_or_default()),
        }
    });
    Quirks::of(codename, &distributors, Zoned::now().date())
}

/// What apt is told in a chroot with these quirks.
pub fn apt_configuration(quirks: &Quirks) -> String {
    let plain = apt::CONFIGURATION;
    if quirks.has(Quirk::Archived) {
        return format!(
            "{plain}Acquire::Check-Valid-Until \"false\";\nAPT::Key::GPGVCommand \"{GPGV_FILE}\";\n"
        );
    }
    plain.to_owned()
}

/// Adds what every apt of ours reads.
pub fn configure_apt(tree: &mut Tree, quirks: &Quirks) {
    tree.text(apt::CONFIGURATION_FILE, apt_configuration(quirks));
    if quirks.has(Quirk::Archived) {
        tree.program(GPGV_FILE, GPGV);
    }
}

/// The keys that left the distributor's keyring, for what only they sign.
pub fn removed_keys(quirks: &Quirks) -> Option<PathBuf> {
    let distributor = quirks.distributor.filter(|_| quirks.has(Quirk::Archived))?;
    let path = Path::new(KEYRINGS).join(format!("{distributor}-archive-removed-keys.gpg"));
    path.exists().then_some(path)
}

/// The script that debootstrap is to take, where it has none of the release's name.
pub(super) fn script(chroot: &Chroot, quirks: &Quirks) -> Option<&'static str> {
    let own = Path::new(SCRIPTS).join(chroot.codename.as_str());
    quirks.script().filter(|_| !own.exists())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    /// What the wrapper says of a signature that gpgv calls `word`.
    fn status(word: &str) -> (Option<i32>, String, String) {
        let directory = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let path = directory.path().join(name);
            let mut file = fs::File::create(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.set_permissions(fs::Permissions::from_mode(0o755))
                .unwrap();
            path
        };
        program(
            "gpgv",
            &format!("#!/bin/sh\necho \"[GNUPG:] {word} 00 EXPKEYSIG\" >&5\necho \"$*\"\nexit 3\n"),
        );
        let wrapper = program("wrapper", GPGV);
        let said = directory.path().join("status");
        let output = Command::new("sh")
            .args(["-c", "exec \"$0\" --status-fd 5 'a b' 5>\"$1\""])
            .args([&wrapper, &said])
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", directory.path().display()),
            )
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        (
            output.status.code(),
            fs::read_to_string(said).unwrap(),
            stdout,
        )
    }

    #[test]
    fn the_signature_of_an_expired_key_counts_and_no_other_that_is_bad() {
        let (code, said, output) = status("EXPKEYSIG");
        assert_eq!(
            (code, said.as_str()),
            (Some(3), "[GNUPG:] GOODSIG 00 EXPKEYSIG\n")
        );
        assert_eq!(output, "--status-fd 5 a b\n");
        for word in ["BADSIG", "REVKEYSIG", "EXPSIG", "NO_PUBKEY"] {
            assert_eq!(status(word).1, format!("[GNUPG:] {word} 00 EXPKEYSIG\n"));
        }
    }

    #[test]
    fn current_releases_are_told_nothing_more() {
        let mut tree = Tree::default();
        configure_apt(&mut tree, &Quirks::default());
        let mut plain = Tree::default();
        plain.text(apt::CONFIGURATION_FILE, apt::CONFIGURATION);
        assert_eq!(format!("{tree:?}"), format!("{plain:?}"));
        assert_eq!(removed_keys(&Quirks::default()), None);
    }
}
