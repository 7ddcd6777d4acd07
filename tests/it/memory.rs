//! What the idle daemon holds.
use std::fs;

use crate::daemon::{self, Daemon};

#[test]
fn daemon_is_the_process_that_was_started_with_a_malloc_that_gives_back() {
    let home = daemon::new_home();
    let daemon = Daemon::start(home.path());
    let read = |file: &str| {
        let bytes = fs::read(format!("/proc/{}/{file}", daemon.pid())).unwrap();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let environment = read("environ");
    assert!(
        environment.contains("MALLOC_TRIM_THRESHOLD_="),
        "{environment}"
    );
    let line = read("cmdline");
    assert!(
        line.contains(&format!(" --home {} ", home.path().display())),
        "{line}"
    );
    assert_eq!(read("comm"), "mini-buildd\n");
}
