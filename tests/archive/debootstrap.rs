//! debootstrap finds what a base system would be made of.
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use jiff::Timestamp;

use crate::repository::{COMPONENTS, DIST, Repository, architectures};
use crate::sample::{self, Binary};
use crate::server::Server;

/// debootstrap knows no dist of ours by name.
const SCRIPT: &str = "/usr/share/debootstrap/scripts/sid";

/// Adds what a base system needs: two packages that are required, and apt, with what they depend on.
fn add_base(repository: &Repository) {
    let samples = &repository.samples;
    let dsc = samples.source("base", "1", "admin");
    let binary = |name, architecture, fields: &str| {
        let binary = Binary {
            name,
            version: "1",
            architecture,
            source: "base",
            section: "admin",
        };
        samples.binary_with(&binary, &format!("{fields}Description: x\n"))
    };
    let own = architectures()[0];
    let essential = "Essential: yes\nPriority: required\n";
    let binaries = vec![
        binary("base-essential", own, essential),
        binary(
            "base-required",
            "all",
            "Priority: required\nDepends: hello-data (>= 1), base-library\n",
        ),
        binary("base-library", own, "Priority: optional\n"),
        binary("base-important", own, "Priority: important\n"),
        binary("apt", own, "Priority: required\n"),
    ];
    repository.add(&dsc, binaries);
}

#[test]
fn debootstrap_finds_and_downloads_a_base_system() {
    let repository = Repository::new();
    add_base(&repository);
    repository.build("1:1.2");
    repository.publish_at(Timestamp::now());
    let server = Server::start(&repository.home);
    let debootstrap = |option: &str, target: &str| {
        sample::run(
            Command::new("/usr/sbin/debootstrap")
                .args([option, "--variant=minbase", "--arch", architectures()[0]])
                .arg(format!("--components={}", COMPONENTS.join(",")))
                .arg(format!("--keyring={}", repository.keyring().display()))
                .arg(DIST)
                .arg(repository.path(target))
                .args([&server.url(), SCRIPT])
                .env("no_proxy", "127.0.0.1"),
        )
    };
    let base = [
        "apt",
        "base-essential",
        "base-library",
        "base-required",
        "hello-data",
    ];
    let printed = debootstrap("--print-debs", "printed");
    let printed: BTreeSet<&str> = printed.split_whitespace().collect();
    assert_eq!(printed, base.into());

    debootstrap("--download-only", "target");
    let archives = repository.path("target/var/cache/apt/archives");
    let names = fs::read_dir(archives).unwrap().map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.split('_').next().unwrap().to_owned()
    });
    let names: BTreeSet<String> = names.filter(|name| name != "partial").collect();
    assert_eq!(names, base.map(str::to_owned).into());
    assert_eq!(server.missing(), []);
}
