//! Sources of Debian, each built once, for all tests here.
use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use mini_buildd::chroots::tree::Tree;
use mini_buildd::chroots::{Trial, apt, process};
use mini_buildd::model::{Event, EventType};
use sandbox::Network;
use serde_json::{Map, Value};

use crate::base::Base;
use crate::buildd::Buildd;
use crate::packager::{private_apt, run, unpacked_source};

/// What is built and installed, and how it shows that it runs.
const SOURCES: [(&str, &[&str], &str); 4] = [
    ("hello", &["hello"], "Hello, world!"),
    (
        "sl",
        &[
            "sh",
            "-c",
            "TERM=xterm /usr/games/sl | wc --bytes | grep -c ...",
        ],
        "1",
    ),
    ("dash", &["dash", "-c", "echo $((6 * 7))"], "42"),
    ("cowsay", &["/usr/games/cowsay", "moo"], "< moo >"),
];
/// Fails a test of its own when it has another version.
const FAILING: &str = "hostname";

struct Uploaded {
    buildd: Buildd,
    work: PathBuf,
    changes: Vec<PathBuf>,
}

/// The instance, when every upload has ended; one test at a time.
fn uploaded() -> MutexGuard<'static, Uploaded> {
    static UPLOADED: LazyLock<Mutex<Uploaded>> = LazyLock::new(|| {
        let mut uploaded = upload();
        let buildd = &mut uploaded.buildd;
        for (source, ..) in SOURCES {
            buildd.ended(source, EventType::Installed);
        }
        buildd.ended(FAILING, EventType::Failed);
        Mutex::new(uploaded)
    });
    UPLOADED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All but one by dput, as most people do.
fn upload() -> Uploaded {
    let buildd = Buildd::started("debian-sources");
    let work = Base::get().directory("debian-sources-work");
    let mut changes = Vec::new();
    let names = SOURCES.iter().map(|(name, ..)| *name);
    // The slow one first.
    let mut names: Vec<_> = names.chain([FAILING]).collect();
    names.sort_by_key(|name| *name != "dash");
    for name in names {
        let (tree, version) = unpacked_source(name, &work);
        // hostname compares the version up to a plus with the one it prints: with +nmu1 it would not notice ours.
        let version = if name == FAILING {
            version.split('+').next().unwrap()
        } else {
            &version
        };
        let version = format!("{version}{}", buildd.suffix);
        let upload = buildd.uploader.build_source(&tree, &version, &buildd.dist);
        if name == "cowsay" {
            buildd.curl(&upload);
        } else {
            buildd.dput(&upload);
        }
        changes.push(upload);
    }
    Uploaded {
        buildd,
        work,
        changes,
    }
}

/// Keys of stock's events, in their order.
const EVENT: &str = "type distribution source version timestamp extra";
const UPLOAD: &str = "timecode key bkey changes architecture maintainer changed_by";
const REQUEST: &str = "timecode key bkey changes architecture upload_to packager arch_all \
    build_dep_resolver sbuild_config_blocks sbuild_setup_blocks deb_build_options deb_build_profiles add_depends \
    lintian_mode lintian_extra_options autopkgtest_mode piuparts_mode buildlog builder buildlog_building \
    buildlog_installed";
// Those of checks come with the checks.
const RESULT: &str = "timecode key bkey changes architecture builder buildlog buildlog_installed upload_to \
    sbuild_build_space sbuild_build_time sbuild_package_time sbuild_space sbuild_status";

fn keys(object: &Map<String, Value>) -> Vec<&str> {
    object.keys().map(String::as_str).collect()
}

#[track_caller]
fn assert_keys(object: &Value, expected: &str) {
    let expected: Vec<_> = expected.split_whitespace().collect();
    assert_eq!(keys(object.as_object().unwrap()), expected);
}

#[track_caller]
fn assert_event(event: &Event, more: &str) {
    let event = serde_json::to_value(event).unwrap();
    assert_keys(&event, EVENT);
    assert_keys(&event["extra"], more);
}

fn one(buildd: &Buildd, kind: EventType, source: &str) -> Event {
    let mut events = buildd.events_of(kind, source);
    assert_eq!(events.len(), 1, "{events:#?}");
    events.remove(0)
}

