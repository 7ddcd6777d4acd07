//! Releases that are so old that nobody signs their archives any more.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mini_buildd::chroots::{Chroots, Trial};
use mini_buildd::deb::hexadecimal;
use mini_buildd::deb::{Paragraph, distro_info};
use mini_buildd::home::Home;
use mini_buildd::model::source::SignedBy;
use mini_buildd::model::{Chroot, Quirk, Source};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::base::Base;
use crate::packager::run;
use crate::served::Served;
use crate::slow;

/// Its long-term support is over; its packages here are those of the host's release.
const CODENAME: &str = "buster";
const COMPONENT: &str = "main";
/// An archive with what the shared base was made of, signed years ago by a key that has expired since.
struct Archive {
    served: Served,
    key: String,
}

impl Archive {
    fn new(base: &Base, directory: &Path) -> Archive {
        let architecture = base.chroot.architecture.as_str();
        let index = packages(base, directory);
        let path = format!("{COMPONENT}/binary-{architecture}/Packages");
        let dist = directory.join("dists").join(CODENAME);
        fs::create_dir_all(dist.join(&path).parent().unwrap()).unwrap();
        fs::write(dist.join(&path), &index).unwrap();
        let digest = hexadecimal(&Sha256::digest(&index));
        let release = format!(
            "Origin: Debian\nSuite: oldoldstable\nCodename: {CODENAME}\n\
             Date: Mon, 01 Jul 2019 00:00:00 UTC\nValid-Until: Mon, 08 Jul 2019 00:00:00 UTC\n\
             Architectures: {architecture}\nComponents: {COMPONENT}\nSHA256:\n {digest} {} {path}\nLabel: Debian\n",
            index.len()
        );
        let release_file = dist.join("Release");
        fs::write(&release_file, release).unwrap();
        let gnupg = Gnupg::new();
        gnupg.run(&[
            "--passphrase",
            "",
            "--quick-gen-key",
            "Old",
            "rsa3072",
            "sign",
            "1y",
        ]);
        let signed = dist.join("InRelease");
        let [signed, release] = [&signed, &release_file].map(|path| path.to_str().unwrap());
        gnupg.run(&["--clearsign", "--output", signed, release]);
        let key = gnupg.run(&["--armor", "--export"]);
        let served = Served::new(directory);
        Archive { served, key }
    }

    fn source(&self, base: &Base) -> Source {
        Source {
            codename: CODENAME.parse().unwrap(),
            suite: CODENAME.into(),
            archives: vec![self.served.url.clone()],
            components: vec![COMPONENT.parse().unwrap()],
            apt_keys: vec![SignedBy::Armored(self.key.clone())],
            check_valid_until: true,
            codeversion: "10".into(),
            ..base.source.clone()
        }
    }
}

/// Keys in a home of their own, in the year 2019.
struct Gnupg(TempDir);

