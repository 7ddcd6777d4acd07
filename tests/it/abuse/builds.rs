//! Hostile packages against builds, on each kind of storage.
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mini_buildd::build::supervisor;
use mini_buildd::build::{Assignment, BuildStatus, Verdict};
use mini_buildd::model::Limits;
use mini_buildd::model::limits::Setting;

use super::lent::Lent;
use super::list::{self, Case};
use super::place::{Storage, test_on};
use crate::base::Base;
use crate::build::Package;
use crate::packager::run;
use crate::program::program;
use crate::small_source::SmallSource;

/// Builds at once: most wait most of their time.
const AT_ONCE: usize = 3;

struct Built {
    directory: tempfile::TempDir,
    verdict: Verdict,
    log: String,
}

fn build(lent: &Lent, source: &SmallSource, limits: &Limits) -> Built {
    let directory = tempfile::tempdir().unwrap();
    let architecture = &lent.chroot.architecture;
    let mut request = Package::default().request(architecture);
    request.subject.source = source.name.parse().unwrap();
    request.subject.version = "0".parse().unwrap();
    let assignment = Assignment {
        request,
        chroot: lent.chroot.clone(),
        machine: architecture.clone(),
        home: lent.chroots.home().root().to_owned(),
        directory: directory.path().to_owned(),
        parallel: 2,
        limits: limits.clone(),
    };
    let request = assignment.request_directory();
    fs::create_dir_all(request.join(".config")).unwrap();
    let list = request.join(".config/apt_sources.list");
    fs::write(list, Base::get().sources_list()).unwrap();
    let tree = source.write(&request);
    run(Command::new("dpkg-source")
        .arg("-b")
        .arg(&tree)
        .current_dir(&request));
    fs::remove_dir_all(tree).unwrap();
    let mut child = supervisor::start_program(&program(), &assignment).unwrap();
    let verdict = supervisor::wait(directory.path()).unwrap();
    child.wait().unwrap();
    let log = format!("{}_0_{architecture}.buildlog", source.name);
    let log = fs::read_to_string(directory.path().join(log)).unwrap();
    Built {
        verdict: verdict.unwrap_or_else(|| panic!("no verdict: {log}")),
        directory,
        log,
    }
}

fn limits(case: &Case) -> Limits {
    let settings = case.get("Limits").unwrap_or_default();
    let settings = settings.split_whitespace();
    settings.fold(Limits::default(), |limits, setting| {
        let setting: Setting = setting.parse().unwrap();
        limits.with(&setting).unwrap()
    })
}

fn hostile_package_harms_nobody(lent: &Lent, case: &Case, name: &str) {
    let line = |field| {
        let lines = case.lines(field).unwrap_or("true").replace('\n', " ");
        let lines = lines.replace("RESULT", &format!("../{name}_0_all.deb"));
        lines.replace("NAME", name)
    };
    let (limits, begun) = (limits(case), std::time::Instant::now());
    let built = build(
        lent,
        &SmallSource {
            name,
            build: &line("Build"),
            after: &line("After"),
            ..SmallSource::default()
        },
        &limits,
    );
    built.assert_ends(case, name, &limits);
    if case.get("Then").is_some() {
        let name = format!("{name}-then");
        let then = SmallSource {
            name: &name,
            build: &line("Then"),
            ..SmallSource::default()
        };
        build(lent, &then, &limits).assert_ends(case, &name, &limits);
    }
    eprintln!("{name}: {}, {:.1?}", case.name(), begun.elapsed());
}

impl Built {
    fn assert_ends(&self, case: &Case, name: &str, limits: &Limits) {
        let Built {
            directory,
            verdict,
            log,
        } = self;
        let about = format!("{}, {name}: {}", case.name(), tail(log));
        match case.required("Expected") {
            "built" => {
                assert_eq!(verdict.status, BuildStatus::Successful, "{about}");
                let results = fs::read_dir(directory.path().join("result")).unwrap();
                assert_eq!(results.count(), 3, "{about}");
            }
            // Results that are not what they should be are the package's fault, and none is kept.
            "refused" => {
                assert_eq!(verdict.status, BuildStatus::Attempted, "{about}");
                assert_eq!(verdict.failure, None, "{about}");
            }
            failure => {
                let told = verdict.failure.map(|failure| failure.to_string());
                assert_eq!(told.as_deref(), Some(failure), "{about}");
                assert_eq!(verdict.summary["failure"], failure, "{about}");
                assert!(log.contains(&format!("\nFailure: {failure}\n")), "{about}");
            }
        }
        if let Some(says) = case.get("Says") {
            let error = verdict.error.as_deref().unwrap_or_default();
            assert!(error.contains(says), "{about}: {error}");
        }
        assert!(!log.contains("\nREACHED"), "{about}");
        assert_log_is_bounded(log, limits, &about);
        assert_nothing_of_the_host_is_kept(directory.path(), &about);
        assert_no_process_is_left(name, &about);
    }
}

fn hostile_packages_harm_nobody(storage: Storage) {
    let Some(lent) = Lent::on(storage) else {
        return;
    };
    let mut cases = list::with(&["Build", "After"]);
    if !storage.tries_all() {
        cases.retain(|case| case.get("Storage") == Some("matters"));
    }
    // Makes the layer that all of them are built on.
    build(lent, &SmallSource::default(), &Limits::default());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let number = cases.iter().position(|other| std::ptr::eq(*other, *case));
                    let name = format!("mbd-abuse-{}-{}", lent.backend(), number.unwrap());
                    hostile_package_harms_nobody(lent, case, &name);
                }
            });
        }
    });
    // Tests of verification damage layers of the shared chroot.
    if storage == Storage::Dir {
        return;
    }
    let backend = lent.chroots.backend(&lent.chroot);
    for layer in backend.layers().unwrap() {
        assert!(backend.verify(Some(&layer.key)).unwrap(), "{layer:?}");
    }
}

/// The last of a log says why.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..]
        .join("\n")
        .chars()
        .take(8000)
        .collect()
}

fn assert_log_is_bounded(log: &str, limits: &Limits, about: &str) {
    // Beside what processes say, there are the supervisor's own lines.
    let most = (limits.log_mib << 20) + (64 << 10);
    assert!(log.len() as u64 <= most, "{about}");
    assert!(log.ends_with("disk space\n"), "{about}");
}

fn assert_nothing_of_the_host_is_kept(directory: &Path, about: &str) {
    let Ok(results) = fs::read_dir(directory.join("result")) else {
        return;
    };
    for result in results {
        let result = result.unwrap();
        assert!(result.file_type().unwrap().is_file(), "{about}");
        let content = fs::read(result.path()).unwrap();
        let root = b"root:x:0:0:";
        assert!(
            !content.windows(root.len()).any(|part| part == root),
            "{about}"
        );
    }
}

/// All processes of a session have its build path or the package's name in their command line or
/// directory, as far as the caller sees it.
fn assert_no_process_is_left(name: &str, about: &str) {
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains(&format!("/{name}-")), "{about}: {line}");
    }
}

test_on!(hostile_packages_harm_nobody: on_dir = Dir, on_file = File, on_btrfs = BTRFS);