fn architecture() -> &'static str {
    Base::get().chroot.architecture.as_str()
}

#[test]
fn uploads_by_dput_and_curl_end_installed_with_stocks_events() {
    let uploaded = uploaded();
    let buildd = &uploaded.buildd;
    for (source, ..) in SOURCES {
        assert_eq!(buildd.events_of(EventType::Failed, source), []);
        let packaging = one(buildd, EventType::Packaging, source);
        assert_event(&packaging, &format!("{UPLOAD} buildrequests"));
        let requests = &packaging.extra["buildrequests"];
        assert_keys(requests, architecture());
        assert_keys(&requests[architecture()], REQUEST);
        assert_event(&one(buildd, EventType::Building, source), REQUEST);
        assert_event(&one(buildd, EventType::Built, source), RESULT);
        let installed = one(buildd, EventType::Installed, source);
        assert_event(&installed, &format!("{UPLOAD} auto_ports buildresults"));
        let results = &installed.extra["buildresults"];
        assert_keys(results, architecture());
        assert_keys(&results[architecture()], RESULT);
        assert_eq!(buildd.versions(source), [installed.version.as_str()]);
    }
}

#[test]
fn package_that_fails_its_own_test_ends_failed_with_its_log() {
    let uploaded = uploaded();
    let buildd = &uploaded.buildd;
    let failed = one(buildd, EventType::Failed, FAILING);
    assert_event(&failed, &format!("{UPLOAD} error buildresults"));
    let result = &failed.extra["buildresults"][architecture()];
    assert_keys(
        result,
        &RESULT.replace("sbuild_package", "sbuild_failure sbuild_package"),
    );
    assert_eq!(result["sbuild_status"], "attempted");
    assert_eq!(result["sbuild_failure"], "exit-code-2");
    let log = buildd
        .home
        .events()
        .join(result["buildlog"].as_str().unwrap());
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("|| exit 1\nmake: *** [debian/rules:"), "{log}");
    assert!(log.contains("\nStatus: attempted\n"), "{log}");
    assert_eq!(buildd.versions(FAILING), [""; 0]);
    let packages = buildd.published(
        &buildd.dist,
        &format!("main/binary-{}/Packages", architecture()),
    );
    assert!(!packages.contains(&format!("Package: {FAILING}\n")));
}

