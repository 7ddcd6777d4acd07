use sandbox::Exit;

use crate::root::{Root, exit_of, output, process, shell};

#[test]
fn exit_codes_are_exact() {
    let root = Root::new();
    let session = root.begin();
    assert_eq!(exit_of(&session, &process(&["true"])), Exit::Code(0));
    assert_eq!(exit_of(&session, &shell("exit 3")), Exit::Code(3));
    assert_eq!(exit_of(&session, &shell("exit 255")), Exit::Code(255));
    session.end().unwrap();
}

#[test]
fn signals_are_exact() {
    let root = Root::new();
    let session = root.begin();
    assert_eq!(exit_of(&session, &shell("kill -TERM $$")), Exit::Signal(15));
    assert_eq!(exit_of(&session, &shell("kill -KILL $$")), Exit::Signal(9));
    assert_eq!(exit_of(&session, &shell("kill -40 $$")), Exit::Signal(40));
    assert_eq!(exit_of(&session, &shell("kill -PIPE $$")), Exit::Signal(13));
}

#[test]
fn hostname_is_the_sessions() {
    let root = Root::new();
    assert_eq!(output(&root.begin(), "hostname"), "box\n");
}
