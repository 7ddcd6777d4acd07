//! reprepro pulls all of a dist, and checks it.
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::repository::{COMPONENTS, DIST, Repository, architectures};
use crate::sample::run;
use crate::server::Server;

/// A repository of reprepro's that updates itself from ours.
struct Reprepro {
    base: PathBuf,
}

impl Reprepro {
    fn new(repository: &Repository, url: &str) -> Reprepro {
        let base = repository.path("reprepro");
        let reprepro = Reprepro { base };
        fs::create_dir_all(reprepro.base.join("conf")).unwrap();
        let components = COMPONENTS.join(" ");
        let what = format!(
            "Components: {components}\nUDebComponents: {components}\nArchitectures: {} source\n",
            architectures().join(" ")
        );
        let fingerprint = repository.key.fingerprint();
        let key = &fingerprint[fingerprint.len() - 16..];
        reprepro.configure(
            "distributions",
            &format!("Codename: {DIST}\n{what}Update: ours\n"),
        );
        reprepro.configure(
            "updates",
            &format!("Name: ours\nMethod: {url}\nSuite: *\n{what}VerifyRelease: {key}\n"),
        );
        let keyring = repository.keyring();
        run(reprepro
            .command("gpg")
            .args(["--batch", "--no-autostart", "--import"])
            .arg(keyring));
        reprepro
    }

    fn configure(&self, name: &str, text: &str) {
        fs::write(self.base.join("conf").join(name), text).unwrap();
    }

    /// A program that knows our key, and no proxy.
    fn command(&self, program: &str) -> Command {
        let home = self.base.join("gnupg");
        fs::create_dir_all(&home).unwrap();
        let mut command = Command::new(program);
        command
            .env("GNUPGHOME", home)
            .env("APT_CONFIG", "/dev/null");
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = self.command("reprepro");
        run(command.arg("--basedir").arg(&self.base).args(arguments))
    }

    /// `DIST|COMPONENT|ARCHITECTURE: NAME VERSION`, after `u|` for a .udeb.
    fn packages(&self) -> BTreeSet<String> {
        let list = self.run(&["list", DIST]);
        list.lines().map(str::to_owned).collect()
    }
}

/// What [`Reprepro::packages`] is to say.
fn published(repository: &Repository) -> BTreeSet<String> {
    let binaries = repository.stanzas("Packages");
    let sources = repository.stanzas("Sources");
    let lines = binaries.iter().chain(&sources).map(|stanza| {
        let kind = if stanza.is_udeb() { "u|" } else { "" };
        format!(
            "{kind}{DIST}|{}|{}: {} {}",
            stanza.component,
            stanza.architecture(),
            stanza.field("Package"),
            stanza.field("Version")
        )
    });
    lines.collect()
}

#[test]
fn reprepro_updates_from_ours_and_finds_nothing_wrong() {
    let repository = Repository::with_packages();
    let server = Server::start(&repository.home);
    let reprepro = Reprepro::new(&repository, &server.url());

    reprepro.run(&["update"]);
    let expected = published(&repository);
    assert_eq!(expected.len(), 11, "{expected:?}");
    assert_eq!(reprepro.packages(), expected);
    reprepro.run(&["check"]);
    reprepro.run(&["checkpool"]);
    assert_eq!(server.missing(), []);

    // Nothing is new.
    reprepro.run(&["update"]);
    let asked = server.asked();
    let names: Vec<&str> = asked.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(
        names,
        [format!("/repositories/test/dists/{DIST}/InRelease")]
    );

    repository.install("1:1.3");
    reprepro.run(&["update"]);
    let newer = published(&repository);
    assert_ne!(newer, expected);
    assert_eq!(reprepro.packages(), newer);
    reprepro.run(&["check"]);
}