impl Gnupg {
    fn new() -> Gnupg {
        // The path of its agent's socket must be short.
        Gnupg(TempDir::new_in("/tmp").unwrap())
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = run(Command::new("gpg")
            .args([
                "--batch",
                "--quiet",
                "--faked-system-time",
                "20190701T000000!",
            ])
            .args(arguments)
            .env("GNUPGHOME", self.0.path()));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Gnupg {
    fn drop(&mut self) {
        run(Command::new("gpgconf")
            .args(["--kill", "all"])
            .env("GNUPGHOME", self.0.path()));
    }
}

/// Copies the .debs that debootstrap downloaded for the base into an archive; its index.
fn packages(base: &Base, directory: &Path) -> Vec<u8> {
    let home = base.chroots.home();
    let chroot = home.chroot(&base.chroot.codename, &base.chroot.architecture);
    let cache = chroot.join("cache/debootstrap");
    let mut debs: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(cache).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(name) = name.strip_suffix(".deb") {
            debs.insert(name.replace("%3a", ":"), path);
        }
    }
    let names = debs.keys().map(|name| name.split_once('_').unwrap().0);
    let known = run(Command::new("apt-cache").args(["show", "--"]).args(names));
    let known = Paragraph::parse_all(&String::from_utf8(known.stdout).unwrap()).unwrap();
    let mut index = String::new();
    for stanza in known {
        let field = |name| stanza.required(name).unwrap();
        let name = ["Package", "Version", "Architecture"].map(field).join("_");
        let Some(deb) = debs.remove(&name) else {
            continue;
        };
        let path = directory.join(field("Filename"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(deb, path).unwrap();
        // debootstrap takes the first alternative, and knows that it is the other only for releases that have it.
        let stanza = stanza
            .to_string()
            .replace("usrmerge | usr-is-merged", "usr-is-merged");
        index += &stanza;
        index += "\n";
    }
    assert!(debs.is_empty(), "apt knows nothing of {debs:?}");
    index.into_bytes()
}

#[test]
fn archived_release_is_built_for_although_its_key_has_expired() {
    if slow::is_left_to_the_user() {
        return;
    }
    let base = Base::get();
    let archive = Archive::new(base, &base.directory("quirks-archive"));
    let source = archive.source(base);
    let home = Home::new(base.directory("quirks-home"));
    home.create().unwrap();
    let chroots = Chroots::new(home, base.launcher());
    let chroot = Chroot {
        codename: CODENAME.parse().unwrap(),
        source: mini_buildd::model::Item::name(&source),
        debootstrap_extra_options: vec!["--merged-usr".into()],
        ..base.chroot.clone()
    };
    assert!(chroots.quirks(&chroot).has(Quirk::Archived));
    chroots
        .bootstrap(&chroot, &source, &[], &mut |_| {})
        .unwrap();
    let package = "fakeroot".parse().unwrap();
    let trial = |sources| Trial {
        sources,
        key: &archive.key,
        package: &package,
        command: &["cat", "/etc/apt/sources.list"],
    };
    let said = chroots
        .try_package(&chroot, &trial(""), &mut |_| {})
        .unwrap();
    assert!(said.contains("check-valid-until=no"), "{said}");

    // To a chroot of a release that is supported, the same archive is what it is.
    let source = format!(
        "Types: deb\nURIs: {}\nSuites: {CODENAME}\nComponents: {COMPONENT}\nSigned-By: {}\n",
        archive.served.url,
        Trial::KEY
    );
    assert!(!base.chroots.quirks(&base.chroot).has(Quirk::Archived));
    let refused = base
        .chroots
        .try_package(&base.chroot, &trial(&source), &mut |_| {});
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("EXPKEYSIG"), "{refused}");
}

#[test]
fn release_before_this_one_is_made_of_the_real_archive() {
    if std::env::var_os("MINI_BUILDD_TEST_LONG").is_none() {
        eprintln!("not tried: an older release of the real archive; tests/run --long does");
        return;
    }
    let base = Base::get();
    let table = fs::read_to_string("/usr/share/distro-info/debian.csv").unwrap();
    let releases = distro_info::parse(&table);
    let own = distro_info::find(&releases, &base.chroot.codename).unwrap();
    let older = releases.iter().filter(|release| {
        let is_older = release.created < own.created;
        is_older && release.version.is_some()
    });
    let older = older.max_by_key(|release| release.created).unwrap();
    let source = Source {
        codename: older.series.parse().unwrap(),
        suite: older.series.clone(),
        components: vec![COMPONENT.parse().unwrap()],
        codeversion: older.version.clone().unwrap(),
        ..base.source.clone()
    };
    let home = Home::new(base.directory("quirks-real"));
    home.create().unwrap();
    let chroots = Chroots::new(home, base.launcher());
    let chroot = Chroot {
        codename: source.codename.clone(),
        source: mini_buildd::model::Item::name(&source),
        ..base.chroot.clone()
    };
    chroots
        .bootstrap(&chroot, &source, &[], &mut |_| {})
        .unwrap();
    let package = "fakeroot".parse().unwrap();
    let trial = Trial {
        sources: "",
        key: "",
        package: &package,
        command: &["cat", "/etc/debian_version"],
    };
    let said = chroots.try_package(&chroot, &trial, &mut |_| {}).unwrap();
    assert!(said.starts_with(&source.codeversion), "{said}");
}
