//! The host's programs, read-only, in a session whose root is otherwise empty.
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::thread;

use oci_spec::runtime::{Mount, Spec};
use sandbox::{Exit, Network, Process, Session, Stdio, User, session_spec};

use crate::Error;

/// Directories with programs and what they load; links where /usr is merged.
const PROGRAMS: &[&str] = &[
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/libo32",
];

/// What programs of the host read in /etc to find libraries, names, addresses, certificates and
/// a proxy.
const CONFIGURATION: &[&str] = &[
    "/etc/alternatives",
    "/etc/apt/apt.conf",
    "/etc/apt/apt.conf.d",
    "/etc/debian_version",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/wgetrc",
];

/// A session on the directory `root`, covered by `cover`, with the host's programs.
pub(crate) fn spec(root: &Path, cover: Mount) -> Spec {
    let mut spec = session_spec(root, vec![cover], "localhost");
    let mounts = spec.mounts_mut().get_or_insert_default();
    mounts.extend(existing(PROGRAMS));
    mounts.extend(existing(CONFIGURATION));
    spec
}

fn existing(paths: &[&str]) -> Vec<Mount> {
    let mounts = paths.iter().filter_map(|path| {
        // A link itself can't be mounted, and may point to what the session lacks.
        let source = fs::canonicalize(path).ok()?;
        Some(read_only(&source, path))
    });
    mounts.collect()
}

pub(crate) fn read_only(source: &Path, destination: impl Into<PathBuf>) -> Mount {
    let options = ["rbind", "rro", "rnosuid", "rnodev"];
    mount(destination, "none", source, &options)
}

pub(crate) fn writable(source: &Path, destination: impl Into<PathBuf>) -> Mount {
    mount(destination, "none", source, &["rbind"])
}

pub(crate) fn tmpfs(destination: impl Into<PathBuf>, mode: &str) -> Mount {
    let mode = format!("mode={mode}");
    mount(destination, "tmpfs", Path::new("tmpfs"), &["nosuid", &mode])
}

pub(crate) fn devpts(destination: impl Into<PathBuf>) -> Mount {
    let options = ["nosuid", "noexec", "ptmxmode=0666", "mode=0620"];
    mount(destination, "devpts", Path::new("devpts"), &options)
}

pub(crate) fn proc(destination: impl Into<PathBuf>) -> Mount {
    let options = ["nosuid", "nodev", "noexec"];
    mount(destination, "proc", Path::new("proc"), &options)
}

fn mount(destination: impl Into<PathBuf>, kind: &str, source: &Path, options: &[&str]) -> Mount {
    let options = options.iter().map(|&option| option.to_owned()).collect();
    let mut mount = Mount::default();
    mount
        .set_destination(destination.into())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.to_owned()))
        .set_options(Some(options));
    mount
}

/// A process of the session's root.
pub(crate) fn process(args: Vec<String>, env: &[(&str, &str)], network: Network) -> Process {
    let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    Process {
        args,
        user: User::default(),
        cwd: PathBuf::from("/"),
        env: env.iter().map(own).collect(),
        network,
        no_new_privileges: false,
        rlimits: Vec::new(),
    }
}

/// Runs a process to its end, and ends the session; `line` gets each line that it writes.
pub(crate) fn run(
    session: Session,
    process: &Process,
    line: &mut dyn FnMut(&[u8]),
) -> Result<Exit, Error> {
    let program = Path::new(process.args.first().map_or("", String::as_str));
    let failed = Error::io("read the output of", program);
    let (output, input) = match io::pipe().and_then(|(output, input)| {
        let stdio = Stdio {
            stdin: None,
            stdout: Some(input.try_clone()?.into()),
            stderr: Some(input.into()),
        };
        Ok((output, stdio))
    }) {
        Ok(pipe) => pipe,
        Err(error) => return Err(failed(error)),
    };
    let running = session.run(process, input)?;
    let (exit, read) = thread::scope(|scope| {
        // What the process leaves running holds the pipe open; the session's end ends that too.
        let waiter = scope.spawn(move || {
            let exit = running.wait();
            session.end().and(exit)
        });
        let read = each_line(output, line);
        (waiter.join().expect("the waiter does not panic"), read)
    });
    let exit = exit?;
    read.map_err(failed)?;
    Ok(exit)
}

fn each_line(output: impl io::Read, line: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    while output.read_until(b'\n', &mut bytes)? > 0 {
        line(&bytes);
        bytes.clear();
    }
    Ok(())
}