#[test]
fn hosts_apt_takes_packages_and_sources_and_looks_at_dates_and_signatures() {
    let uploaded = uploaded();
    let buildd = &uploaded.buildd;
    let state = tempfile::tempdir().unwrap();
    let key = state.path().join("key.asc");
    fs::write(&key, buildd.api("pub_key")).unwrap();
    let sources = sources(buildd, key.to_str().unwrap());
    let apt = |program: &str, words: &[&str]| {
        let mut command = private_apt(program, &state.path().join("apt"), &sources);
        let output = run(command.args(words).current_dir(state.path()));
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    apt("apt-get", &["update", "--error-on=any"]);
    let said = apt("apt-get", &["update", "--error-on=any"]);
    assert!(
        said.contains("Hit:"),
        "an unchanged InRelease is sent again: {said}"
    );
    for (source, ..) in SOURCES {
        let version = &buildd.versions(source)[0];
        let policy = apt("apt-cache", &["policy", source]);
        // NotAutomatic and ButAutomaticUpgrades.
        assert!(policy.contains(&format!(" {version} 100\n")), "{policy}");
        apt("apt-get", &["download", source]);
    }
    apt("apt-get", &["source", "hello"]);
    let version = buildd.versions("hello").remove(0);
    let dsc = format!("hello_{version}.dsc");
    assert!(state.path().join(&dsc).exists());
    let verified = buildd
        .uploader
        .command("gpg")
        .args(["--verify", &dsc])
        .current_dir(state.path())
        .status();
    assert!(verified.unwrap().success(), "the source is the uploader's");
}

#[test]
fn gpgv_accepts_both_signatures_of_the_release() {
    let uploaded = uploaded();
    let buildd = &uploaded.buildd;
    let directory = tempfile::tempdir().unwrap();
    let keyring = directory.path().join("keyring.gpg");
    let key = directory.path().join("key.asc");
    fs::write(&key, buildd.api("pub_key")).unwrap();
    run(buildd
        .uploader
        .command("gpg")
        .args(["--batch", "--dearmor", "--output"])
        .arg(&keyring)
        .arg(&key));
    let dist = buildd
        .home
        .repositories()
        .join("test/dists")
        .join(&buildd.dist);
    for files in [&["InRelease"][..], &["Release.gpg", "Release"]] {
        let mut gpgv = buildd.uploader.command("gpgv");
        run(gpgv
            .arg("--keyring")
            .arg(&keyring)
            .args(files)
            .current_dir(&dist));
    }
}

fn sources(buildd: &Buildd, key: &str) -> String {
    format!(
        "Types: deb deb-src\nURIs: {}/repositories/test/\nSuites: {}\nComponents: main\nSigned-By: {key}\n",
        buildd.http_url, buildd.dist
    )
}

#[test]
fn packages_are_installed_by_apt_in_a_clean_chroot_and_run() {
    let uploaded = uploaded();
    let buildd = &uploaded.buildd;
    let base = Base::get();
    let backend = base.chroots.backend(&base.chroot);
    let session = base
        .chroots
        .begin(&base.chroot, backend.as_ref(), None, Network::Host)
        .unwrap();
    // A re-versioned package is older than Debian's own.
    let pin = format!(
        "Package: *\nPin: release n={}\nPin-Priority: 1001\n",
        buildd.dist
    );
    let mut tree = Tree::default();
    tree.text(apt::CONFIGURATION_FILE, apt::CONFIGURATION)
        .text(
            "/etc/apt/sources.list.d/proof.sources",
            sources(buildd, Trial::KEY),
        )
        .text("/etc/apt/preferences.d/proof", pin)
        .text(Trial::KEY, buildd.api("pub_key"));
    session.unpack(&tree).unwrap();
    session
        .succeed(&apt::get(Network::Host, &["update", "--error-on=any"]))
        .unwrap();
    let mut install = vec!["install", "--allow-downgrades"];
    install.extend(SOURCES.map(|(package, ..)| package));
    session.succeed(&apt::get(Network::Host, &install)).unwrap();
    for (package, command, expected) in SOURCES {
        let query = ["dpkg-query", "-W", "-f", "${Version}", package];
        let version = session
            .succeed(&process::of_root(&query, Network::None))
            .unwrap();
        assert_eq!(version, buildd.versions(package)[0]);
        let said = session
            .succeed(&process::of_root(command, Network::None))
            .unwrap();
        assert!(said.contains(expected), "{package}: {said}");
    }
    session.close().unwrap();
}

#[test]
fn result_with_its_buildinfo_is_kept_with_the_events() {
    let uploaded = uploaded();
    let buildd = &uploaded.buildd;
    let built = one(buildd, EventType::Built, "hello");
    let tar = format!("{}.tar", buildd.changes(&built).display());
    let members = run(std::process::Command::new("tar").args(["--list", "--file", &tar]));
    let members = String::from_utf8(members.stdout).unwrap();
    let base = format!("hello_{}_{}", built.version, architecture());
    for end in ["buildinfo", "changes", "deb"] {
        assert!(members.contains(&format!("{base}.{end}\n")), "{members}");
    }
}

#[test]
fn same_upload_again_is_rejected_and_changes_nothing() {
    let mut uploaded = uploaded();
    let changes = uploaded.changes.iter().find(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("cowsay_")
    });
    let changes = changes.unwrap().clone();
    assert!(changes.starts_with(&uploaded.work));
    let buildd = &mut uploaded.buildd;
    let before = buildd.published(&buildd.dist, "Release");
    buildd.curl(&changes);
    let rejected = buildd.event(EventType::Rejected, "cowsay");
    assert_event(&rejected, &format!("{UPLOAD} error"));
    let detail = rejected.extra["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("Version"), "{detail}");
    assert_eq!(buildd.published(&buildd.dist, "Release"), before);
}
