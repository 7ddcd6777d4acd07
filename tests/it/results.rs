//! What becomes of the results that builders send.
use std::fs;

use mini_buildd::deb::Changes;
use mini_buildd::model::{Buildrequest, Buildresult, Event, EventType, Remote, Status};
use mini_buildd::pgp::{SigningKey, unauthenticated_text};
use mini_buildd::store::items;

use crate::instance::{TestInstance, facts};
use crate::package::{Files, Upload, deb, lists};
use crate::site::Connection;

const DIST: &str = "trixie-test-unstable";
const VERSION: &str = "1.0~test13+1";

/// An instance that has asked itself for hello, and hears nothing of it but what the test sends.
pub(crate) fn asked() -> (TestInstance, Buildrequest) {
    let mut instance = TestInstance::new(&facts(), |_| {});
    instance.start_deaf();
    let files = Upload::new("hello", VERSION, DIST).signed(&instance.uploader);
    instance.send(&files);
    let event = instance.wait_for(EventType::Packaging, "hello");
    let request = request(&instance, &event, "amd64");
    (instance, request)
}

/// What was asked for one architecture, by the event PACKAGING.
pub(crate) fn request(instance: &TestInstance, event: &Event, architecture: &str) -> Buildrequest {
    let path = event.extra["buildrequests"][architecture]["changes"]
        .as_str()
        .unwrap();
    let text = fs::read(instance.home.events().join(path)).unwrap();
    let changes: Changes = unauthenticated_text(&text).unwrap().parse().unwrap();
    Buildrequest::from_changes(&changes).unwrap()
}

