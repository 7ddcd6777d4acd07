//! Hostile processes, and hostile root file systems, against sessions on each kind of storage.
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use backends::{Access, Rootfs};
use oci_spec::runtime::{Mount, MountBuilder, Spec};
use sandbox::{Network, Process, Session, Stdio, User};

use super::list::{self, Case};
use super::outside::{Outside, SECRET};
use super::place::{Place, Storage, test_on};

/// Makes the calls of `Calls` by the doors of amd64.
const DOORS: &str = include_str!("../../../sandbox/tests/it/seccomp/doors.py");
/// Of the session and of another user.
const USERS: &str = "0 1000";
/// Whiteouts of overlayfs have no number.
const NO_DEVICES: &str =
    r"! find . \( -type b -o -type c \) -exec stat -c '%t,%T %n' {} + | grep -v '^0,0 '";

fn bind(source: &Path, destination: &str) -> Mount {
    MountBuilder::default()
        .destination(destination)
        .typ("bind")
        .source(source)
        .options(["rbind", "rro"].map(str::to_owned))
        .build()
        .unwrap()
}

/// The usual session, with the host's programs.
fn spec(rootfs: &dyn Rootfs) -> Spec {
    let mut spec = sandbox::session_spec(rootfs.path(), rootfs.mounts(), "box");
    let mounts = spec.mounts_mut().get_or_insert_default();
    mounts.push(bind(Path::new("/usr"), "/usr"));
    spec
}

fn process(args: &[&str], user: u32, outside: &Outside) -> Process {
    let mut env = outside.environment();
    env.push(("PATH".to_owned(), "/bin".to_owned()));
    Process {
        args: args.iter().map(|&argument| argument.to_owned()).collect(),
        user: User {
            uid: user,
            gid: user,
            additional_gids: Vec::new(),
        },
        cwd: PathBuf::from("/"),
        env,
        network: Network::None,
        no_new_privileges: user != 0,
        rlimits: Vec::new(),
    }
}

/// What a case runs and has to say, if it has to.
fn tried(case: &Case) -> (Vec<String>, Option<String>) {
    if let Some(script) = case.lines("Session") {
        let script = format!("{script}\necho done");
        let said = (case.get("Ends") != Some("killed")).then(|| "done\n".to_owned());
        return (["/bin/sh", "-c", &script].map(str::to_owned).into(), said);
    }
    if let Some(script) = case.lines("Python") {
        let said = case.lines("Says").map(|lines| format!("{lines}\n"));
        return (python(script).into(), said.or_else(|| Some(String::new())));
    }
    let calls = case.lines("Calls").unwrap().lines();
    let calls: Vec<(&str, &str)> = calls.map(|line| line.split_once(' ').unwrap()).collect();
    let mut args: Vec<String> = python(DOORS).into();
    args.extend(calls.iter().map(|(call, _)| (*call).to_owned()));
    let said = calls.iter().map(|(call, answer)| {
        let mut parts = call.split(':');
        let (door, name) = (parts.next().unwrap(), parts.next().unwrap());
        format!("{door} {name} {answer}\n")
    });
    (args, Some(said.collect()))
}

fn python(script: &str) -> [String; 3] {
    ["/usr/bin/python3", "-c", script].map(str::to_owned)
}

/// Runs to its end, then ends the session and waits for all that could write.
fn output_of(session: Session, process: &Process) -> String {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdin: None,
        stdout: Some(writer.try_clone().unwrap().into()),
        stderr: Some(writer.into()),
    };
    session.run(process, stdio).unwrap().wait().unwrap();
    session.end().unwrap();
    // Nothing of the session lives on: the pipe has no writer left.
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

/// Another session meanwhile; it lives on as long as this.
struct Other {
    session: Session,
    rootfs: Box<dyn Rootfs>,
    _input: OwnedFd,
}

impl Other {
    fn begin(place: &Place, outside: &Outside, args: &[&str]) -> Other {
        let rootfs = place.backend.open(Access::Snapshot, None).unwrap();
        let session = place.launcher.begin(&spec(rootfs.as_ref())).unwrap();
        let (reader, input) = std::io::pipe().unwrap();
        let (output, writer) = std::io::pipe().unwrap();
        let stdio = Stdio {
            stdin: Some(reader.into()),
            stdout: Some(writer.into()),
            stderr: None,
        };
        session.run(&process(args, 0, outside), stdio).unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Other {
            session,
            rootfs,
            _input: input.into(),
        }
    }

    fn end(self) {
        self.session.end().unwrap();
        self.rootfs.close().unwrap();
    }
}

