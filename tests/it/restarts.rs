//! A daemon that goes away at any moment loses nothing and says nothing twice.
use std::fs;

use mini_buildd::home::Home;
use mini_buildd::model::EventType;

use crate::instance::{TestInstance, facts};
use crate::package::Upload;
use crate::results::{asked, hello, message};

const DIST: &str = "trixie-test-unstable";
const VERSION: &str = "1.0~test13+1";

#[test]
fn upload_whose_connection_is_open_is_taken_after_a_restart() {
    let mut instance = TestInstance::new(&facts(), |_| {});
    instance.start_deaf();
    let files = Upload::new("hello", VERSION, DIST).signed(&instance.uploader);
    instance.leave(&files);
    instance.crash();
    instance.start_deaf();
    instance.wait_for(EventType::Packaging, "hello");
    assert_eq!(instance.log("hello"), [EventType::Packaging]);
}

/// Its first start has nothing to sign, and answers at once.
#[test]
fn new_instance_is_published_before_it_starts() {
    let instance = TestInstance::new(&facts(), |_| {});
    assert_ne!(instance.published(&format!("{DIST}/InRelease")), "");
}

#[test]
fn upload_without_its_changes_leaves_nothing() {
    let mut instance = TestInstance::started();
    let mut files = Upload::new("hello", VERSION, DIST).signed(&instance.uploader);
    files.pop();
    instance.leave(&files);
    instance.crash();
    instance.start();
    let files = Upload::new("other", "1.0", DIST).signed(&instance.uploader);
    instance.send(&files);
    instance.wait_for(EventType::Rejected, "other");
    instance.stop();
    let left = fs::read_dir(instance.home.incoming()).unwrap().count();
    assert_eq!(left, 0);
    assert_eq!(instance.log("hello"), []);
}

#[test]
fn crash_right_after_the_connection_closed_loses_nothing() {
    for _ in 0..5 {
        let mut instance = TestInstance::new(&facts(), |_| {});
        instance.start_deaf();
        let files = Upload::new("hello", VERSION, DIST).signed(&instance.uploader);
        instance.send(&files);
        instance.crash();
        instance.start_deaf();
        instance.wait_for(EventType::Packaging, "hello");
        assert_eq!(instance.log("hello"), [EventType::Packaging]);
    }
}

#[test]
fn result_that_came_before_the_crash_is_installed_once() {
    let (mut instance, request) = asked();
    let packages = hello(&instance, "amd64");
    let result = message(&request, &packages, &instance.key(), |_| {});
    instance.leave(&result);
    instance.crash();
    instance.start_deaf();
    instance.wait_for(EventType::Installed, "hello");
    instance.crash();
    instance.start_deaf();
    instance.stop();
    assert_eq!(
        instance.log("hello"),
        [EventType::Packaging, EventType::Installed]
    );
}

#[test]
fn crash_at_any_time_after_the_result_ends_installed_once() {
    for _ in 0..5 {
        let (mut instance, request) = asked();
        let packages = hello(&instance, "amd64");
        let result = message(&request, &packages, &instance.key(), |_| {});
        instance.send(&result);
        instance.crash();
        instance.start_deaf();
        instance.wait_for(EventType::Installed, "hello");
        let published = instance.published(&format!("{DIST}/main/binary-amd64/Packages"));
        assert!(published.contains("Package: hello\n"));
        assert_eq!(
            instance.log("hello"),
            [EventType::Packaging, EventType::Installed]
        );
    }
}

/// The chroot was never made, so the build ends at once; all messages go through the FTP server.
#[test]
fn unsent_buildrequest_is_sent_after_a_restart() {
    let (mut instance, _) = asked();
    instance.crash();
    instance.start();
    instance.wait_for(EventType::Failed, "hello");
    assert_eq!(
        instance.log("hello"),
        [
            EventType::Packaging,
            EventType::Building,
            EventType::Built,
            EventType::Failed
        ]
    );
}

/// The test's servers get other ports at each start.
#[test]
fn build_that_was_asked_for_before_the_url_changed_knows_the_new_one() {
    let (mut instance, request) = asked();
    instance.crash();
    instance.start();
    let url = instance.running().instance.address.http_url.clone();
    assert_ne!(url, request.packager);
    let event = instance.wait_for(EventType::Failed, "hello");
    let log = &event.extra["buildresults"]["amd64"]["buildlog_installed"];
    assert!(log.as_str().unwrap().starts_with(&url), "{log}");
    let directory = instance.home.build_directory(&request.key());
    let list = directory.join("request/.config/apt_sources.list");
    let list = fs::read_to_string(list).unwrap();
    assert!(list.contains(&url), "{list}");
    assert!(!list.contains(&request.packager), "{list}");
}

#[test]
fn upload_that_the_disk_lost_is_rejected() {
    let mut instance = TestInstance::started();
    let files = Upload::new("hello", VERSION, DIST).signed(&instance.uploader);
    instance.leave(&files);
    instance.crash();
    for entry in fs::read_dir(instance.home.incoming()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    instance.start();
    instance.wait_for(EventType::Rejected, "hello");
}

#[test]
fn upload_survives_that_the_home_is_moved() {
    let mut instance = TestInstance::new(&facts(), |_| {});
    instance.start_deaf();
    let files = Upload::new("hello", VERSION, DIST).signed(&instance.uploader);
    instance.leave(&files);
    instance.crash();
    let moved = instance.scratch().join("moved");
    fs::rename(instance.home.root(), &moved).unwrap();
    instance.home = Home::new(moved);
    instance.start_deaf();
    instance.wait_for(EventType::Packaging, "hello");
}

#[test]
fn second_daemon_is_refused() {
    let instance = TestInstance::started();
    let address = instance.running.as_ref().unwrap().instance.address.clone();
    let home = instance.home.clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let second = runtime.block_on(mini_buildd::instance::Instance::start(home, address, None));
    let error = second.err().expect("the home is taken").to_string();
    assert!(error.contains("in use"), "{error}");
}
