//! The repository over HTTP, to apt itself.
use std::fs;
use std::process::Command;

use crate::site::Site;

#[test]
fn apt_updates_and_downloads_with_pipelining() {
    let site = Site::start();
    let pool: Vec<_> = (0..30)
        .map(|number| package(&site, &format!("pipe{number}")))
        .collect();
    let packages = pool.join("\n");
    site.file(
        "repositories/test/dists/sid-test-stable/main/binary-all/Packages",
        &packages,
    );
    let state = site.directory.path().join("apt");
    for directory in [
        "lists/partial",
        "cache/archives/partial",
        "etc/preferences.d",
    ] {
        fs::create_dir_all(state.join(directory)).unwrap();
    }
    for file in ["status", "etc/apt.conf"] {
        fs::write(state.join(file), "").unwrap();
    }
    let sources = format!(
        "deb [trusted=yes arch=all] http://{}/repositories/test sid-test-stable main\n",
        site.address
    );
    fs::write(state.join("etc/sources.list"), sources).unwrap();
    let apt = |words: &[&str]| {
        let state = state.display();
        let output = Command::new("apt-get")
            .env("APT_CONFIG", site.directory.path().join("apt/etc/apt.conf"))
            .current_dir(site.directory.path())
            .args([
                &format!("-oDir::Etc={state}/etc"),
                "-oDir::Etc::sourceparts=/dev/null",
                "-oDir::Etc::parts=/dev/null",
                &format!("-oDir::State={state}"),
                &format!("-oDir::State::status={state}/status"),
                &format!("-oDir::Cache={state}/cache"),
                "-oAcquire::http::Pipeline-Depth=10",
                "-oAcquire::http::Proxy=DIRECT",
                "-oAcquire::Retries=0",
                "-oAPT::Sandbox::User=root",
                "-oAPT::Get::AllowUnauthenticated=1",
                "-oAcquire::AllowInsecureRepositories=1",
                "-q",
            ])
            .args(words)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        text
    };
    release(&site, &packages);
    apt(&["update"]);
    let again = apt(&["update"]);
    assert!(again.contains("Hit:"), "{again}");
    let names: Vec<_> = (0..30).map(|number| format!("pipe{number}")).collect();
    let mut words = vec!["download"];
    words.extend(names.iter().map(String::as_str));
    apt(&words);
    for name in names {
        let file = site.directory.path().join(format!("{name}_1_all.deb"));
        assert_eq!(fs::read_to_string(file).unwrap(), content(&name));
    }
}

/// What stands for a .deb: apt downloads without looking inside.
fn content(name: &str) -> String {
    name.repeat(5000)
}

/// Puts a package into the pool; gives its entry in Packages.
fn package(site: &Site, name: &str) -> String {
    let path = format!("pool/main/p/{name}/{name}_1_all.deb");
    let file = site.file(&format!("repositories/test/{path}"), content(name));
    let length = content(name).len();
    format!(
        "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: T <t@e>\nFilename: {path}\n\
         Size: {length}\nSHA256: {}\nDescription: x\n",
        sha256(&file)
    )
}

fn release(site: &Site, packages: &str) {
    let index = site
        .home
        .root()
        .join("repositories/test/dists/sid-test-stable/main/binary-all/Packages");
    let text = format!(
        "Origin: T\nSuite: sid-test-stable\nCodename: sid-test-stable\nDate: Sun, 22 Nov 2026 05:57:58 UTC\n\
         Architectures: all\nComponents: main\nSHA256:\n {} {} main/binary-all/Packages\n",
        sha256(&index),
        packages.len()
    );
    site.file("repositories/test/dists/sid-test-stable/Release", text);
}

fn sha256(file: &std::path::Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').next().unwrap().to_owned()
}
