//! Chroots of an instance that are broken.
use std::fs;
use std::process::{Command, Output};

use mini_buildd::home::Home;
use mini_buildd::model::Item as _;
use sandbox::{IdMap, Launcher};
use serde_json::Value;

use crate::base::Base;
use crate::packager::run;
use crate::program::program;

use super::finding;

/// A home with a copy of the shared base: the copy has files in common with it, but directories of its own.
fn copied(base: &Base, name: &str) -> Home {
    let home = Home::new(base.directory(name));
    let original = base.chroots.home();
    run(Command::new("sh")
        .args(["-euc", "cp \"$0\"* ."])
        .arg(original.database())
        .current_dir(home.root()));
    let chroot = home.chroot(&base.chroot.codename, &base.chroot.architecture);
    fs::create_dir_all(&chroot).unwrap();
    // Layers come and go while other tests build.
    let original = original.chroot(&base.chroot.codename, &base.chroot.architecture);
    run(storage("cp")
        .arg("-al")
        .arg(original.join("base"))
        .arg(&chroot));
    home
}

fn storage(program_inside: &str) -> Command {
    let launcher = Launcher {
        helper: program(),
        ids: IdMap::of_caller().unwrap(),
    };
    launcher.storage_command(program_inside)
}

fn doctor(home: &Home) -> Value {
    let output: Output = Command::new(program())
        .args(["doctor", "--json", "--home"])
        .arg(home.root())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn chroot_that_is_broken_is_removed_and_made_anew() {
    let base = Base::get();
    let name = base.chroot.name();
    let home = copied(base, "doctor-broken");
    let report = doctor(&home);
    assert_eq!(finding(&report, "chroots")["ok"], true, "{report:#}");

    let chroot = home.chroot(&base.chroot.codename, &base.chroot.architecture);
    run(storage("sh")
        .arg("-euc")
        .arg("rm \"$0\"/base/tree/root/usr/bin/dpkg")
        .arg(&chroot));
    let report = doctor(&home);
    let broken = finding(&report, "chroots");
    let problem = broken["problem"].as_str().unwrap();
    assert!(
        problem.contains(&format!("the base of chroot {name} does not work")),
        "{broken}"
    );
    let remove = format!(
        "mini-buildd remove --chroot {name} --home {}",
        home.root().display()
    );
    let remedy = broken["remedy"].as_str().unwrap();
    assert!(remedy.starts_with(&remove), "{broken}");

    run(Command::new(program())
        .args(["remove", "--chroot", &name, "--home"])
        .arg(home.root()));
    let report = doctor(&home);
    let unmade = finding(&report, "chroots");
    let problem = unmade["problem"].as_str().unwrap();
    assert!(problem.contains("its bootstrap was broken off"), "{unmade}");
    assert!(
        unmade["remedy"].as_str().unwrap().contains("up --no-start"),
        "{unmade}"
    );
}
