//! Calls on packages, in stock's form; and who may make which.
use std::path::Path;
use std::process::Command;

use mini_buildd::api::{Auth, CALLS};
use serde_json::{Value, json};

use crate::accounts::{Peopled, USERS, refused, said};
use crate::history::{archive, hello};
use crate::program::program;
use crate::sample::Samples;

const FIRST: &str = "1.0~test13+1";
const SECOND: &str = "2.0~test13+1";
const UNSTABLE: &str = "trixie-test-unstable";
const TESTING: &str = "trixie-test-testing";

fn include(peopled: &Peopled, version: &str) {
    let place = tempfile::tempdir().unwrap();
    let files = hello(place.path(), version);
    let [dsc, deb] = files.each_ref().map(|file| file.to_str().unwrap());
    let output = archive(peopled.home.path(), &["include", UNSTABLE, dsc, deb]);
    assert!(output.status.success(), "{output:?}");
}

fn asked(peopled: &Peopled, words: &[&str]) -> Value {
    let text = said(&peopled.daemon.api(&[&["--json"], words].concat()));
    serde_json::from_str(&text).unwrap()
}

fn at(version: &str) -> Value {
    json!({"version": version, "component": "main", "architecture": "source"})
}

#[test]
fn packages_are_listed_migrated_and_removed_as_by_stock() {
    let peopled = Peopled::start();
    include(&peopled, FIRST);
    include(&peopled, SECOND);
    let ls = |more: &[&str]| asked(&peopled, &[&["ls", "ENDPOINT", "hello"], more].concat());
    let mut unstable = json!({"rollbacks": {format!("{UNSTABLE}-rollback0"): at(FIRST)}});
    unstable
        .as_object_mut()
        .unwrap()
        .extend(at(SECOND).as_object().unwrap().clone());
    assert_eq!(ls(&[]), json!({"test": {UNSTABLE: unstable}}));
    assert_eq!(ls(&["--min-version", "3"]), json!({}));
    assert_eq!(ls(&["--repositories", "other"]), json!({}));
    assert_eq!(asked(&peopled, &["ls", "ENDPOINT", "nosuch"]), json!({}));
    let old = ls(&["--version", FIRST]);
    assert_eq!(
        old["test"][UNSTABLE],
        json!({"rollbacks": {format!("{UNSTABLE}-rollback0"): at(FIRST)}})
    );

    let done = peopled.api_as(
        "staff",
        &["--auto-confirm", "migrate", "ENDPOINT", "hello", UNSTABLE],
    );
    assert_eq!(said(&done), "{}\n");
    let show = asked(&peopled, &["show", "ENDPOINT", "hello"]);
    let dsc = |version: &str| format!("test/pool/main/h/hello/hello_{version}.dsc");
    let expected = json!({
        "rollbacks": {format!("{UNSTABLE}-rollback0"): {
            "version": FIRST, "component": "main", "architecture": "source", "dsc_path": dsc(FIRST),
        }},
        "version": SECOND, "component": "main", "architecture": "source", "dsc_path": dsc(SECOND),
        "changes_paths": [], "uploadable": true, "migrates_to": TESTING, "is_migrated": true,
    });
    assert_eq!(show["test"][UNSTABLE], expected);
    assert_eq!(show["test"][TESTING]["is_migrated"], json!(false));
    let (status, _) = peopled.curl(&[], &format!("/repositories/{}", dsc(SECOND)));
    assert_eq!(status, 200);
    let (_, index) = peopled.curl(
        &[],
        &format!("/repositories/test/dists/{TESTING}/main/source/Sources"),
    );
    assert!(
        index.contains("Package: hello\n"),
        "published before the call ends: {index}"
    );

    let again = peopled.api_as(
        "staff",
        &["--auto-confirm", "migrate", "ENDPOINT", "hello", UNSTABLE],
    );
    assert!(refused(&again).contains(&format!("hello {SECOND} is in {TESTING} already")));
    let words = ["remove", "ENDPOINT", "hello", TESTING, "--without-rollback"];
    let unsure = refused(&peopled.api_as("admin", &words));
    assert!(
        unsure.contains("API call 'remove' needs to be confirmed: remove"),
        "{unsure}"
    );
    said(&peopled.api_as("admin", &[&["--auto-confirm"], &words[..]].concat()));
    assert_eq!(ls(&["-V", SECOND])["test"].as_object().unwrap().len(), 1);
    let nowhere = peopled.api_as(
        "admin",
        &[
            "--auto-confirm",
            "remove",
            "ENDPOINT",
            "hello",
            "sid-test-unstable",
        ],
    );
    assert!(
        refused(&nowhere)
            .contains("there is no distribution sid-test-unstable; there are: trixie-test-stable")
    );
}