/// What a builder sends that built `packages`; `change` changes the fields.
pub(crate) fn message(
    request: &Buildrequest,
    packages: &Files,
    key: &SigningKey,
    change: impl FnOnce(&mut Buildresult),
) -> Files {
    let mut result = request.result();
    result.sbuild = [("status", "successful"), ("build_time", "3")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    change(&mut result);
    let base = format!("{}_{}", request.subject.source, request.subject.version);
    let architecture = &request.subject.architecture;
    let log = (
        format!("{base}_{architecture}.buildlog"),
        b"built\n".to_vec(),
    );
    let tar = (
        format!("{}.tar", result.file_name()),
        tar_of(&built(request, packages)),
    );
    let files = vec![log, tar];
    let text = format!(
        "{}{}",
        result.to_paragraph(),
        lists(&files, "mini-buildd extra ")
    );
    let mut message = files;
    let signed = key.clearsign(&text).unwrap();
    message.push((result.file_name().to_string(), signed.into_bytes()));
    message
}

/// The .changes of a build and its files.
fn built(request: &Buildrequest, packages: &Files) -> Files {
    let (source, version) = (&request.subject.source, &request.subject.version);
    let architecture = &request.subject.architecture;
    let text = format!(
        "Format: 1.8\nDate: Sun, 22 Nov 2026 05:45:00 +0000\nSource: {source}\nBinary: {source}\n\
         Architecture: {architecture}\nVersion: {version}\nDistribution: {DIST}\nMaintainer: Upl <upl@buildd.test>\n\
         Description:\n {source} - test\nChanges:\n {source} ({version}) {DIST}; urgency=medium\n .\n   * Test.\n{}",
        lists(packages, "misc optional ")
    );
    let mut files = packages.clone();
    files.push((
        format!("{source}_{version}_{architecture}.changes"),
        text.into_bytes(),
    ));
    files
}

fn tar_of(files: &Files) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn hello(instance: &TestInstance, architecture: &str) -> Files {
    let name = format!("hello_{VERSION}_{architecture}.deb");
    let deb = deb(instance.scratch(), "hello", VERSION, architecture, "hello");
    vec![(name, deb)]
}

#[track_caller]
fn assert_error(event: &Event, words: &[&str]) {
    let detail = event.extra["error"]["detail"].as_str().unwrap();
    for word in words {
        assert!(detail.contains(word), "{word:?} is not in {detail:?}");
    }
}

#[test]
fn good_result_is_installed_and_published() {
    let (mut instance, request) = asked();
    let packages = hello(&instance, "amd64");
    let message = message(&request, &packages, &instance.key(), |_| {});
    instance.send(&message);
    let event = instance.wait_for(EventType::Installed, "hello");
    assert_eq!(
        event.extra["buildresults"]["amd64"]["sbuild_status"],
        "successful"
    );
    assert_eq!(event.extra["auto_ports"], serde_json::json!({}));

    let packages = instance.published(&format!("{DIST}/main/binary-amd64/Packages"));
    assert!(packages.contains("Package: hello\n"), "{packages}");
    let sources = instance.published(&format!("{DIST}/main/source/Sources"));
    assert!(sources.contains("Package: hello\n"), "{sources}");
    let log = format!("hello_{VERSION}_amd64.buildlog");
    let log = instance.home.event_directory(&request.key()).join(log);
    assert_eq!(fs::read_to_string(log).unwrap(), "built\n");
}

#[test]
fn installed_version_is_rejected_when_it_comes_again() {
    let (mut instance, request) = asked();
    let packages = hello(&instance, "amd64");
    let message = message(&request, &packages, &instance.key(), |_| {});
    instance.send(&message);
    instance.wait_for(EventType::Installed, "hello");
    for (version, words) in [
        (VERSION, ["Source already installed", VERSION]),
        ("0.9~test13+1", ["is lower than", VERSION]),
    ] {
        let before = instance.events(EventType::Rejected, "hello").len();
        let upload = Upload::new("hello", version, DIST).signed(&instance.uploader);
        instance.send(&upload);
        let event = instance.wait_for_more(EventType::Rejected, "hello", before);
        assert_error(&event, &words);
    }
}

#[test]
fn failed_build_ends_failed() {
    let (mut instance, request) = asked();
    let message = message(&request, &Files::new(), &instance.key(), |result| {
        result.sbuild.insert("status".into(), "attempted".into());
    });
    instance.send(&message);
    let event = instance.wait_for(EventType::Failed, "hello");
    let log = request.buildlog_installed();
    assert_error(
        &event,
        &[
            "1 mandatory architecture(s) missing: amd64",
            "attempted",
            &log,
        ],
    );
    let address: std::net::SocketAddr = {
        let url = &instance.running().instance.address.http_url;
        url.strip_prefix("http://").unwrap().parse().unwrap()
    };
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        Connection::to(address).ask(&request)
    };
    let page = ask("/mini_buildd/events/");
    let page = page.text();
    assert!(page.contains("mandatory architecture(s) missing"), "{page}");
    let link = page
        .split("href=\"")
        .find(|link| link.contains(">amd64: attempted<"));
    let path = link.unwrap().split('"').next().unwrap();
    assert_eq!(ask(path).text(), "built\n");
    assert_eq!(
        event.extra["buildresults"]["amd64"]["sbuild_status"],
        "attempted"
    );
    assert_eq!(
        instance.published(&format!("{DIST}/main/source/Sources")),
        ""
    );
}

#[test]
fn result_of_another_key_is_refused_and_the_job_goes_on() {
    let (mut instance, request) = asked();
    let stranger = SigningKey::generate("Nobody", "nobody@buildd.test").unwrap();
    let packages = hello(&instance, "amd64");
    instance.send(&message(&request, &packages, &stranger, |_| {}));
    let event = instance.wait_for(EventType::Rejected, "hello");
    assert_error(&event, &["GnuPG authorization failed", "unknown key"]);

    // The uploader's key opens the door for uploads only.
    let uploader = instance.uploader.clone();
    instance.send(&message(&request, &packages, &uploader, |_| {}));
    let event = instance.wait_for_more(EventType::Rejected, "hello", 1);
    assert_error(&event, &["GnuPG authorization failed"]);

    let message = message(&request, &packages, &instance.key(), |_| {});
    instance.send(&message);
    instance.wait_for(EventType::Installed, "hello");
}

#[test]
fn result_for_another_architecture_is_refused() {
    let (mut instance, request) = asked();
    let message = message(&request, &Files::new(), &instance.key(), |result| {
        result.subject.architecture = "i386".parse().unwrap();
    });
    // The log's name has to fit, or that would be the fault.
    let message: Files = renamed(
        message,
        "_amd64.buildlog",
        "_i386.buildlog",
        &instance.key(),
    );
    instance.send(&message);
    let event = instance.wait_for(EventType::Rejected, "hello");
    assert_error(&event, &["Architecture", "i386"]);
}

