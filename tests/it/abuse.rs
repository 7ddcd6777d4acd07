//! Hostile packages against builds; what became of it is looked at from outside.
use std::fs;
use std::path::Path;

use mini_buildd::build::BuildStatus;
use mini_buildd::model::{Failure, Limits};

use crate::base::Base;
use crate::build::{Built, Package};

/// One hostile package.
struct Case {
    /// As the project's list of abuses counts them.
    id: &'static str,
    name: &'static str,
    /// Shell lines of the target `build`.
    build: &'static str,
    limits: Limits,
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It harms nobody, and the package is built.
    Built,
    /// Results that are not what they should be are the package's fault, and none is kept.
    Refused,
    Failed(Failure),
}

/// Lines of debian/rules that run after the packages were made.
macro_rules! after_builddeb {
    ($command:literal) => {
        concat!("true\noverride_dh_builddeb:\n\tdh_builddeb\n\t", $command)
    };
}

fn cases() -> Vec<Case> {
    let case = |id, name, build, expected| Case {
        id,
        name,
        build,
        limits: Limits::default(),
        expected,
    };
    vec![
        case(
            "S2",
            "mbd-abuse-link",
            after_builddeb!("ln -sf /etc/passwd ../mbd-abuse-link_1.0_all.deb"),
            Expected::Refused,
        ),
        case(
            "S2",
            "mbd-abuse-link-out",
            after_builddeb!("ln -sf /proc/1/root/etc/passwd ../mbd-abuse-link-out_1.0_all.deb"),
            Expected::Failed(Failure::ExitCode(2)),
        ),
        case(
            "S4",
            "mbd-abuse-directory",
            after_builddeb!(
                "rm ../mbd-abuse-directory_1.0_all.deb; mkdir ../mbd-abuse-directory_1.0_all.deb"
            ),
            Expected::Failed(Failure::ExitCode(2)),
        ),
        Case {
            limits: Limits {
                silence_seconds: 30,
                ..Limits::default()
            },
            ..case(
                "S4",
                "mbd-abuse-fifo",
                after_builddeb!(
                    "rm ../mbd-abuse-fifo_1.0_all.deb; mkfifo ../mbd-abuse-fifo_1.0_all.deb"
                ),
                Expected::Failed(Failure::Silence),
            )
        },
        Case {
            limits: Limits {
                output_mib: 1,
                ..Limits::default()
            },
            ..case(
                "S4",
                "mbd-abuse-large",
                after_builddeb!("head -c 3000000 /dev/urandom >>../mbd-abuse-large_1.0_all.deb"),
                Expected::Refused,
            )
        },
        case(
            "S27",
            "mbd-abuse-tree",
            "perl -e 'for (1..4000) { mkdir \"d\"; chdir \"d\" }' && mkdir -m 000 closed && \
             mkdir many && cd many && seq 20000 | xargs touch",
            Expected::Built,
        ),
        case(
            "S28",
            "mbd-abuse-daemon",
            "setsid sh -c 'trap \"\" TERM HUP; exec sleep 100000' >/dev/null 2>&1 </dev/null &",
            Expected::Built,
        ),
        Case {
            limits: Limits {
                log_mib: 1,
                ..Limits::default()
            },
            ..case(
                "S30",
                "mbd-abuse-flood",
                "printf '\\033]0;title\\007\\nStatus: failed\\n'; yes x | tr -d '\\n' | head -c 30000000",
                Expected::Built,
            )
        },
        case(
            "S33",
            "mbd-abuse-environment",
            "test -z \"$$CARGO_HOME$$SSH_AUTH_SOCK$$TMPDIR$$RUST_BACKTRACE\" && test $$HOME = /nonexistent",
            Expected::Built,
        ),
    ]
}

#[test]
fn hostile_packages_harm_nobody() {
    let base = Base::get();
    for case in cases() {
        let package = Package {
            name: case.name,
            build: case.build,
            limits: case.limits.clone(),
            ..Package::default()
        };
        let built = base.build(&package);
        let about = format!("{} ({}): {}", case.id, case.name, tail(&built.log));
        let verdict = &built.verdict;
        match case.expected {
            Expected::Built => {
                assert_eq!(verdict.status, BuildStatus::Successful, "{about}");
                assert_eq!(built.results().len(), 3, "{about}");
            }
            Expected::Refused => {
                assert_eq!(verdict.status, BuildStatus::Attempted, "{about}");
                assert_eq!(verdict.failure, None, "{about}");
            }
            Expected::Failed(failure) => assert_eq!(verdict.failure, Some(failure), "{about}"),
        }
        assert_log_is_bounded(&built, &case.limits, &about);
        assert_nothing_of_the_host_is_kept(built.path(), &about);
        assert_no_process_is_left(case.name, &about);
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

fn assert_log_is_bounded(built: &Built, limits: &Limits, about: &str) {
    // Beside what processes say, there are the supervisor's own lines.
    let most = (limits.log_mib << 20) + (64 << 10);
    assert!(built.log.len() as u64 <= most, "{about}");
    assert!(built.log.ends_with("disk space\n"), "{about}");
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
        assert!(!line.contains("sleep\u{0}100000"), "{about}: {line}");
        assert!(!line.contains(&format!("/{name}-")), "{about}: {line}");
    }
}
