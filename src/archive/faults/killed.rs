//! The process is killed.
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::process::{Signal, getpid, kill_process};

use crate::archive::sample::run;
use crate::fault;

use super::chosen;
use super::ground::{Ground, Job, check_old_or_new, check_signatures, finish};

#[test]
fn child() {
    let Some(directory) = std::env::var_os("FAULTS_DIRECTORY") else {
        return;
    };
    let mut left: usize = std::env::var("FAULTS_KILL_AT").unwrap().parse().unwrap();
    let kill = move |_, _: &Path| {
        left -= 1;
        if left == 0 {
            kill_process(getpid(), Signal::KILL)?;
        }
        Ok(())
    };
    let mut job = Job::open(&PathBuf::from(directory));
    fault::during(kill, || job.run()).unwrap();
}

/// Does the job in a process that is killed at a point.
fn killed_at(point: usize, directory: &Path) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "archive::faults::killed::child", "--quiet"])
        .env("FAULTS_DIRECTORY", directory)
        .env("FAULTS_KILL_AT", point.to_string())
        .status()
        .unwrap()
}

/// The host's apt, which knows nothing else, reads the dist and its rollbacks.
fn apt_update(directory: &Path) {
    let apt = directory.join("apt");
    for place in ["etc", "state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(place)).unwrap();
    }
    fs::write(apt.join("status"), "").unwrap();
    let sources = format!(
        "Types: deb deb-src\nURIs: copy:{}\nSuites: sid-test-unstable sid-test-unstable-rollback0\n\
         Components: main\nSigned-By: {}\n",
        directory.join("test").display(),
        directory.join("public.asc").display(),
    );
    fs::write(apt.join("test.sources"), sources).unwrap();
    let apt = apt.display();
    let configuration = format!(
        "Dir::Etc \"{apt}/etc\";\nDir::Etc::sourcelist \"{apt}/test.sources\";\n\
         Dir::State \"{apt}/state\";\nDir::State::status \"{apt}/status\";\nDir::Cache \"{apt}/cache\";\n\
         APT::Sandbox::User \"root\";\nAPT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
         Acquire::Check-Valid-Until \"true\";\nAcquire::Check-Date \"true\";\nAcquire::Languages \"none\";\n\
         Acquire::AllowInsecureRepositories \"false\";\n"
    );
    let file = directory.join("apt.conf");
    fs::write(&file, configuration).unwrap();
    run(Command::new("apt-get")
        .args(["update", "--error-on=any"])
        .env("APT_CONFIG", file));
}

#[test]
fn killed_at_any_point_it_leaves_old_or_new_and_the_next_start_finishes_the_job() {
    let ground = Ground::new();
    let (points, expected) = ground.survey();
    let mut turn = chosen(points.len(), 8).peekable();
    for point in chosen(points.len(), 48) {
        let copy = ground.copy();
        let status = killed_at(point, copy.path());
        let (action, path) = &points[point - 1];
        eprintln!(
            "killed at {point} of {}: {action} {}",
            points.len(),
            path.display()
        );
        assert_eq!(status.signal(), Some(9));
        check_old_or_new(copy.path());
        let is_its_turn = turn.next_if(|next| *next <= point).is_some();
        if is_its_turn {
            check_signatures(copy.path(), false);
            apt_update(copy.path());
        }
        finish(copy.path(), &expected);
        if is_its_turn {
            check_signatures(copy.path(), true);
            apt_update(copy.path());
        }
    }
    let copy = ground.copy();
    assert!(killed_at(points.len() + 1, copy.path()).success());
}
