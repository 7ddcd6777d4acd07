//! Items that administrators configure, their actions, and set-ups.
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mini_buildd::pgp::SigningKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::accounts::{Peopled, refused, said};
use crate::item_command::shell;
use crate::program::program;
use crate::served::Served;

/// An archive that has one release, of our own.
struct Archive {
    directory: TempDir,
    served: Served,
    key: SigningKey,
}

impl Archive {
    fn new() -> Archive {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("dists/ours")).unwrap();
        let archive = Archive {
            served: Served::new(directory.path()),
            directory,
            key: SigningKey::generate("Ours", "ours@buildd.test").unwrap(),
        };
        archive.sign(&archive.key, &Archive::release());
        archive
    }

    fn release() -> String {
        "Origin: Ours\nCodename: ours\nSuite: stable\nVersion: 4.2\nArchitectures: amd64 i386\n\
         Components: updates/main updates/extra\nDescription: Ours 4.2\n\
         Valid-Until: Fri, 01 Jan 2100 00:00:00 UTC\n"
            .to_owned()
    }

    fn sign(&self, key: &SigningKey, release: &str) {
        let path = self.directory.path().join("dists/ours/InRelease");
        fs::write(path, key.clearsign(release).unwrap()).unwrap();
    }

    fn source(&self) -> Value {
        json!({
            "origin": "Ours", "codename": "ours", "suite": "ours", "archives": [], "components": [],
            "architectures": [], "apt_keys": [{"Key": self.key.fingerprint()}], "check_valid_until": true,
            "codeversion": "42", "remove_from_component": "updates/",
        })
    }
}

/// A call as administrator, confirmed.
fn call(peopled: &Peopled, words: &[&str]) -> Output {
    let (name, rest) = words.split_first().unwrap();
    let words = [&["--json", "--auto-confirm", name, "ENDPOINT"], rest].concat();
    peopled.api_as("admin", &words)
}

fn asked(peopled: &Peopled, words: &[&str]) -> Value {
    serde_json::from_str(&said(&call(peopled, words))).unwrap()
}

/// Waits until a job has ended.
fn ended(peopled: &Peopled, job: &Value) -> Value {
    let id = job.to_string();
    let mut seen = 0;
    loop {
        let words = ["job", &id, "--after", &seen.to_string(), "--wait", "60"];
        let job = asked(peopled, &words);
        if !job["ended"].is_null() {
            return job;
        }
        let steps = job["steps"].as_array().unwrap().len();
        assert!(steps > 0, "nothing happens: {job}");
        seen += steps;
    }
}

fn act(peopled: &Peopled, item: [&str; 2], action: &str) -> Value {
    let words = [&["item_action"], &item[..], &[action, "--force"]].concat();
    ended(peopled, &asked(peopled, &words)["job"])
}

pub(crate) fn item(peopled: &Peopled, item: [&str; 2]) -> Value {
    asked(peopled, &[&["item"], &item[..]].concat())
}

const SOURCE: [&str; 2] = ["source", "Ours:ours"];

