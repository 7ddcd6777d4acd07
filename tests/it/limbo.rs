//! What the disk or the way loses: every upload ends all the same, and once.
use std::fs;

use mini_buildd::deb::FileName;
use mini_buildd::model::job::BuildState;
use mini_buildd::model::{BuildKey, Buildrequest, Event, EventType};
use mini_buildd::store::jobs::{self, BuilderState};
use mini_buildd::store::{self, Store, Transaction};

use crate::instance::TestInstance;
use crate::package::Files;
use crate::results::{asked, hello, message};

const REJECTED: EventType = EventType::Rejected;
const BUILT_AND_FAILED: [EventType; 4] = [
    EventType::Packaging,
    EventType::Building,
    EventType::Built,
    EventType::Failed,
];

/// Changes the jobs of an instance that is not running.
fn with_jobs(
    instance: &TestInstance,
    change: impl FnOnce(&Transaction<'_>) -> Result<(), store::Error>,
) {
    let store = Store::open(&instance.home.database()).unwrap();
    store.write(change).unwrap();
}

/// Lets the builder, between two runs, be elsewhere with a build.
fn set_builder_state(instance: &TestInstance, key: &BuildKey, state: BuilderState) {
    with_jobs(instance, |tx| {
        let mut build = jobs::build(tx, key)?.unwrap();
        build.state = state;
        jobs::put_build(tx, &build)
    });
}

/// Lets the packager know, between two runs, that its buildrequest has arrived.
fn restart_when_sent(instance: &mut TestInstance, key: &BuildKey) {
    instance.crash();
    with_jobs(instance, |tx| {
        let mut packaging = jobs::packaging(tx, &key.package)?.unwrap();
        for build in packaging.builds.values_mut() {
            build.state = BuildState::Sent;
        }
        jobs::put_packaging(tx, &packaging)
    });
    instance.start_deaf();
}

/// A good answer of the builder's, and the name of its log.
fn answer(instance: &TestInstance, request: &Buildrequest) -> (Files, String) {
    let packages = hello(instance, "amd64");
    let files = message(request, &packages, &instance.key(), |_| {});
    let log = files[0].0.clone();
    (files, log)
}

fn without(files: &Files, name: &str) -> Files {
    let mut files = files.clone();
    files.retain(|(file, _)| file != name);
    files
}

fn detail(event: &Event) -> String {
    event.extra["error"]["detail"].as_str().unwrap().to_owned()
}

/// The events of hello but those about refused messages.
fn told(instance: &TestInstance) -> Vec<EventType> {
    let mut told = instance.log("hello");
    told.retain(|kind| *kind != REJECTED);
    told
}

#[test]
fn damaged_result_is_asked_for_again_and_the_good_one_installed() {
    let (mut instance, request) = asked();
    restart_when_sent(&mut instance, &request.key());
    let (files, log) = answer(&instance, &request);
    instance.send(&without(&files, &log));
    let event = instance.wait_for(REJECTED, "hello");
    assert!(detail(&event).contains(&log), "{}", detail(&event));
    instance.crash();
    with_jobs(&instance, |tx| {
        let packaging = jobs::packaging(tx, &request.key().package)?.unwrap();
        let build = &packaging.builds[&request.subject.architecture];
        assert_eq!(build.state, BuildState::Requested);
        Ok(())
    });
    instance.start_deaf();
    instance.send(&files);
    instance.wait_for(EventType::Installed, "hello");
}

#[test]
fn result_that_is_damaged_each_time_ends_failed_once() {
    let (mut instance, request) = asked();
    let (files, log) = answer(&instance, &request);
    let mut wrong = files.clone();
    wrong[0].1.push(b'!');
    for (number, damaged) in [&wrong, &without(&files, &log)]
        .into_iter()
        .cycle()
        .take(5)
        .enumerate()
    {
        assert_eq!(told(&instance), [EventType::Packaging]);
        restart_when_sent(&mut instance, &request.key());
        instance.send(damaged);
        instance.wait_for_more(REJECTED, "hello", number);
    }
    let event = instance.wait_for(EventType::Failed, "hello");
    assert!(detail(&event).contains(&log), "{}", detail(&event));
    // Too late.
    instance.send(&files);
    let event = instance.wait_for_more(REJECTED, "hello", 5);
    assert!(detail(&event).contains("Stray"), "{}", detail(&event));
    assert_eq!(told(&instance), [EventType::Packaging, EventType::Failed]);
}

/// Anybody can send copies of what a builder has signed.
#[test]
fn damaged_copies_while_the_builder_is_being_asked_end_nothing() {
    let (mut instance, request) = asked();
    let (files, log) = answer(&instance, &request);
    for number in 0..6 {
        instance.send(&without(&files, &log));
        instance.wait_for_more(REJECTED, "hello", number);
    }
    instance.send(&files);
    instance.wait_for(EventType::Installed, "hello");
}

#[test]
fn result_whose_signed_list_is_wrong_fails_at_once() {
    let (mut instance, request) = asked();
    let (mut files, _) = answer(&instance, &request);
    let changes = files.pop().unwrap();
    let extra: FileName = "hello_extra.txt".parse().unwrap();
    files.push((extra.to_string(), b"more".to_vec()));
    let text = format!(
        "{}{}",
        request.result().to_paragraph(),
        crate::package::lists(&files, "mini-buildd extra ")
    );
    let signed = instance.key().clearsign(&text).unwrap();
    files.push((changes.0, signed.into_bytes()));
    instance.send(&files);
    let event = instance.wait_for(EventType::Failed, "hello");
    assert!(
        detail(&event).contains(extra.as_str()),
        "{}",
        detail(&event)
    );
    assert_eq!(told(&instance), [EventType::Packaging, EventType::Failed]);
}

/// Hands the buildrequest to the builder, whose chroot was never made, and notes its answer as sent.
fn answered(instance: &mut TestInstance, request: &Buildrequest) {
    let key = request.key();
    instance.send(&request_files(instance, request));
    instance.wait_for(EventType::Built, "hello");
    instance.crash();
    set_builder_state(instance, &key, BuilderState::Uploaded);
}

/// The buildrequest as it would be sent, .changes last.
fn request_files(instance: &TestInstance, request: &Buildrequest) -> Files {
    let name = request.file_name().to_string();
    let directory = instance.home.event_directory(&request.key());
    let names = [format!("{name}.tar"), name];
    names
        .map(|name| (name.clone(), fs::read(directory.join(name)).unwrap()))
        .into()
}

#[test]
fn result_that_the_disk_lost_is_sent_again() {
    let (mut instance, request) = asked();
    answered(&mut instance, &request);
    instance.start_deaf();
    restart_when_sent(&mut instance, &request.key());
    let directory = instance.home.build_directory(&request.key());
    let log = request
        .subject
        .buildlog()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let names = [log, request.result().file_name().to_string()];
    let files = names.map(|name| (name.clone(), fs::read(directory.join(name)).unwrap()));
    instance.leave(&files);
    instance.crash();
    for entry in fs::read_dir(instance.home.incoming()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    instance.start();
    let event = instance.wait_for(EventType::Failed, "hello");
    assert!(detail(&event).contains("amd64"), "{}", detail(&event));
    assert_eq!(told(&instance), BUILT_AND_FAILED);
}

#[test]
fn damaged_buildrequest_is_sent_again() {
    let (mut instance, request) = asked();
    restart_when_sent(&mut instance, &request.key());
    let mut files = request_files(&instance, &request);
    files.remove(0);
    instance.send(&files);
    instance.wait_for(REJECTED, "hello");
    instance.crash();
    instance.start();
    instance.wait_for(EventType::Failed, "hello");
    assert_eq!(told(&instance), BUILT_AND_FAILED);
}

#[test]
fn upload_whose_events_are_deleted_while_it_is_built_ends_failed_once() {
    let (mut instance, request) = asked();
    let (files, _) = answer(&instance, &request);
    fs::remove_dir_all(instance.home.package_events(&request.key().package)).unwrap();
    instance.send(&files);
    let event = instance.wait_for(EventType::Failed, "hello");
    assert_eq!(event.version, request.subject.version.as_str());
    instance.crash();
    instance.start_deaf();
    instance.stop();
    assert_eq!(told(&instance), [EventType::Packaging, EventType::Failed]);
}

#[test]
fn upload_whose_buildrequest_is_deleted_before_it_is_sent_ends_failed() {
    let (mut instance, request) = asked();
    instance.crash();
    fs::remove_dir_all(instance.home.event_directory(&request.key())).unwrap();
    instance.start();
    let event = instance.wait_for(EventType::Failed, "hello");
    assert!(
        detail(&event).contains("buildrequest"),
        "{}",
        detail(&event)
    );
    assert_eq!(told(&instance), [EventType::Packaging, EventType::Failed]);
}

#[test]
fn build_whose_result_is_deleted_before_it_is_sent_ends_failed() {
    let (mut instance, request) = asked();
    instance.send(&request_files(&instance, &request));
    instance.wait_for(EventType::Built, "hello");
    instance.crash();
    fs::remove_dir_all(instance.home.build_directory(&request.key())).unwrap();
    instance.start();
    let event = instance.wait_for(EventType::Failed, "hello");
    let error = &event.extra["buildresults"]["amd64"]["internal_error"];
    assert!(error.as_str().unwrap().contains("buildresult"), "{error}");
}

#[test]
fn build_whose_buildrequest_is_deleted_before_it_begins_ends_failed() {
    let (mut instance, request) = asked();
    instance.send(&request_files(&instance, &request));
    instance.wait_for(EventType::Built, "hello");
    instance.crash();
    set_builder_state(&instance, &request.key(), BuilderState::Queued);
    fs::remove_dir_all(instance.home.build_directory(&request.key())).unwrap();
    instance.start();
    let event = instance.wait_for(EventType::Failed, "hello");
    let error = &event.extra["buildresults"]["amd64"]["internal_error"];
    assert!(error.as_str().unwrap().len() > 10, "{error}");
}

#[test]
fn buildrequest_that_changed_after_it_came_is_not_built() {
    let (mut instance, request) = asked();
    instance.send(&request_files(&instance, &request));
    instance.wait_for(EventType::Built, "hello");
    instance.crash();
    set_builder_state(&instance, &request.key(), BuilderState::Queued);
    let tar = format!("{}.tar", request.file_name());
    let directory = instance.home.build_directory(&request.key());
    let path = directory.join(&tar);
    let mut content = fs::read(&path).unwrap();
    content[700] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, content).unwrap();
    instance.start();
    let event = instance.wait_for(EventType::Failed, "hello");
    let error = &event.extra["buildresults"]["amd64"]["internal_error"];
    assert!(error.as_str().unwrap().contains(&tar), "{error}");
}
