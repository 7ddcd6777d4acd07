use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;

use backends::{Access, Error, LayerKey};

use super::Promise;
use super::fixture::{Fixture, arguments, begin, config, entries, launcher, process};

pub(crate) const PROMISES: &[Promise] = &[
    (
        "what a killed process leaves goes at the next start",
        killed_is_cleaned,
    ),
    (
        "sessions of other processes are left alone",
        running_is_left_alone,
    ),
    (
        "what a killed process left in the trash is deleted",
        trash_is_emptied,
    ),
    (
        "what packs and unpacks trees ends with who wanted it",
        commands_end_with_their_caller,
    ),
    (
        "cleaning beside sessions that come and go disturbs none",
        cleaning_disturbs_none,
    ),
];

/// First argument of a process that holds a session until it is killed.
pub(crate) const HOLD: &str = "hold-session";

/// Opens a snapshot on the layer a1, runs something in it, says so and never ends.
pub(crate) fn hold(arguments: &[String]) -> ! {
    let config = config(arguments);
    let launcher = Arc::new(launcher());
    let backend = backends::open(&config, &launcher);
    let layer = LayerKey("a1".to_owned());
    let snapshot = backend.open(Access::Snapshot, Some(&layer)).unwrap();
    let session = begin(&launcher, snapshot.as_ref(), Vec::new());
    let script = process("echo held; sleep 1000");
    let stdio = sandbox::Stdio {
        stdout: Some(std::io::stdout().as_fd().try_clone_to_owned().unwrap()),
        ..sandbox::Stdio::default()
    };
    session.run(&script, stdio).unwrap().wait().unwrap();
    unreachable!("it is killed before");
}

/// A process that holds a session on layer a1.
fn holder(fixture: &Fixture) -> Child {
    let mut child = Command::new(&fixture.launcher.helper)
        .arg(HOLD)
        .args(arguments(&fixture.config))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = child.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    child
}

fn killed_is_cleaned(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "touch /layer");
    let mut holder = holder(fixture);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(entries(&fixture.config.sessions).len(), 1);
    fixture.backend.clean().unwrap();

    assert!(entries(&fixture.config.sessions).is_empty());
    fixture.wait_for_trash();
    fixture.backend.drop_layer(&layer).unwrap();
}

fn running_is_left_alone(fixture: &Fixture) {
    fixture.with_base();
    let layer = fixture.layer("a1", None, "touch /layer");
    let mut holder = holder(fixture);
    fixture.backend.clean().unwrap();

    assert_eq!(entries(&fixture.config.sessions).len(), 1);
    assert!(matches!(
        fixture.backend.drop_layer(&layer),
        Err(Error::InUse { .. })
    ));
    holder.kill().unwrap();
    holder.wait().unwrap();
}

fn trash_is_emptied(fixture: &Fixture) {
    fixture.with_base();
    std::fs::create_dir_all(fixture.config.trash.join("left/over")).unwrap();
    fixture.backend.clean().unwrap();

    fixture.wait_for_trash();
}

fn commands_end_with_their_caller(fixture: &Fixture) {
    let helper = fixture.launcher.helper.to_str().unwrap();
    let mut unpack = fixture.launcher.storage_command(helper);
    unpack.args(["tree-command", "unpack", "none"]);
    unpack.arg(fixture.home.path().join("unpacked"));
    let mut caller = Command::new("sh")
        .args(["-c", "\"$@\"; exit", "caller"])
        .arg(unpack.get_program())
        .args(unpack.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // An archive without an end; when more than a pipe holds of it is read, unpacking is under way.
    let mut archive = tar::Header::new_gnu();
    archive.set_path("endless").unwrap();
    archive.set_size(1 << 40);
    archive.set_mode(0o644);
    archive.set_uid(0);
    archive.set_gid(0);
    archive.set_mtime(0);
    archive.set_cksum();
    let mut input = caller.stdin.take().unwrap();
    input.write_all(archive.as_bytes()).unwrap();
    input.write_all(&vec![0; 4 << 20]).unwrap();
    let mut output = caller.stdout.take().unwrap();
    caller.kill().unwrap();
    caller.wait().unwrap();
    // It ends when the last who could write to it is dead.
    output.read_to_end(&mut Vec::new()).unwrap();
    drop(input);
}

fn cleaning_disturbs_none(fixture: &Fixture) {
    fixture.with_base();
    let other = backends::open(&fixture.config, &fixture.launcher);
    let (ended, over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while over.try_recv() == Err(TryRecvError::Empty) {
                other.clean().unwrap();
            }
        });
        for number in 0..50 {
            let layer = LayerKey(format!("{number:02x}"));
            let snapshot = fixture.snapshot(None);
            assert!(snapshot.path().is_dir());
            snapshot.freeze(&layer).unwrap();
            let snapshot = fixture.snapshot(Some(&layer));
            assert!(snapshot.path().is_dir());
            snapshot.close().unwrap();
        }
        drop(ended);
    });
    assert_eq!(fixture.backend.layers().unwrap().len(), 50);
}