#[test]
fn a_source_is_what_its_archives_sign() {
    let peopled = Peopled::start();
    let archive = Archive::new();
    let put = |kind: &str, fields: Value| {
        let fields = fields.to_string();
        asked(&peopled, &["item_put", kind, &fields, "--pca"])
    };
    assert_eq!(
        put("archive", json!({"url": archive.served.url}))["changed"],
        true
    );
    let key = json!({"key_id": archive.key.fingerprint(), "key": archive.key.public_armored()});
    let job = ended(&peopled, &put("apt_key", key)["job"]);
    assert_eq!(job["state"], "done", "{job}");
    let job = ended(&peopled, &put("source", archive.source())["job"]);
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(job["result"]["status"]["state"], "active");
    assert_eq!(job["user"], "admin");

    let found = item(&peopled, SOURCE);
    assert_eq!(found["fields"]["archives"], json!([archive.served.url]));
    assert_eq!(found["fields"]["components"], json!(["main", "extra"]));
    assert_eq!(found["fields"]["architectures"], json!(["amd64", "i386"]));
    assert_eq!(found["fields"]["description"], "Ours 4.2");
    let fingerprint = archive.key.fingerprint();
    assert_eq!(found["needs"], json!([format!("apt_key {fingerprint}")]));
    let pinged = item(&peopled, ["archive", &archive.served.url]);
    assert!(pinged["fields"]["ping"].is_u64(), "{pinged}");
    let facts = &item(&peopled, ["apt_key", &fingerprint])["fields"]["found"][0];
    assert_eq!(facts["key_name"], "Ours <ours@buildd.test>");

    let failed = |said: &str| {
        let job = act(&peopled, SOURCE, "check");
        assert_eq!(job["state"], "failed", "{job}");
        assert!(job["error"].as_str().unwrap().contains(said), "{job}");
        let status = &item(&peopled, SOURCE)["status"];
        assert_eq!(
            (&status["state"], &status["check"]),
            (&json!("prepared"), &json!("A"))
        );
    };
    let stranger = SigningKey::generate("Stranger", "stranger@buildd.test").unwrap();
    archive.sign(&stranger, &Archive::release());
    failed("signed by unknown key");
    archive.sign(
        &archive.key,
        &Archive::release().replace("ours\nSuite", "yours\nSuite"),
    );
    failed("its Codename is \"yours\"");
    archive.sign(&archive.key, &Archive::release().replace("2100", "2010"));
    failed("valid until");
    archive.sign(&archive.key, &Archive::release());
    let job = act(&peopled, SOURCE, "check");
    assert_eq!(
        job["result"]["status"]["state"], "active",
        "active again: {job}"
    );

    let mut changed = archive.source();
    changed["codeversion_override"] = "43".into();
    let changed = changed.to_string();
    asked(&peopled, &["item_put", "source", &changed]);
    assert_eq!(item(&peopled, SOURCE)["status"]["check"], "*");
    let job = act(&peopled, SOURCE, "check");
    assert!(
        job["error"].as_str().unwrap().contains("prepared again"),
        "{job}"
    );
    let job = act(&peopled, SOURCE, "pca");
    assert_eq!(job["result"]["status"]["state"], "active", "{job}");
    assert_eq!(item(&peopled, SOURCE)["fields"]["codeversion"], "43");

    let used = refused(&call(&peopled, &["item_delete", "apt_key", &fingerprint]));
    assert!(used.contains("used by source Ours:ours"), "{used}");
    asked(&peopled, &["item_delete", "source", "Ours:ours"]);
    asked(&peopled, &["item_delete", "apt_key", &fingerprint]);
    let jobs = asked(&peopled, &["jobs"]);
    assert!(jobs["actions"].as_array().unwrap().len() > 6, "{jobs}");
}