/// The message with another name for one of its files, signed again.
fn renamed(message: Files, old: &str, new: &str, key: &SigningKey) -> Files {
    let rename = |(name, content): (String, Vec<u8>)| {
        if name.ends_with(".changes") {
            let text = unauthenticated_text(&content).unwrap().replace(old, new);
            (name, key.clearsign(&text).unwrap().into_bytes())
        } else {
            (name.replace(old, new), content)
        }
    };
    message.into_iter().map(rename).collect()
}

#[test]
fn repeated_result_does_nothing_and_another_one_is_refused() {
    let (mut instance, request) = asked();
    let packages = hello(&instance, "amd64");
    let first = message(&request, &packages, &instance.key(), |_| {});
    instance.send(&first);
    instance.wait_for(EventType::Installed, "hello");
    instance.send(&first);
    let other = message(&request, &packages, &instance.key(), |result| {
        result.sbuild.insert("build_time".into(), "4".into());
    });
    instance.send(&other);
    let event = instance.wait_for(EventType::Rejected, "hello");
    assert_error(&event, &["taken already"]);
    assert_eq!(
        instance.log("hello"),
        [
            EventType::Packaging,
            EventType::Installed,
            EventType::Rejected
        ]
    );
}

#[test]
fn result_for_nothing_is_stray() {
    let (mut instance, mut request) = asked();
    request.subject.timecode = "20010101:000000:000000".parse().unwrap();
    let message = message(&request, &Files::new(), &instance.key(), |_| {});
    instance.send(&message);
    let event = instance.wait_for(EventType::Rejected, "hello");
    assert_error(&event, &["Stray buildresult"]);
}

#[test]
fn result_with_a_package_of_another_source_fails() {
    let (mut instance, request) = asked();
    let deb = deb(instance.scratch(), "evil", VERSION, "amd64", "other");
    let packages = vec![(format!("evil_{VERSION}_amd64.deb"), deb)];
    let message = message(&request, &packages, &instance.key(), |_| {});
    instance.send(&message);
    let event = instance.wait_for(EventType::Failed, "hello");
    assert_error(&event, &["evil", "Source", "other"]);
    assert_eq!(
        instance.published(&format!("{DIST}/main/source/Sources")),
        ""
    );
}

#[test]
fn result_with_a_package_for_another_machine_fails() {
    let (mut instance, request) = asked();
    let packages = hello(&instance, "arm64");
    let message = message(&request, &packages, &instance.key(), |_| {});
    instance.send(&message);
    let event = instance.wait_for(EventType::Failed, "hello");
    assert_error(&event, &["Architecture", "arm64"]);
}

/// A message of a peer's that was meant for somebody else does nothing here.
#[test]
fn buildrequest_for_another_builder_is_refused() {
    let (mut instance, mut request) = asked();
    let key = SigningKey::generate("Peer", "peer@peer.test").unwrap();
    let remote = Remote {
        wake_command: String::new(),
        url: "http://peer.test:8066".into(),
        key: key.public_armored(),
    };
    let store = &instance.running().instance.store;
    let active = Status::Active {
        checked: jiff::Timestamp::now(),
    };
    store.write(|tx| items::put(tx, &remote, active)).unwrap();
    request.subject.timecode = "20010101:000000:000000".parse().unwrap();
    request.builder = "http://third.test:8066".into();
    let tar = (
        format!("{}.tar", request.file_name()),
        tar_of(&Files::new()),
    );
    let files = vec![tar];
    let text = format!(
        "{}{}",
        request.to_paragraph(),
        lists(&files, "mini-buildd extra ")
    );
    let mut message = files;
    let signed = key.clearsign(&text).unwrap();
    message.push((request.file_name().to_string(), signed.into_bytes()));
    instance.send(&message);
    let event = instance.wait_for(EventType::Rejected, "hello");
    assert_error(&event, &["X-Mini-Buildd-Builder", "http://third.test:8066"]);
}