fn no_abuse_reaches_anything_outside(storage: Storage) {
    let Some(place) = Place::new(storage) else {
        return;
    };
    let mut outside = Outside::new(place.outside.clone());
    let stays = "echo ready; read line # other-session";
    let staying = Other::begin(&place, &outside, &["/bin/sh", "-c", stays]);
    for case in list::with(&["Session", "Python", "Calls"]) {
        if case.get("Calls").is_some() && !cfg!(target_arch = "x86_64") {
            continue;
        }
        let other = case
            .lines("Other")
            .map(|script| Other::begin(&place, &outside, &["/usr/bin/python3", "-c", script]));
        let (args, expected) = tried(case);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        for user in case.get("Users").unwrap_or(USERS).split(' ') {
            let about = format!("{}, user {user}, on {storage:?}", case.name());
            let rootfs = place.backend.open(Access::Snapshot, None).unwrap();
            let session = place.launcher.begin(&spec(rootfs.as_ref())).unwrap();
            let text = output_of(session, &process(&args, user.parse().unwrap(), &outside));
            assert!(!text.contains("REACHED"), "{about}: {text}");
            assert!(!text.contains(SECRET), "{about}: {text}");
            if let Some(expected) = &expected {
                let said = text.ends_with(expected.as_str());
                assert!(
                    said && (text == *expected || !expected.is_empty()),
                    "{about}: {text}"
                );
            }
            outside.assert_untouched(&about);
            place.storage(&place.config.sessions, NO_DEVICES);
            rootfs.close().unwrap();
        }
        if let Some(other) = other {
            other.end();
        }
    }
    staying.end();
    let anew = backends::open(&place.config, &place.launcher);
    assert!(anew.verify(None).unwrap(), "the base on {storage:?}");
}

/// The directory that becomes a session's root, or lies over the base there.
fn top(place: &Place, rootfs: &dyn Rootfs) -> PathBuf {
    let session = rootfs.path().ancestors();
    let mut session = session.filter(|path| path.parent() == Some(&place.config.sessions));
    let changes = session.next().unwrap().join("layer");
    let tree = changes.join("tree/root");
    if tree.exists() {
        tree
    } else {
        changes.join("upper")
    }
}

fn traps_are_refused(storage: Storage) {
    let Some(place) = Place::new(storage) else {
        return;
    };
    let mut outside = Outside::new(place.outside.clone());
    for case in list::with(&["Root"]) {
        let about = format!("{}, on {storage:?}", case.name());
        let rootfs = place.backend.open(Access::Snapshot, None).unwrap();
        let top = top(&place, rootfs.as_ref());
        let trap = case.required("Root");
        place.storage(
            Path::new("/"),
            &format!("mkdir -p -m 755 '{}'", top.display()),
        );
        place.storage(&top, trap);
        let mut spec = spec(rootfs.as_ref());
        let linux = spec.linux_mut().as_mut().unwrap();
        if let Some(path) = case.get("Masked") {
            linux.set_masked_paths(Some(vec![path.to_owned()]));
        }
        if let Some(path) = case.get("Read-Only") {
            linux.set_readonly_paths(Some(vec![path.to_owned()]));
        }
        if let Some(path) = case.get("Mount") {
            let mounts = spec.mounts_mut().get_or_insert_default();
            mounts.push(bind(Path::new("/etc/hosts"), path));
        }
        let refusal = place.launcher.begin(&spec).unwrap_err().to_string();
        assert!(
            refusal.contains(case.required("Expected")),
            "{about}: {refusal}"
        );
        outside.assert_untouched(&about);
        rootfs.close().unwrap();
    }
}

test_on!(no_abuse_reaches_anything_outside: on_dir = Dir, on_file = File, on_btrfs = BTRFS);
test_on!(traps_are_refused: on_dir = Dir, on_file = File, on_btrfs = BTRFS);

#[test]
fn what_can_be_reached_is_noticed() {
    let place = Place::new(Storage::Dir).unwrap();
    let outside = Outside::new(place.outside.clone());
    let rootfs = place.backend.open(Access::Snapshot, None).unwrap();
    let mut spec = spec(rootfs.as_ref());
    let mut shared = bind(&place.outside, place.outside.to_str().unwrap());
    shared.set_options(Some(vec!["bind".to_owned()]));
    spec.mounts_mut().get_or_insert_default().push(shared);
    let session = place.launcher.begin(&spec).unwrap();
    let (args, _) = tried(list::with(&["Session"])[0]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let text = output_of(session, &process(&args, 0, &outside));
    assert!(text.contains(SECRET) && text.contains("REACHED"), "{text}");
    let victim = fs::read_to_string(place.outside.join("victim")).unwrap();
    assert_eq!(victim, "overwritten\n");
}