#[test]
fn what_is_invalid_is_named_and_not_stored() {
    let peopled = Peopled::start();
    let before = asked(&peopled, &["items"]);
    for (words, said) in [
        (["item_put", "printer", "{}"], "no kind of item is called"),
        (["item_put", "archive", "{"], "fields: no JSON"),
        (
            ["item_put", "archive", r#"{"url": "mirror"}"#],
            "url: is no http",
        ),
        (
            ["item_put", "archive", r#"{"uri": "http://x/"}"#],
            "uri: unknown field",
        ),
        (["item_put", "apt_key", r#"{"key_id": "xyz"}"#], "key_id"),
        (
            ["item_put", "email_address", r#"{"address": "x"}"#],
            "NAME@HOST",
        ),
        (
            ["item_put", "daemon", r#"{"identity": "a"}"#],
            "missing field",
        ),
        (
            ["item", "layout", "Nope"],
            "no layout \"Nope\"; there is: Default",
        ),
        (
            ["item_delete", "layout", "Default"],
            "used by repository test",
        ),
    ] {
        let refusal = refused(&call(&peopled, &words));
        assert!(refusal.contains(said), "{words:?}: {refusal}");
    }
    let dangling = r#"{"codename": "trixie", "architecture": "i386", "source": "No:no", "backend": "Dir",
        "debootstrap_extra_options": []}"#;
    let refusal = refused(&call(&peopled, &["item_put", "chroot", dangling]));
    assert!(
        refusal.contains("names source No:no, which is not there"),
        "{refusal}"
    );
    for action in [
        ["layout", "Default", "check"],
        ["source", "Debian:trixie", "explode"],
    ] {
        let refusal = refused(&call(&peopled, &[&["item_action"], &action[..]].concat()));
        let fault = if action[2] == "check" {
            "nothing to prepare"
        } else {
            "no action is called"
        };
        assert!(refusal.contains(fault), "{refusal}");
    }
    let (status, _) = peopled.curl(&[], "/mini_buildd/api/item/?kind=layout&name=Default");
    assert_eq!(status, 401);
    assert_eq!(asked(&peopled, &["items"]), before);
}

#[test]
fn the_daemon_stops_with_its_item() {
    let peopled = Peopled::start();
    let load = || asked(&peopled, &["status"])["load"].as_f64().unwrap();
    assert!(load() >= 0.0);
    let job = act(&peopled, ["daemon", "daemon"], "deactivate");
    assert_eq!(job["state"], "done", "{job}");
    assert!(load() < 0.0);
    let refusal = refused(&call(&peopled, &["start"]));
    assert!(refusal.contains("not active"), "{refusal}");
    let job = act(&peopled, ["daemon", "daemon"], "activate");
    assert_eq!(job["state"], "done", "{job}");
    assert!(load() >= 0.0);

    // The same from the shell, beside the daemon.
    for (action, is_running) in [("deactivate", false), ("activate", true)] {
        shell(&peopled, &[action, "daemon"]);
        let began = Instant::now();
        while (load() >= 0.0) != is_running {
            assert!(began.elapsed() < Duration::from_secs(60), "{action}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let told = shell(
        &peopled,
        &["set", "daemon", "daemon", "event_queue_size=501"],
    );
    assert!(told.contains("mini-buildd item pca daemon"), "{told}");
}

fn setup(home: &Path, words: &[&str]) -> Output {
    Command::new(program())
        .args(["setup", "--home"])
        .arg(home)
        .args(words)
        .output()
        .unwrap()
}

#[test]
fn a_site_is_exported_changed_and_applied() {
    let peopled = Peopled::start();
    let home = peopled.home.path();
    let exported = said(&setup(home, &["--export"]));
    let file = home.join("site.toml");
    fs::write(&file, &exported).unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(
        said(&setup(home, &["--file", path])),
        "All is as it should be.\n"
    );

    let changed = format!(
        "{exported}\n[items.email_address.\"jo@buildd.test\"]\naddress = \"jo@buildd.test\"\n\
         [items.repository.test]\nhistory_days = 9\nnotify = [\"jo@buildd.test\"]\n"
    );
    fs::write(&file, &changed).unwrap();
    let plan = said(&setup(home, &["--file", path]));
    assert!(
        plan.contains("jo@buildd.test") && plan.contains("missing"),
        "{plan}"
    );
    assert!(plan.contains("history_days: \"365\" → \"9\""), "{plan}");
    let repository = ["repository", "test"];
    assert_eq!(item(&peopled, repository)["fields"]["history_days"], 365);

    fs::write(&file, format!("{changed}hystory_days = 3\n")).unwrap();
    let refusal = refused(&setup(home, &["--file", path, "--apply"]));
    assert!(refusal.contains("hystory_days"), "{refusal}");
    assert_eq!(item(&peopled, repository)["fields"]["history_days"], 365);

    fs::write(&file, &changed).unwrap();
    // The archives that it names are none: that fails, and what does not need them holds.
    let refusal = refused(&setup(home, &["--file", path, "--apply"]));
    assert!(refusal.contains("could not be made active"), "{refusal}");
    assert_eq!(item(&peopled, repository)["fields"]["history_days"], 9);
    let address = item(&peopled, ["email_address", "jo@buildd.test"]);
    assert_eq!(address["used_by"], json!(["repository test"]));
    let plan = said(&setup(home, &["--file", path]));
    assert!(!plan.contains("history_days"), "{plan}");

    // A layout comes back as it was, and one that is not there is refused before anything is announced.
    let preset = Command::new(program())
        .args(["layout", "preset", "Default (no rollbacks)", "--home"])
        .arg(home)
        .output();
    said(&preset.unwrap());
    fs::write(&file, said(&setup(home, &["--export"]))).unwrap();
    let plan = said(&setup(home, &["--file", path]));
    assert!(!plan.contains("rollback"), "{plan}");
    let other = changed.replace("history_days = 9", "layout = \"Defaul\"");
    fs::write(&file, other).unwrap();
    let refusal = refused(&setup(home, &["--file", path]));
    assert!(refusal.contains("layout Defaul"), "{refusal}");

    fs::write(&file, "sources = [\"trixie\"]\nsourcse = 1\n").unwrap();
    let refusal = refused(&setup(home, &["--file", path]));
    assert!(
        refusal.contains("sourcse") && refusal.contains("line 2"),
        "{refusal}"
    );
}

#[test]
fn stocks_call_inspects_and_extends() {
    let peopled = Peopled::start();
    let inspected = asked(&peopled, &["setup"]);
    assert_eq!(
        inspected["setup"]["repositories"]["test"]["layout"],
        "Default"
    );
    let first = &inspected["instances"][0];
    assert_eq!(
        first["identity"]["class"],
        "<class 'mini_buildd.models.Daemon'>"
    );
    assert_eq!(first["status"], "ACTIVE");
    assert_eq!(
        first["identity_hash"],
        "121dc1bb1d0aaff679ff76c3197b48c407aeae44f79eec4175bbffacadb6aa9e"
    );
    let more = [
        "setup",
        "--sources",
        "sid",
        "--distributions",
        "sid:amd64",
        "--repositories",
        "test:Default:sid",
    ];
    let planned = asked(&peopled, &more);
    let of = |answer: &Value, class: &str, name: &str| -> Value {
        let instances = answer["instances"].as_array().unwrap().iter();
        let class = format!("<class 'mini_buildd.models.{class}'>");
        let mut found = instances.filter(|instance| {
            instance["identity"]["class"] == class && instance["change_instance_pk"] == name
        });
        found.next().unwrap_or_else(|| panic!("{answer:#}")).clone()
    };
    assert_eq!(of(&planned, "Source", "Debian:sid")["status"], "MISSING");
    let repository = of(&planned, "Repository", "test");
    assert_eq!(
        repository["diff"]["setup"]["diff"]["distributions"],
        json!({"missing": ["sid"], "unknown": []})
    );
    let hash = of(&planned, "Source", "Debian:sid")["identity_hash"].clone();
    let hash = hash.as_str().unwrap();
    let updated = asked(&peopled, &[&more[..], &["--update", hash]].concat());
    assert_eq!(
        of(&updated, "Source", "Debian:sid")["actions"],
        json!(["created"])
    );
    assert_eq!(of(&updated, "Distribution", "sid")["status"], "MISSING");
    let done = asked(&peopled, &[&more[..], &["--update", "all"]].concat());
    assert_eq!(of(&done, "Distribution", "sid")["status"], "EXISTS");
    assert_eq!(of(&done, "Repository", "test")["status"], "CHANGED");
    let kept = &item(&peopled, ["repository", "test"])["fields"]["distributions"];
    assert_eq!(*kept, json!(["sid", "trixie"]), "nothing is taken away");
    for (words, said) in [
        (["setup", "--from-origins", "SuSE"], "SuSE"),
        (
            ["setup", "--chroots-backend", "LVM"],
            "Dir, File, BtrfsSnapshot",
        ),
        (["setup", "--ftp-endpoint", "ftp:8067"], "ftp_endpoint"),
        (["setup", "--sources", "squeeze"], "apt is older"),
    ] {
        let refusal = refused(&call(&peopled, &words));
        assert!(refusal.contains(said), "{refusal}");
    }
}