#[test]
fn snapshots_are_made_listed_and_given_up() {
    let peopled = Peopled::start();
    include(&peopled, FIRST);
    let create = [
        "--auto-confirm",
        "snapshot_create",
        "ENDPOINT",
        UNSTABLE,
        "snap1",
    ];
    assert_eq!(said(&peopled.api_as("admin", &create)), "{}\n");
    assert!(refused(&peopled.api_as("admin", &create)).contains("has a snapshot snap1 already"));
    assert_eq!(
        asked(&peopled, &["snapshot_ls", "ENDPOINT", UNSTABLE]),
        json!(["snap1"])
    );
    let (status, _) = peopled.curl(
        &[],
        &format!("/repositories/test/dists/{UNSTABLE}/snapshots/snap1/InRelease"),
    );
    assert_eq!(status, 200);
    said(&peopled.api_as(
        "admin",
        &[
            "--auto-confirm",
            "snapshot_delete",
            "ENDPOINT",
            UNSTABLE,
            "snap1",
        ],
    ));
    assert_eq!(
        asked(&peopled, &["snapshot_ls", "ENDPOINT", UNSTABLE]),
        json!([])
    );
}

#[test]
fn packages_of_a_distribution_come_page_by_page() {
    let peopled = Peopled::start();
    let place = tempfile::tempdir().unwrap();
    let samples = Samples::new(place.path().to_owned());
    let names = ["abc", "hello", "hello-free", "zebra"];
    for name in names {
        let section = if name == "hello-free" {
            "contrib/misc"
        } else {
            "misc"
        };
        let dsc = samples.source(name, FIRST, section);
        let output = archive(
            peopled.home.path(),
            &["include", UNSTABLE, dsc.to_str().unwrap()],
        );
        assert!(output.status.success(), "{output:?}");
    }
    let page = |more: &[&str]| {
        asked(
            &peopled,
            &[&["packages", "ENDPOINT", UNSTABLE], more].concat(),
        )
    };
    let sources = |page: &Value| -> Vec<String> {
        let packages = page["packages"].as_array().unwrap().iter();
        packages
            .map(|package| package["source"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = page(&[]);
    assert_eq!(sources(&all), names);
    assert_eq!(all["next"], Value::Null);
    assert_eq!(
        all["packages"][2],
        json!({"source": "hello-free", "version": FIRST, "component": "contrib", "architectures": ["source"]})
    );
    let first = page(&["--limit", "3"]);
    assert_eq!(
        (sources(&first), &first["next"]),
        (
            names[..3].iter().map(ToString::to_string).collect(),
            &json!("hello-free")
        )
    );
    let second = page(&["--limit", "3", "--after", "hello-free"]);
    assert_eq!(
        (sources(&second), &second["next"]),
        (vec!["zebra".to_owned()], &Value::Null)
    );
    let why = refused(
        &peopled
            .daemon
            .api(&["packages", "ENDPOINT", UNSTABLE, "--limit", "0"]),
    );
    assert!(why.contains("limit must be 1 to 1000"), "{why}");
}

#[test]
fn users_subscribe_and_give_their_keys() {
    let peopled = Peopled::start();
    let asked = |words: &[&str]| -> Value {
        serde_json::from_str(&said(
            &peopled.api_as("user", &[&["--json"], words].concat()),
        ))
        .unwrap()
    };
    let one = json!({"created": true, "source": "hello", "distribution": UNSTABLE});
    assert_eq!(asked(&["subscribe", "ENDPOINT", "hello", UNSTABLE]), one);
    assert_eq!(
        asked(&["subscribe", "ENDPOINT", "hello", UNSTABLE])["created"],
        json!(false)
    );
    assert_eq!(
        asked(&["subscribe", "ENDPOINT"]),
        json!({"created": true, "source": "", "distribution": ""})
    );
    let removed = asked(&["unsubscribe", "ENDPOINT", "hello"]);
    assert_eq!(
        removed,
        json!([{"source": "hello", "distribution": UNSTABLE}])
    );
    assert_eq!(
        asked(&["unsubscribe", "ENDPOINT"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let why = refused(&peopled.api_as("user", &["subscribe", "ENDPOINT", "hello", "sid-x-y"]));
    assert!(why.contains("there is no distribution sid-x-y"), "{why}");

    let key = mini_buildd::pgp::SigningKey::generate("Jo Doe", "jo@example.org").unwrap();
    let set =
        |key: &str| peopled.api_as("user", &["--auto-confirm", "set_user_key", "ENDPOINT", key]);
    let mut installed = mini_buildd::pgp::Keyring::default();
    let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    installed.add_file(keyring).unwrap();
    assert_eq!(said(&set(&installed.fingerprints()[0])), "{}\n");
    assert!(refused(&set("0123456789ABCDEF")).contains("there is no key server"));
    assert_eq!(said(&set(&key.public_armored())), "{}\n");
    let uploaders = said(&peopled.api_as("admin", &["uploaders", "ENDPOINT"]));
    assert!(
        !uploaders.contains(&key.fingerprint()),
        "not yet active: {uploaders}"
    );
    assert!(refused(&set("no\nkey")).contains("not an OpenPGP key"));

    // What was granted to a key stays with it, and with no other one.
    let item = |words: &[&str]| {
        let mut command = Command::new(program());
        command.arg("item").args(words);
        said(
            &command
                .arg("--home")
                .arg(peopled.home.path())
                .output()
                .unwrap(),
        )
    };
    let granted = || -> Value {
        let shown: Value = serde_json::from_str(&item(&["show", "uploader", "user"])).unwrap();
        shown["may_upload_to"].clone()
    };
    item(&[
        "set",
        "uploader",
        "user",
        "may_upload_to=[\"test\"]",
        "--pca",
    ]);
    let uploaders = said(&peopled.api_as("admin", &["uploaders", "ENDPOINT"]));
    assert!(uploaders.contains(&key.fingerprint()), "{uploaders}");
    said(&set(&key.public_armored()));
    assert_eq!(granted(), json!(["test"]));
    let other = mini_buildd::pgp::SigningKey::generate("Jo Doe", "jo@example.org").unwrap();
    said(&set(&other.public_armored()));
    assert_eq!(granted(), json!([]));
}

#[test]
fn each_call_is_for_its_role() {
    let peopled = Peopled::start();
    let is_allowed = |auth: Auth, name: &str| match auth {
        Auth::None => true,
        Auth::Login => name != "nobody",
        Auth::Staff => ["staff", "admin"].contains(&name),
        Auth::Admin => ["super", "admin"].contains(&name),
    };
    let names = USERS.map(|(name, _)| name);
    for name in [&["nobody"], &names[..]].concat() {
        peopled.curl(&[], "/accounts/logout/");
        if name != "nobody" {
            assert_eq!(peopled.log_in(name, &format!("{name}{name}")).0, 200);
        }
        for call in CALLS {
            // All that may be required, and none of it there: what is allowed goes wrong later.
            let arguments = "source=hello&distribution=x&from_distribution=x&to_distributions=x&dsc=x&distributions=x\
                             &bkey=x/1/20261122:054621:058520/amd64&key=x&remote=x&signed_message=x&name=x&repository=x&id=1\
                             &kind=layout&action=check&fields=x";
            let path = format!("/mini_buildd/api/{}/?{arguments}", call.name);
            let (status, body) = peopled.curl(&[], &path);
            assert_eq!(
                status != 401,
                is_allowed(call.auth, name),
                "{} as {name}: {body}",
                call.name
            );
            if status == 401 {
                let needs = format!(
                    "API call '{}' needs authorization: {}",
                    call.name, call.auth
                );
                assert!(body.contains(&needs), "{body}");
            } else if call.confirm {
                let unsure = format!("API call '{0}' needs to be confirmed: {0}", call.name);
                assert!(body.contains(&unsure), "{body}");
            }
        }
    }
}

#[test]
fn calls_that_are_to_come_say_so() {
    let peopled = Peopled::start();
    assert_eq!(peopled.log_in("admin", "adminadmin").0, 200);
    for query in [
        "port/?source=hello&from_distribution=a&to_distributions=b",
        "port_ext/?dsc=http://mirror.example.org/x.dsc&distributions=b",
        "retry/?bkey=a",
        "cancel/?bkey=a",
        "wake/?remote=a",
        "handshake/?signed_message=a",
        "debmirror/?",
        "keyring_packages/?",
        "test_packages/?",
    ] {
        let (name, _) = query.split_once('/').unwrap();
        let (status, body) = peopled.curl(&[], &format!("/mini_buildd/api/{query}&confirm={name}"));
        assert_eq!(status, 501, "{body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            problem["detail"],
            format!("API call '{name}' is not available yet")
        );
    }
}
