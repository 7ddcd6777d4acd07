//! Whatever dies first, nothing of the session is left.
use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio as HostStdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use sandbox::{Error, Session, Stdio};

use crate::root::{Root, output, process, shell};

/// A process that cuts all ties, beside one that ignores signals; the pipe ends with the last.
const STUBBORN: &str = "trap '' HUP INT TERM
    (setsid sh -c '(trap \"\" HUP TERM; sleep 1000) & exit' &)
    echo started
    sleep 1000";

fn start_stubborn(session: &Session) -> PipeReader {
    let (reader, writer) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdout: Some(writer.into()),
        ..Stdio::default()
    };
    session.run(&shell(STUBBORN), stdio).unwrap();
    wait_for_line(reader, "started")
}

fn wait_for_line(mut reader: PipeReader, line: &str) -> PipeReader {
    let mut lines = BufReader::new(&mut reader).lines();
    let found = lines.any(|read| read.unwrap().contains(line));
    assert!(found, "no {line}");
    drop(lines);
    reader
}

/// The end of a pipe is the death of all who could write to it.
fn assert_all_die(mut reader: PipeReader) {
    const LONG: Timespec = Timespec {
        tv_sec: 60,
        tv_nsec: 0,
    };
    loop {
        let mut ends = [PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut ends, Some(&LONG)).unwrap(), 1, "still alive");
        if reader.read(&mut [0; 1000]).unwrap() == 0 {
            return;
        }
    }
}

#[test]
fn end_leaves_no_process() {
    let root = Root::new();
    let session = root.begin();
    let reader = start_stubborn(&session);
    session.end().unwrap();
    assert_all_die(reader);
}

#[test]
fn all_are_dead_when_a_session_has_stopped() {
    let root = Root::new();
    let session = root.begin();
    let mut reader = start_stubborn(&session);
    session.stop().unwrap();
    let mut ends = [PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN)];
    assert_eq!(poll(&mut ends, Some(&Timespec::default())).unwrap(), 1);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn drop_leaves_no_process() {
    let root = Root::new();
    let session = root.begin();
    let reader = start_stubborn(&session);
    drop(session);
    assert_all_die(reader);
}

#[test]
fn process_outlived_by_its_session_ends_without_exit_code() {
    let root = Root::new();
    let session = root.begin();
    let running = session
        .run(&process(&["sleep", "1000"]), Stdio::default())
        .unwrap();
    session.end().unwrap();
    assert!(matches!(running.kill(15), Err(Error::SessionEnded)));
    assert!(matches!(running.wait(), Err(Error::SessionEnded)));
}

#[test]
fn background_process_outlives_the_one_that_started_it() {
    let root = Root::new();
    let session = root.begin();
    output(
        &session,
        "(setsid sleep 1000 >/dev/null 2>&1 & echo $! >/tmp/pid)",
    );
    output(&session, "test -d /proc/$(cat /tmp/pid)");
}

/// Not a test by itself: the program that the tests below kill.
#[test]
fn creator() {
    if std::env::var_os("SANDBOX_TEST_CREATOR").is_none() {
        return;
    }
    let root = Root::new();
    let session = root.begin();
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
    let stdio = Stdio {
        stdout: Some(stdout),
        ..Stdio::default()
    };
    let running = session.run(&shell(STUBBORN), stdio).unwrap();
    writeln!(std::io::stdout(), "root {}", root.path().display()).unwrap();
    let _ = running.wait();
}

struct Creator {
    child: Child,
    reader: PipeReader,
    root: String,
}

fn start_creator() -> Creator {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "lifetime::creator",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("SANDBOX_TEST_CREATOR", "1")
        .stdin(HostStdio::null())
        .stdout(writer)
        .spawn()
        .unwrap();
    let mut text = String::new();
    let mut root = None;
    // The order of both lines is open.
    while root.is_none() || !text.contains("started\n") {
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
        let line = text.lines().find_map(|line| line.split_once("root "));
        root = line
            .filter(|_| text.ends_with('\n'))
            .map(|(_, path)| path.to_owned());
    }
    Creator {
        child,
        reader,
        root: root.unwrap(),
    }
}

impl Creator {
    fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    fn finish(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert_all_die(self.reader);
        let launcher = crate::root::launcher();
        let directory = std::path::Path::new(&self.root).parent().unwrap();
        let status = launcher
            .storage_command("rm")
            .arg("-rf")
            .arg(directory)
            .status();
        assert!(status.unwrap().success());
    }
}

/// The child of `parent` that runs the helper.
fn holder_of(parent: i32) -> Pid {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pid = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str())
        });
    Pid::from_raw(pid.unwrap()).unwrap()
}

#[test]
fn killed_creator_takes_all_along() {
    start_creator().finish();
}

#[test]
fn killed_holder_takes_all_along() {
    let creator = start_creator();
    kill_process(holder_of(creator.pid()), Signal::KILL).unwrap();
    // The creator sees that its process is gone, and ends.
    let Creator {
        mut child, reader, ..
    } = creator;
    assert_all_die(reader);
    child.wait().unwrap();
}

#[test]
fn prepared_session_is_begun_later_or_not_at_all() {
    let root = Root::new();
    let prepared = root.launcher.prepare().unwrap();
    drop(root.launcher.prepare().unwrap());
    let session = prepared.begin(&root.spec()).unwrap();
    assert_eq!(output(&session, "hostname"), "box\n");
    session.end().unwrap();
}
