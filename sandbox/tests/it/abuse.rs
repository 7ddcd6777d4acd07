//! Hostile processes against sessions; what became of it is looked at from outside.
mod cases;

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use oci_spec::runtime::{Mount, MountBuilder, Spec};
use sandbox::{Process, Session, Stdio};

use crate::root::{Root, helper, run, shell};
use cases::{CASES, Case};

const SECRET: &str = "a secret of the host";
const VICTIM: &str = "not to be written";
/// What other abuses would change.
const SETTINGS: [&str; 5] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/randomize_va_space",
];

/// Everything that a session must not reach.
struct Outside {
    directory: PathBuf,
    process: Child,
    listener: TcpListener,
    settings: BTreeMap<&'static str, String>,
    helper: Vec<u8>,
    mounts: usize,
}

impl Outside {
    fn new(root: &Root) -> Outside {
        let directory = root.shared("outside");
        fs::write(directory.join("secret"), SECRET).unwrap();
        fs::write(directory.join("victim"), VICTIM).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let process = Command::new("sh")
            .args(["-c", "read line", "host-process"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        Outside {
            directory,
            process,
            listener,
            settings: settings(),
            helper: fs::read(helper()).unwrap(),
            mounts: mounts(),
        }
    }

    fn process(&self, case: &Case, user: u32) -> Process {
        let mut process = shell(&format!("{}\necho done", case.script));
        process.user.uid = user;
        process.user.gid = user;
        process.no_new_privileges = user != 0;
        let path = |name| self.directory.join(name).to_str().unwrap().to_owned();
        let port = self.listener.local_addr().unwrap().port();
        process.env.extend([
            ("SECRET".to_owned(), path("secret")),
            ("VICTIM".to_owned(), path("victim")),
            ("HOST_PID".to_owned(), self.process.id().to_string()),
            ("HOST_PORT".to_owned(), port.to_string()),
        ]);
        process
    }

    fn assert_untouched(&mut self, about: &str) {
        let victim = fs::read_to_string(self.directory.join("victim")).unwrap();
        assert_eq!(victim, VICTIM, "{about}");
        assert_eq!(fs::read_dir(&self.directory).unwrap().count(), 2, "{about}");
        assert!(self.process.try_wait().unwrap().is_none(), "{about}");
        let came = self
            .listener
            .accept()
            .map(drop)
            .map_err(|error| error.kind());
        assert_eq!(came, Err(ErrorKind::WouldBlock), "{about}");
        assert_eq!(settings(), self.settings, "{about}");
        assert!(fs::read(helper()).unwrap() == self.helper, "{about}");
        assert!(mounts() <= self.mounts, "{about}");
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn settings() -> BTreeMap<&'static str, String> {
    let read = |name| (name, fs::read_to_string(name).unwrap_or_default());
    SETTINGS.map(read).into_iter().collect()
}

/// Mounts of sessions that the host sees: none, ever.
fn mounts() -> usize {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines()
        .filter(|line| line.contains("sandbox-test-"))
        .count()
}

/// Device nodes that the session left in its root.
fn assert_no_devices(root: &Root, about: &str) {
    root.storage(&format!(
        "test -z \"$(find root -type b -o -type c ! -name whiteout)\" # {about}"
    ));
}

/// Runs the case to its end, then ends the session and waits for all that wrote.
fn output_of(session: Session, process: &Process) -> String {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdin: None,
        stdout: Some(writer.try_clone().unwrap().into()),
        stderr: Some(writer.into()),
    };
    let running = session.run(process, stdio).unwrap();
    running.wait().unwrap();
    session.end().unwrap();
    // Nothing of the session lives on: the pipe has no writer left.
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

fn begin(root: &Root, spec: &Spec) -> Session {
    root.launcher.begin(spec).unwrap()
}

#[test]
fn no_abuse_reaches_anything_outside() {
    let root = Root::new();
    let mut outside = Outside::new(&root);
    let other = begin(&root, &root.spec());
    let stays = shell("read line # other-session");
    let (input, _keeps_it) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdin: Some(input.into()),
        ..Stdio::default()
    };
    let staying = other.run(&stays, stdio).unwrap();
    for case in CASES {
        for user in [0, 1000] {
            let about = format!("{} ({}), user {user}", case.id, case.what);
            root.storage("rm -rf root/work; mkdir -m 1777 root/work");
            let session = begin(&root, &root.spec());
            let text = output_of(session, &outside.process(case, user));
            // Who kills all processes that he may kill does not come to his end.
            assert!(
                text.ends_with("done\n") || case.id == "S9",
                "{about}: {text}"
            );
            assert!(!text.contains("REACHED"), "{about}: {text}");
            assert!(!text.contains(SECRET), "{about}: {text}");
            outside.assert_untouched(&about);
            assert_no_devices(&root, &about);
        }
    }
    staying.kill(15).unwrap();
    assert_eq!(staying.wait().unwrap(), sandbox::Exit::Signal(15));
}

#[test]
fn what_can_be_reached_is_noticed() {
    let root = Root::new();
    let outside = Outside::new(&root);
    let mut spec = root.spec();
    spec.mounts_mut()
        .as_mut()
        .unwrap()
        .push(bind(&outside.directory));
    let session = begin(&root, &spec);
    let case = CASES.iter().find(|case| case.id == "S1").unwrap();
    let text = output_of(session, &outside.process(case, 0));
    assert!(text.contains(SECRET) && text.contains("REACHED"), "{text}");
}

fn bind(directory: &Path) -> Mount {
    MountBuilder::default()
        .destination(directory)
        .typ("bind")
        .source(directory)
        .options(["bind".to_owned()])
        .build()
        .unwrap()
}

/// The host's own tree, whose python makes the sockets.
fn python(script: &str) -> (Spec, Process) {
    let mut spec = sandbox::session_spec(Path::new("/"), Vec::new(), "box");
    let mut root = spec.root().clone().unwrap();
    root.set_readonly(Some(true));
    spec.set_root(Some(root));
    let mut process = crate::root::process(&["/usr/bin/python3", "-c", script]);
    process.user.uid = 1000;
    (spec, process)
}

#[test]
fn sessions_share_no_abstract_sockets() {
    let root = Root::new();
    let (spec, server) = python(
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('\\0mbd-test')\ns.listen()\n\
         print('listening', flush=True)\ns.accept()\nprint('REACHED', flush=True)",
    );
    let session = begin(&root, &spec);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdout: Some(writer.into()),
        ..Stdio::default()
    };
    let serving = session.run(&server, stdio).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    let (spec, client) = python(
        "import socket\ns = socket.socket(socket.AF_UNIX)\n\
         try: s.connect('\\0mbd-test'); print('REACHED')\nexcept OSError as e: print(e.strerror)",
    );
    let (_, text) = run(&begin(&root, &spec), &client);
    assert_eq!(text, "Connection refused\n");
    serving.kill(9).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "");
}

