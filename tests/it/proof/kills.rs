//! Daemons and builds that end at any moment.
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mini_buildd::model::EventType;
use rustix::process::{Signal, kill_process, test_kill_process};

use crate::base::Base;
use crate::buildd::Buildd;
use crate::slow;
use crate::small_source::SmallSource;

/// Longer than a daemon needs to end and to start.
const SLOW: &str = "echo it-builds; sleep 6";

fn upload(buildd: &Buildd, work: &std::path::Path, source: &SmallSource) -> PathBuf {
    let tree = source.write(work);
    let version = format!("1.0{}", buildd.suffix);
    buildd.uploader.build_source(&tree, &version, &buildd.dist)
}

/// One event of each step, and one version in the dist.
fn assert_installed_once(buildd: &mut Buildd, source: &str) {
    buildd.ended(source, EventType::Installed);
    let mut kinds: Vec<EventType> = buildd
        .events(source)
        .iter()
        .map(|event| event.kind)
        .collect();
    kinds.sort_by_key(|kind| format!("{kind:?}"));
    let once = [
        EventType::Building,
        EventType::Built,
        EventType::Installed,
        EventType::Packaging,
    ];
    assert_eq!(kinds, once, "{source}\n{}", buildd.daemon_log());
    assert_eq!(buildd.versions(source).len(), 1, "{source}");
}

#[test]
fn daemon_killed_at_any_moment_leaves_no_upload_in_limbo() {
    if slow::is_left_to_the_user() {
        return;
    }
    let mut buildd = Buildd::started("kills");
    let work = Base::get().directory("kills-work");
    let first = SmallSource {
        name: "mbd-undisturbed",
        ..SmallSource::default()
    };
    let changes = upload(&buildd, &work, &first);
    buildd.curl(&changes);
    assert_installed_once(&mut buildd, first.name);
    // The first one filled the layers.
    let names: Vec<String> = (0..=10)
        .map(|number| format!("mbd-killed{number}"))
        .collect();
    let uploads = names.iter().map(|name| {
        let source = SmallSource {
            name,
            ..SmallSource::default()
        };
        upload(&buildd, &work, &source)
    });
    let uploads: Vec<PathBuf> = uploads.collect();
    let mut typical = Duration::ZERO;
    for (number, (name, changes)) in names.iter().zip(uploads).enumerate() {
        let began = Instant::now();
        buildd.curl(&changes);
        if number == 0 {
            assert_installed_once(&mut buildd, name);
            typical = began.elapsed();
            continue;
        }
        // Multiples of the golden ratio are spread evenly, and are the same in each run.
        let moment = typical.mul_f64((0.618 * f64::from(u32::try_from(number).unwrap())).fract());
        std::thread::sleep(moment.saturating_sub(began.elapsed()));
        buildd.crash();
        assert_installed_once(&mut buildd, name);
        eprintln!(
            "{name}: killed after {moment:?}, installed after {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn build_goes_on_while_its_daemon_ends_and_is_killed_and_is_collected_by_the_next() {
    let mut buildd = Buildd::started("attached");
    let work = Base::get().directory("attached-work");
    let slow = SmallSource {
        name: "mbd-slow",
        build: SLOW,
        ..SmallSource::default()
    };
    let changes = upload(&buildd, &work, &slow);
    buildd.curl(&changes);
    buildd.build_says(slow.name, "it-builds");
    let supervisor = buildd.supervisor(slow.name).unwrap();
    let (status, time) = buildd.end(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    assert!(time < Duration::from_secs(5), "SIGTERM took {time:?}");
    test_kill_process(supervisor).expect("the build survives an end in order");
    buildd.start();
    buildd.crash();
    assert_eq!(buildd.supervisor(slow.name), Some(supervisor));
    assert_installed_once(&mut buildd, slow.name);
    assert_eq!(buildd.supervisor(slow.name), None);
}

#[test]
fn build_whose_supervisor_is_killed_is_built_again() {
    let mut buildd = Buildd::started("supervisor");
    let work = Base::get().directory("supervisor-work");
    let slow = SmallSource {
        name: "mbd-killed-build",
        build: SLOW,
        ..SmallSource::default()
    };
    let changes = upload(&buildd, &work, &slow);
    buildd.curl(&changes);
    buildd.build_says(slow.name, "it-builds");
    let first = buildd.supervisor(slow.name).unwrap();
    kill_process(first, Signal::KILL).unwrap();
    let second = buildd.wait("another supervisor", |buildd| {
        buildd.supervisor(slow.name).filter(|pid| *pid != first)
    });
    assert_ne!(first, second);
    assert_installed_once(&mut buildd, slow.name);
}
