//! Head and end of a log, with the lines that programs read (`Status: successful`).
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::package::Kind;
use super::section;
use super::steps::Build;
use super::stop::{Stop, in_one_line};
use super::{Assignment, BuildStatus, Verdict};
use crate::deb::FileName;

/// First lines of a log.
pub(super) fn head(assignment: &Assignment, kind: Option<Kind>, begin: Timestamp) -> String {
    let request = &assignment.request;
    let title = format!(
        "{} {} ({})",
        request.subject.source, request.subject.version, request.subject.architecture
    );
    let lines = [
        ("Package", request.subject.source.to_string()),
        ("Version", request.subject.version.to_string()),
        ("Source Version", request.subject.version.to_string()),
        ("Distribution", request.subject.distribution.clone()),
        ("Machine Architecture", assignment.machine.to_string()),
        (
            "Host Architecture",
            request.subject.architecture.to_string(),
        ),
        (
            "Build Architecture",
            request.subject.architecture.to_string(),
        ),
        ("Build Profiles", request.deb_build_profiles.clone()),
        (
            "Build Type",
            kind.map_or("none", Kind::build_type).to_owned(),
        ),
    ];
    let program = format!("mini-buildd {}\n\n", env!("CARGO_PKG_VERSION"));
    program + &section::title(&title, begin) + &fields(&lines)
}

fn fields(lines: &[(&str, String)]) -> String {
    lines.iter().fold(String::new(), |text, (name, value)| {
        text + format!("{name}: {value}").trim_end() + "\n"
    })
}

/// Judges a build that came to its end, or stopped.
pub(super) fn verdict(
    build: &Build,
    outcome: Result<FileName, Stop>,
    begin: Timestamp,
) -> (Verdict, String) {
    let (status, stop, changes) = match outcome {
        Ok(changes) => (BuildStatus::Successful, None, Some(changes)),
        Err(stop) => (stop.status(), Some(stop), None),
    };
    let took = seconds(build.phases.wall("build"));
    let total = build.phases.done.iter().map(|phase| phase.wall_ms).sum();
    let total = seconds(Duration::from_millis(total));
    let mut summary = BTreeMap::from([
        ("status".to_owned(), status.as_str().to_owned()),
        ("build_time".to_owned(), took.to_string()),
        ("package_time".to_owned(), total.to_string()),
    ]);
    if let Some(space) = build.space {
        summary.insert("space".to_owned(), space.to_string());
        summary.insert("build_space".to_owned(), space.to_string());
    }
    let failure = stop.as_ref().and_then(Stop::failure);
    if let Some(failure) = failure {
        summary.insert("failure".to_owned(), failure.to_string());
    }
    let verdict = Verdict {
        status,
        error: stop.as_ref().map(|stop| in_one_line(stop)),
        failure,
        changes,
        summary,
        phases: build.phases.done.clone(),
    };
    let text = end(build, &verdict, stop.as_ref(), begin, total);
    (verdict, text)
}

fn end(
    build: &Build,
    verdict: &Verdict,
    stop: Option<&Stop>,
    begin: Timestamp,
    total: u64,
) -> String {
    let request = &build.assignment.request;
    let of = |name: &str| {
        verdict
            .summary
            .get(name)
            .cloned()
            .unwrap_or_else(|| "n/a".to_owned())
    };
    let mut lines = vec![
        (
            "Build Architecture",
            request.subject.architecture.to_string(),
        ),
        ("Build-Space", of("build_space")),
        ("Build-Time", of("build_time")),
        ("Distribution", request.subject.distribution.clone()),
    ];
    lines.extend(stop.map(|stop| ("Fail-Stage", stop.stage().to_owned())));
    lines.extend(
        verdict
            .failure
            .map(|failure| ("Failure", failure.to_string())),
    );
    lines.extend([
        (
            "Host Architecture",
            request.subject.architecture.to_string(),
        ),
        (
            "Install-Time",
            seconds(build.phases.wall("dependencies")).to_string(),
        ),
        ("Machine Architecture", build.assignment.machine.to_string()),
        ("Package", request.subject.source.to_string()),
        ("Package-Time", of("package_time")),
        ("Source-Version", request.subject.version.to_string()),
        ("Space", of("space")),
        ("Status", verdict.status.as_str().to_owned()),
        ("Version", request.subject.version.to_string()),
    ]);
    let error = verdict.error.as_ref();
    let error = error.map_or_else(String::new, |error| format!("E: {error}\n"));
    let took = format!(
        "{:02}:{:02}:{:02}",
        total / 3600,
        total / 60 % 60,
        total % 60
    );
    let now = begin + Duration::from_secs(total);
    section::section("Summary")
        + &error
        + &fields(&lines)
        + &times(verdict)
        + &section::rule()
        + &format!(
            "Finished at {}\nBuild needed {took}, {}k disk space\n",
            section::rfc2822(now),
            build.space.unwrap_or(0)
        )
}

fn times(verdict: &Verdict) -> String {
    let in_seconds =
        |milliseconds: u64| format!("{}.{:02}", milliseconds / 1000, milliseconds % 1000 / 10);
    let rows = verdict.phases.iter().map(|phase| {
        let [wall, processor] = [phase.wall_ms, phase.cpu_ms].map(in_seconds);
        format!("{:<14} {wall:>9} {processor:>9}\n", phase.name)
    });
    let rows: String = rows.collect();
    format!("\n{:<14} {:>9} {:>9}\n{rows}", "phase", "wall s", "CPU s")
}

/// Rounded, as sbuild has them.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_millis() >= 500)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::tests::request;
    use crate::deb::Architecture;
    use crate::model::Chroot;
    use crate::model::chroot::Backend;

    /// Of i386 on amd64.
    fn assignment() -> Assignment {
        let i386: Architecture = "i386".parse().unwrap();
        let mut request = request();
        request.subject.architecture = i386.clone();
        Assignment {
            request,
            chroot: Chroot {
                codename: "trixie".parse().unwrap(),
                architecture: i386,
                source: "Debian:trixie".to_owned(),
                backend: Backend::Dir,
                debootstrap_extra_options: Vec::new(),
            },
            machine: "amd64".parse().unwrap(),
            home: "/home".into(),
            directory: "/home/build".into(),
            parallel: 1,
            limits: crate::model::Limits::default(),
        }
    }

    #[test]
    fn head_names_package_and_architectures() {
        let head = head(
            &assignment(),
            Some(Kind::Full),
            "2026-11-22T05:46:20Z".parse().unwrap(),
        );
        assert!(head.contains("| hello 2.10-3 (i386) "));
        assert!(head.contains("\nDistribution: trixie-test-unstable\n"));
        assert!(head.contains(
            "\nMachine Architecture: amd64\nHost Architecture: i386\nBuild Architecture: i386\n"
        ));
        assert!(head.contains("\nBuild Type: binary\n"));
    }

    #[test]
    fn seconds_are_rounded() {
        assert_eq!(seconds(Duration::from_millis(1499)), 1);
        assert_eq!(seconds(Duration::from_millis(1500)), 2);
    }
}
