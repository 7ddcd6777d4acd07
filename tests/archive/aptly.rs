//! aptly mirrors a dist.
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::repository::{COMPONENTS, DIST, Repository, architectures};
use crate::sample::run;
use crate::server::Server;

/// aptly with a place and a keyring of its own.
struct Aptly {
    directory: PathBuf,
}

impl Aptly {
    fn new(repository: &Repository) -> Aptly {
        let aptly = Aptly {
            directory: repository.make_directory("aptly"),
        };
        let root = aptly.directory.join("root");
        fs::write(
            aptly.directory.join("aptly.conf"),
            serde_json::json!({ "rootDir": root }).to_string(),
        )
        .unwrap();
        // Where aptly looks for keys of mirrors.
        run(aptly
            .command("gpg")
            .args(["--batch", "--no-autostart", "--no-default-keyring"])
            .args(["--keyring", "trustedkeys.gpg", "--import"])
            .arg(repository.keyring()));
        aptly
    }

    fn command(&self, program: &str) -> Command {
        let home = self.directory.join("gnupg");
        fs::create_dir_all(&home).unwrap();
        let mut command = Command::new(program);
        command.env("GNUPGHOME", home).env("NO_PROXY", "127.0.0.1");
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let configuration = self.directory.join("aptly.conf");
        run(self
            .command("aptly")
            .arg(format!("-config={}", configuration.display()))
            .args(arguments))
    }
}

#[test]
fn aptly_mirrors_all_packages_and_sources() {
    let repository = Repository::with_packages();
    let server = Server::start(&repository.home);
    let aptly = Aptly::new(&repository);
    let architectures = format!("-architectures={}", architectures().join(","));
    let url = server.url();
    let mirror = [
        &["mirror", "create", "-with-sources", "-with-udebs"],
        &[architectures.as_str(), "ours", url.as_str(), DIST][..],
        &COMPONENTS,
    ];
    aptly.run(&mirror.concat());
    aptly.run(&["mirror", "update", "ours"]);

    let found = aptly.run(&["mirror", "search", "ours"]);
    let found: BTreeSet<&str> = found.lines().collect();
    let binaries = repository.stanzas("Packages");
    let sources = repository.stanzas("Sources");
    let expected: BTreeSet<String> = binaries
        .iter()
        .map(|stanza| (stanza, stanza.field("Architecture")))
        .chain(sources.iter().map(|stanza| (stanza, "source")))
        .map(|(stanza, architecture)| {
            let [name, version] = ["Package", "Version"].map(|field| stanza.field(field));
            format!("{name}_{version}_{architecture}")
        })
        .collect();
    assert_eq!(expected.len(), 9, "{expected:?}");
    assert_eq!(found, expected.iter().map(String::as_str).collect());
    assert_eq!(server.missing(), []);

    // What was downloaded makes a repository again.
    aptly.run(&["snapshot", "create", "all", "from", "mirror", "ours"]);
    aptly.run(&[
        "publish",
        "snapshot",
        "-skip-signing",
        "-distribution=copy",
        "all",
    ]);
    for stanza in binaries {
        let pool = aptly.directory.join("root/public/pool");
        let published = repository
            .archive
            .directory()
            .join(stanza.field("Filename"));
        let name = published.file_name().unwrap();
        let copies = run(Command::new("find").arg(pool).arg("-name").arg(name));
        let copy = copies.lines().next().unwrap();
        assert!(
            fs::read(copy).unwrap() == fs::read(&published).unwrap(),
            "{copy}"
        );
    }
}