#[test]
fn no_kind_of_socket_leaves_a_network_of_ones_own() {
    let root = Root::new();
    let (spec, tries) = python(
        "import socket as s\n\
         def no(what, *a, to=None):\n\
         \x20try:\n\
         \x20 k = s.socket(*a)\n\
         \x20 k.settimeout(5)\n\
         \x20 if to: k.connect(to)\n\
         \x20 print(what, 'REACHED')\n\
         \x20except OSError as e: print(what, e.strerror)\n\
         no('tcp', s.AF_INET, s.SOCK_STREAM, to=('192.0.2.1', 80))\n\
         no('udp', s.AF_INET, s.SOCK_DGRAM, to=('192.0.2.1', 53))\n\
         no('tcp6', s.AF_INET6, s.SOCK_STREAM, to=('2001:db8::1', 80))\n\
         no('vsock', s.AF_VSOCK, s.SOCK_STREAM, to=(2, 1024))\n\
         no('packet', s.AF_PACKET, s.SOCK_RAW)\n\
         no('crypto', s.AF_ALG, s.SOCK_SEQPACKET)\n\
         no('bluetooth', 31, s.SOCK_RAW, 1)",
    );
    let (_, text) = run(&begin(&root, &spec), &tries);
    assert_eq!(
        text,
        "tcp Network is unreachable\nudp Network is unreachable\ntcp6 Network is unreachable\n\
         vsock Address family not supported by protocol\npacket Operation not permitted\n\
         crypto Address family not supported by protocol\n\
         bluetooth Address family not supported by protocol\n"
    );
}
