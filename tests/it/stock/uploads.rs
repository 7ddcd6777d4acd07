//! Uploads by stock's own client and by dput-ng, in the clear and over TLS.
use std::fs;
use std::path::Path;

use mini_buildd::cause::with_causes;
use mini_buildd::chroots::Session;
use mini_buildd::chroots::tree::Tree;
use mini_buildd::model::EventType;
use rustix::process::Signal;

use super::{command, include};
use crate::base::Base;
use crate::buildd::Buildd;
use crate::history::hello;
use crate::small_source::SmallSource;

/// Stock's own upload client waits for the end of a build; dput-ng takes the profile that we give.
pub(super) fn are_followed_to_their_end(session: &Session) {
    let mut buildd = Buildd::made(Base::get().home("stock-uploads")).with_adjacent_ports();
    buildd.start();
    follow(session, &mut buildd, ["mbd-followed", "mbd-sent"], None);
    sources_are_compared(session, &buildd);
    buildd.end(Signal::TERM);
    let certificate = buildd.speak_tls();
    buildd.start();
    let certificate = fs::read_to_string(certificate).unwrap();
    follow(
        session,
        &mut buildd,
        ["mbd-followed-tls", "mbd-sent-tls"],
        Some(&certificate),
    );
}

/// Two versions that the repository has, unpacked in the chroot of the instance.
fn sources_are_compared(session: &Session, buildd: &Buildd) {
    let place = tempfile::tempdir().unwrap();
    let versions = ["1.0", "2.0"].map(|upstream| format!("{upstream}{}", buildd.suffix));
    for version in &versions {
        include(
            buildd.home.root(),
            &buildd.dist,
            &hello(place.path(), version),
        );
    }
    let words = [
        "mini-buildd-api",
        "debdiff",
        &buildd.http_url,
        "hello",
        "test",
    ];
    let [old, new] = &versions;
    let said = super::run(session, &[&words[..], &["-a", old, "-b", new]].concat());
    assert!(said.contains(&format!("+hello ({new})")), "{said}");
}

fn follow(
    session: &Session,
    buildd: &mut Buildd,
    names: [&'static str; 2],
    certificate: Option<&str>,
) {
    let place = tempfile::tempdir().unwrap();
    let made = |name: &'static str| {
        let source = SmallSource {
            name,
            ..SmallSource::default()
        };
        let tree = source.write(place.path());
        let version = format!("1.0{}", buildd.suffix);
        buildd.uploader.build_source(&tree, &version, &buildd.dist)
    };
    let [changes, other] = names.map(made);
    let mut tree = Tree::default();
    let trust = "/opt/test/buildd.crt";
    tree.text(trust, certificate.unwrap_or_default());
    session.unpack(&tree).unwrap();
    // As people without it have it: only the system's authorities count.
    let variables = certificate.map(|_| ("SSL_CERT_FILE", trust));
    let variables: Vec<_> = variables.into_iter().collect();
    let run = |words: &[&str]| session.succeed(&command(words, &variables)).unwrap();
    let ask = |words: &[&str]| {
        run(&[
            &[
                "mini-buildd-api",
                "--script-mode",
                "dput_conf",
                &buildd.http_url,
            ],
            words,
        ]
        .concat())
    };
    let mut tree = Tree::default();
    tree.text("/root/.dput.cf", ask(&[])).text(
        "/etc/dput.d/profiles/mini-buildd-proof.json",
        ask(&["--dput-ng-profile"]),
    );
    if certificate.is_some() {
        let words = ["mini-buildd-api", "status", &buildd.http_url];
        let untrusted = session.succeed(&command(&words, &[])).unwrap_err();
        let why = with_causes(&untrusted);
        assert!(why.contains("CERTIFICATE_VERIFY_FAILED"), "{why}");
    }
    for entry in std::fs::read_dir(place.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_str().unwrap();
            tree.text(&format!("/opt/test/{name}"), std::fs::read(&path).unwrap());
        }
    }
    session.unpack(&tree).unwrap();
    let inside = |changes: &Path| {
        let name = changes.file_name().unwrap().to_str().unwrap();
        format!("/opt/test/{name}")
    };
    let words = [
        "mini-buildd-dput",
        "-C",
        "mini-buildd-proof",
        &inside(&changes),
    ];
    let said = run(&words);
    assert!(said.contains("INSTALLED"), "{said}");
    buildd.ended(names[0], EventType::Installed);
    let words = ["mini-buildd-events", &buildd.http_url, "--after", "epoch"];
    let events = run(&[&words[..], &["-S", names[0], "-E", "INSTALLED"]].concat());
    assert!(events.contains("\"INSTALLED\""), "{events}");
    // Who signed it is ours to know, not this chroot's.
    let words = ["dput", "--unchecked", "mini-buildd-proof", &inside(&other)];
    run(&words);
    buildd.ended(names[1], EventType::Installed);
}
