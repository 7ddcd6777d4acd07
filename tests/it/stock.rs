//! The stock program's own clients, unmodified, against us: from a chroot of the release that has them.
mod apt;
mod uploads;

use std::path::{Path, PathBuf};

use backends::Bootstrap;
use mini_buildd::api::{Auth, CALLS};
use mini_buildd::chroots::tree::Tree;
use mini_buildd::chroots::{Chroots, Session, apt as chroot_apt, process};
use mini_buildd::fetch::Proxies;
use mini_buildd::home::Home;
use mini_buildd::model::{Chroot, Source};
use sandbox::{Network, Process};
use serde_json::{Value, json};

use crate::accounts::{Peopled, USERS};
use crate::base::Base;
use crate::history::{archive, hello};

/// The release whose mini-buildd is 2.2.8.
const CODENAME: &str = "trixie";
const UNSTABLE: &str = "trixie-test-unstable";
const APT: &str = "APT::Sandbox::User \"root\";\nAPT::Install-Recommends \"false\";\n\
    Acquire::Check-Valid-Until \"true\";\nAcquire::Check-Date \"true\";\n";
/// Knows that a user's password is the name twice.
const KEYRING: &str = "
import keyring.backend
class Keyring(keyring.backend.KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        return username * 2
    def set_password(self, service, username, password):
        raise NotImplementedError
    def delete_password(self, service, username):
        raise NotImplementedError
";
/// Makes each call as each user, with what its arguments may be, and writes what comes of it.
const EVERY_CALL: &str = "
import json, sys
from mini_buildd import api, client
url, given = sys.argv[1], json.loads(sys.argv[2])
calls = {call.name(): call for call in api.Calls().values()}
for user in ['', 'user', 'staff', 'admin']:
    endpoint = url.replace('://', f'://{user}@') if user else url
    for name, arguments in given:
        said = {'user': user, 'call': name}
        try:
            call = calls[name](**arguments)
            said['result'] = client.Client(endpoint, auto_confirm=True, interactive=False).api(call, timeout=60)
        except BaseException as error:
            said['error'] = str(error)
            said['status'] = getattr(error, 'status', None)
        print(json.dumps(said), flush=True)
print(json.dumps(sorted(calls)))
";

/// A session in a new chroot that has the clients.
fn begin(base: &Base) -> Session {
    let home = Home::new(base.directory("stock"));
    home.create().unwrap();
    let launcher = base.launcher();
    let proxies = Proxies::of_host().unwrap();
    let chroots = Chroots::new(home.clone(), launcher.clone()).with_proxies(proxies.clone());
    let chroot = Chroot {
        codename: CODENAME.parse().unwrap(),
        ..base.chroot.clone()
    };
    let backend = chroots.backend(&chroot);
    let mirror = base.source.archives[0].clone();
    let what = Bootstrap {
        codename: CODENAME.into(),
        architecture: chroot.architecture.to_string(),
        mirror: mirror.clone(),
        keyring: "/usr/share/keyrings/debian-archive-keyring.gpg".into(),
        variant: "minbase".into(),
        components: vec!["main".into()],
        // debootstrap may be older than the release.
        script: Some("sid".into()),
        options: Vec::new(),
        environment: proxies.environment(&mirror),
        cache: home.debs().join("stock"),
        log: home.log().join("stock"),
    };
    backends::bootstrap(&launcher, backend.as_ref(), &what, &mut |_| {}).unwrap();
    let session = chroots
        .begin(&chroot, backend.as_ref(), None, Network::Host)
        .unwrap();
    let source = Source {
        suite: CODENAME.into(),
        archives: vec![mirror],
        ..base.source.clone()
    };
    let sources = source.apt_source(&["main".parse().unwrap()]).unwrap();
    let mut tree = Tree::default();
    tree.text("/etc/apt/apt.conf.d/99test", APT)
        .text("/opt/test/test_keyring.py", KEYRING)
        .text("/opt/test/every_call.py", EVERY_CALL);
    chroot_apt::reach(&mut tree, &proxies, (&[sources], &[]), "");
    session.unpack(&tree).unwrap();
    run(&session, &["apt-get", "update", "-q"]);
    run(
        &session,
        &[
            "apt-get",
            "install",
            "-q",
            "--yes",
            "mini-buildd-utils",
            "python3-mini-buildd",
            "dput-ng",
            "jq",
            "lsb-release",
        ],
    );
    session
}

fn run(session: &Session, arguments: &[&str]) -> String {
    session.succeed(&command(arguments, &[])).unwrap()
}

/// A program in the session, with these variables.
fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Process {
    let mut process = process::of_root(arguments, Network::Host);
    let own = [
        ("PYTHONPATH", "/opt/test"),
        ("PYTHON_KEYRING_BACKEND", "test_keyring.Keyring"),
    ];
    for (name, value) in own.iter().chain(variables) {
        process.env.push(((*name).to_owned(), (*value).to_owned()));
    }
    process
}

fn include(home: &Path, dist: &str, files: &[PathBuf; 2]) {
    let [dsc, deb] = files.each_ref().map(|file| file.to_str().unwrap());
    let included = archive(home, &["include", dist, dsc, deb]);
    assert!(included.status.success(), "{included:?}");
}

/// A call with arguments that lead somewhere, or nowhere that would change what others find.
fn given() -> Vec<(&'static str, Value)> {
    vec![
        ("status", json!({"with_repositories": "True"})),
        ("pub_key", json!({})),
        ("dput_conf", json!({})),
        (
            "sources_list",
            json!({"codenames": "trixie", "suites": "unstable"}),
        ),
        ("ls", json!({"source": "hello"})),
        ("show", json!({"source": "hello"})),
        (
            "debdiff",
            json!({"source": "hello", "repository": "test", "versiona": "7", "versionb": "8"}),
        ),
        (
            "migrate",
            json!({"source": "nosuch", "distribution": UNSTABLE}),
        ),
        (
            "remove",
            json!({"source": "nosuch", "distribution": UNSTABLE}),
        ),
        (
            "port",
            json!({"source": "hello", "from_distribution": UNSTABLE, "to_distributions": "trixie-test-experimental"}),
        ),
        (
            "port_ext",
            json!({"dsc": "http://mirror.example.org/x.dsc", "distributions": UNSTABLE}),
        ),
        ("retry", json!({"bkey": "a/1/2/source"})),
        ("cancel", json!({"bkey": "a/1/2/source"})),
        ("set_user_key", json!({"key": "no\nkey"})),
        (
            "subscribe",
            json!({"source": "hello", "distribution": UNSTABLE}),
        ),
        (
            "unsubscribe",
            json!({"source": "hello", "distribution": UNSTABLE}),
        ),
        ("remake_chroots", json!({"keys": "sid:m68k"})),
        ("start", json!({})),
        ("wake", json!({"remote": "tcp:host=localhost:port=1"})),
        ("handshake", json!({"signed_message": "x"})),
        ("cronjob", json!({"id": "cronjob_snapshots (WEEKLY)"})),
        ("uploaders", json!({})),
        ("snapshot_ls", json!({"distribution": UNSTABLE})),
        (
            "snapshot_create",
            json!({"distribution": UNSTABLE, "name": "made"}),
        ),
        (
            "snapshot_delete",
            json!({"distribution": UNSTABLE, "name": "made"}),
        ),
        ("debmirror", json!({})),
        ("keyring_packages", json!({})),
        ("test_packages", json!({})),
        ("setup", json!({})),
        ("stop", json!({})),
        ("start", json!({})),
    ]
}

/// Holds what came of every call against what must: a refusal by role, a fault of the arguments, or a result.
fn compare(said: &str) {
    let mut lines = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut known = Vec::new();
    for line in &mut lines {
        if let Value::Array(calls) = line {
            known = calls;
            break;
        }
        let name = line["call"].as_str().unwrap();
        let call = CALLS.iter().find(|call| call.name == name).unwrap();
        let user = line["user"].as_str().unwrap();
        let roles: &[&str] = match USERS.iter().find(|(name, _)| *name == user) {
            Some((_, roles)) => roles,
            None => &[],
        };
        let is_allowed = match call.auth {
            Auth::None => true,
            Auth::Login => !user.is_empty(),
            Auth::Staff => roles.contains(&"--staff"),
            Auth::Admin => roles.contains(&"--superuser"),
        };
        let error = line["error"].as_str().unwrap_or_default();
        if !is_allowed {
            let needs = format!("API call '{name}' needs authorization: {}", call.auth);
            assert!(error.contains(&needs), "{line}");
            continue;
        }
        let expected = match name {
            "port" | "port_ext" | "retry" | "cancel" | "wake" | "handshake" | "debmirror"
            | "keyring_packages" | "test_packages" => {
                format!("API call '{name}' is not available yet")
            }
            "migrate" | "remove" => format!("nosuch is not in {UNSTABLE}"),
            "debdiff" => "Can't find hello_7.dsc in pool of repository 'test'".into(),
            "set_user_key" => "not an OpenPGP key".into(),
            "remake_chroots" => "No such chroot: sid:m68k".into(),
            _ => String::new(),
        };
        assert!(error.contains(&expected), "{line}");
        assert_eq!(error.is_empty(), expected.is_empty(), "{line}");
        if name == "setup" {
            let first = &line["result"]["instances"][0];
            assert_eq!(first["identity_str"], "Daemon({})", "{line}");
        }
    }
    let missing = known.iter().filter(|name| {
        let name = name.as_str().unwrap();
        !CALLS.iter().any(|call| call.name == name)
    });
    assert_eq!(missing.count(), 0, "stock has more calls: {known:?}");
}

#[test]
fn stocks_clients_make_all_calls_and_hear_of_events() {
    if crate::slow::is_left_to_the_user() {
        return;
    }
    let base = Base::get();
    let session = begin(base);
    let peopled = Peopled::start_reachable();
    let url = peopled.url();
    let place = tempfile::tempdir().unwrap();
    let files = hello(place.path(), "1.0~test13+1");
    include(peopled.home.path(), UNSTABLE, &files);

    let given = given();
    let text = json!(given).to_string();
    let said = run(
        &session,
        &["python3", "/opt/test/every_call.py", &url, &text],
    );
    compare(&said);

    let endpoint = url.replace("://", "://admin@");
    let shown = run(
        &session,
        &["mini-buildd-api", "--script-mode", "show", &url, "hello"],
    );
    assert!(
        shown.contains("\"dsc_path\": \"test/pool/main/h/hello/hello_1.0~test13+1.dsc\""),
        "{shown}"
    );
    let keys = run(
        &session,
        &[
            "mini-buildd-api",
            "--script-mode",
            "--json",
            "uploaders",
            &endpoint,
        ],
    );
    assert!(keys.contains("mini-buildd archive peer <"), "{keys}");
    let events = run(
        &session,
        &[
            "mini-buildd-events",
            &url,
            "--after",
            "epoch",
            "-T",
            "INSTALLED",
            "-E",
            "INSTALLED",
        ],
    );
    let event: Value = serde_json::from_str(&events).unwrap();
    assert_eq!(
        (&event["source"], &event["distribution"]),
        (&json!("hello"), &json!(UNSTABLE))
    );
    packages_move(&session, &peopled);
    apt::the_archive_keyring_is_installed_by_both_programs(&session, &peopled);
    apt::both_programs_know_the_same_blocks(&session);
    uploads::are_followed_to_their_end(&session);
    session.close().unwrap();
}

/// Calls that change packages, as an administrator types them.
fn packages_move(session: &Session, peopled: &Peopled) {
    let place = tempfile::tempdir().unwrap();
    let files = hello(place.path(), "2.0~test13+1");
    include(peopled.home.path(), UNSTABLE, &files);
    let endpoint = peopled.url().replace("://", "://admin@");
    let ask = |words: &[&str]| {
        let options = ["--script-mode", "--auto-confirm"];
        let [call, rest @ ..] = words else {
            panic!("no call");
        };
        run(
            session,
            &[&["mini-buildd-api"], &options[..], &[call, &endpoint], rest].concat(),
        )
    };
    let versions = |dist: &str| {
        let listed: Value = serde_json::from_str(&ask(&["ls", "hello"])).unwrap();
        let found = &listed["test"][dist];
        let rollbacks = found["rollbacks"]
            .as_object()
            .map_or(0, serde_json::Map::len);
        (found["version"].clone(), rollbacks)
    };
    assert_eq!(versions(UNSTABLE), (json!("2.0~test13+1"), 1));
    assert_eq!(ask(&["migrate", "hello", UNSTABLE]).trim(), "{}");
    let testing = "trixie-test-testing";
    assert_eq!(versions(testing), (json!("2.0~test13+1"), 0));
    assert_eq!(ask(&["remove", "hello", testing]).trim(), "{}");
    assert_eq!(versions(testing), (json!(null), 1));
    let rollback = format!("{testing}-rollback0");
    assert_eq!(ask(&["migrate", "hello", &rollback]).trim(), "{}");
    assert_eq!(versions(testing).0, json!("2.0~test13+1"));
}
