use std::io::Read;
use std::path::Path;

use sandbox::{Error, Session};

use crate::root::{Root, output};

fn text_of(session: &Session, path: &str) -> Result<String, Error> {
    let mut text = String::new();
    session
        .open(Path::new(path))?
        .read_to_string(&mut text)
        .unwrap();
    Ok(text)
}

#[test]
fn regular_files_are_opened() {
    let root = Root::new();
    let session = root.begin();
    output(&session, "echo x >/tmp/file; chmod 0 /tmp/file");
    assert_eq!(text_of(&session, "/tmp/file").unwrap(), "x\n");
}

#[test]
fn everything_else_is_refused() {
    let root = Root::new();
    let session = root.begin();
    output(
        &session,
        "cd /tmp; echo x >file; mkdir directory; mkfifo fifo; ln -s file link; ln -s /tmp way;
         ln -s /etc/passwd out; ln -s /proc/self/root magic; nc -lU /tmp/socket >/dev/null 2>&1 &
         true",
    );
    for path in [
        "/tmp/directory",
        "/tmp/fifo",
        "/tmp/link",
        "/tmp/way/file",
        "/tmp/out",
        "/tmp/magic/tmp/file",
        "/tmp/missing",
        "/dev/null",
        "/dev/ptmx",
        "/proc/self/exe",
        "/",
    ] {
        assert!(text_of(&session, path).is_err(), "{path}");
    }
}

#[test]
fn parents_of_the_root_are_not_reached() {
    let root = Root::new();
    let session = root.begin();
    std::fs::write(root.shared("outside").join("file"), "x").unwrap();
    assert!(text_of(&session, "../outside/file").is_err());
    assert!(text_of(&session, "/../../outside/file").is_err());
}
