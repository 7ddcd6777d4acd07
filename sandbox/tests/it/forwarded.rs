//! Networks that pasta connects: what they reach, what reaches them, and how they end.
use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use sandbox::{Attempt, Error, Forwarding, Network, Process, Session, Stdio, preflight};
use tempfile::TempDir;

use crate::root::{Root, helper, launcher, process, run, shell, spec_of_host};

const REACH: &str = include_str!("forwarded/reach.py");
const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// `None`: pasta can't be used here, as tests/run sees to.
fn forwarding(ports: &[u16]) -> Option<Forwarding> {
    let directory = TempDir::with_prefix("sandbox-test-").unwrap();
    let findings = preflight(&helper(), directory.path());
    let needed = |name| ["pasta", "/dev/net/tun"].contains(&name);
    let missing = findings
        .iter()
        .find(|finding| needed(finding.name) && finding.problem.is_some());
    if let Some(finding) = missing {
        assert!(
            std::env::var_os("MINI_BUILDD_TEST_PASTA").is_none(),
            "{finding:?}"
        );
        eprintln!("not tested: {finding:?}");
        return None;
    }
    Some(Forwarding {
        program: "/usr/bin/pasta".into(),
        ports: ports.to_vec(),
        resolver: true,
        patience: Duration::from_secs(20),
    })
}

fn begin(ports: &[u16]) -> Option<Session> {
    let forwarding = forwarding(ports)?;
    let session = launcher().begin_forwarded(&spec_of_host(), &forwarding);
    Some(session.unwrap())
}

fn forwarded(args: &[&str]) -> Process {
    Process {
        network: Network::Forwarded,
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        ..process(args)
    }
}

/// A port of the host's loopback that answers by TCP and UDP, over IPv4 and IPv6, and counts.
struct Service {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Service {
    fn start() -> Service {
        let first = TcpListener::bind((LOOPBACK[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let second = TcpListener::bind((LOOPBACK[1], port));
        for listener in [Some(first), second.ok()].into_iter().flatten() {
            let asked = Arc::clone(&asked);
            thread::spawn(move || {
                for mut client in listener.incoming().flatten() {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let _ = client.read(&mut [0; 100]);
                    let _ = client.write_all(b"answer");
                }
            });
        }
        let sockets = LOOPBACK.map(|address| UdpSocket::bind((address, port)));
        for socket in sockets.into_iter().flatten() {
            let asked = Arc::clone(&asked);
            thread::spawn(move || {
                while let Ok((_, from)) = socket.recv_from(&mut [0; 100]) {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let _ = socket.send_to(b"answer", from);
                }
            });
        }
        Service { port, asked }
    }
}

#[test]
fn listed_port_of_the_hosts_loopback_is_reached_and_nothing_else_of_it() {
    let (listed, other) = (Service::start(), Service::start());
    let Some(session) = begin(&[listed.port]) else {
        return;
    };
    let ports = [listed.port, other.port].map(|port| port.to_string());
    let args = ["/usr/bin/python3", "-c", REACH, &ports[0], &ports[1]];
    let (exit, text) = run(&session, &forwarded(&args));
    assert!(exit.success(), "{text}");
    let expected = [
        "forwarded STREAM 127.0.0.1 ",
        "forwarded STREAM 0.0.0.0 ",
        "forwarded STREAM ::1 ",
        "forwarded STREAM :: ",
        "forwarded STREAM ::ffff:127.0.0.1 ",
        "raw AF_PACKET EPERM",
        "raw AF_INET EPERM",
        "raw AF_INET6 EPERM",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(other.asked.load(Ordering::SeqCst), 0);
    assert_eq!(listed.asked.load(Ordering::SeqCst), 5);
}

#[test]
fn nobody_outside_reaches_in() {
    let Some(session) = begin(&[]) else { return };
    let port = Service::start().port;
    let listen = format!(
        "import socket; s = socket.create_server(('0.0.0.0', {port})); print('ready', flush=True); s.accept()"
    );
    let (mut ready, writer) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdout: Some(writer.into()),
        ..Stdio::default()
    };
    let process = forwarded(&["/usr/bin/python3", "-c", &listen]);
    let running = session.run(&process, stdio).unwrap();
    ready.read_exact(&mut [0; 6]).unwrap();
    let own = UdpSocket::bind("0.0.0.0:0").unwrap();
    let _ = own.connect("192.0.2.1:9");
    let own = own.local_addr().unwrap().ip();
    if !own.is_unspecified() {
        let address = SocketAddr::new(own, port);
        assert!(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
    }
    running.kill(9).unwrap();
}

/// A query for the root's name servers (RFC 1035).
const QUERY: [u8; 17] = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

#[test]
fn hosts_resolver_answers_under_its_own_address() {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut lines = text.lines();
    let server = lines.find_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok());
    let Some(server) = server.map(|server: IpAddr| SocketAddr::new(server, 53)) else {
        return;
    };
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    let time = Some(Duration::from_secs(3));
    socket.set_read_timeout(time).unwrap();
    let sent = socket.send_to(&QUERY, server);
    let answer = sent.and_then(|_| socket.recv(&mut [0; 2000]));
    let (Ok(_), Some(session)) = (answer, begin(&[])) else {
        return;
    };
    let ask = format!(
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)\n\
         s.sendto(bytes({QUERY:?}), ('{}', 53)); print(s.recv(2000)[:2])",
        Forwarding::RESOLVER
    );
    let (exit, text) = run(&session, &forwarded(&["/usr/bin/python3", "-c", &ask]));
    assert!(exit.success(), "{text}");
}

#[test]
fn processes_share_it_beside_others_that_have_none() {
    let Some(session) = begin(&[]) else { return };
    let namespace = |network| {
        let mut process = forwarded(&["readlink", "/proc/self/ns/net"]);
        process.network = network;
        run(&session, &process).1
    };
    let first = namespace(Network::Forwarded);
    assert_eq!(first, namespace(Network::Forwarded));
    assert_ne!(first, namespace(Network::None));
    assert_ne!(first, namespace(Network::Host));
}

#[test]
fn session_without_it_says_so() {
    let root = Root::new();
    let session = root.begin();
    let process = Process {
        network: Network::Forwarded,
        ..shell("true")
    };
    let error = session.run(&process, Stdio::default()).unwrap_err();
    assert!(matches!(
        error,
        Error::Refused {
            attempt: Attempt::JoinNetwork,
            ..
        }
    ));
}

/// Of all processes: parent and command line.
fn processes() -> HashMap<Pid, (Option<Pid>, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let processes = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        let parent = parent.trim().parse().ok().and_then(Pid::from_raw);
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        Some((Pid::from_raw(pid)?, (parent, line)))
    });
    processes.collect()
}

/// pasta, the PID 1 above it, the keeper, and the holder of the session that this port is forwarded for.
fn chain(port: u16) -> [Pid; 4] {
    let all = processes();
    let argument = format!(" --tcp-ns {port} ");
    let (pasta, _) = all
        .iter()
        .find(|(_, (_, line))| line.contains(&argument))
        .unwrap();
    let above = |pid: Pid| all[&pid].0.unwrap();
    let first = above(*pasta);
    [*pasta, first, above(first), above(above(first))]
}

fn ends(process: &OwnedFd, patience: i64) -> bool {
    let patience = Timespec {
        tv_sec: patience,
        tv_nsec: 0,
    };
    let mut ended = [PollFd::new(process, PollFlags::IN)];
    poll(&mut ended, Some(&patience)).unwrap() == 1
}

#[test]
fn end_of_the_session_has_waited_for_pasta() {
    let port = Service::start().port;
    let Some(session) = begin(&[port]) else {
        return;
    };
    let pasta = pidfd_open(chain(port)[0], PidfdFlags::empty()).unwrap();
    session.end().unwrap();
    assert!(ends(&pasta, 0));
}

#[test]
fn whatever_is_killed_pasta_ends() {
    for killed in 1..4 {
        let port = Service::start().port;
        let Some(session) = begin(&[port]) else {
            return;
        };
        let chain = chain(port);
        let pasta = pidfd_open(chain[0], PidfdFlags::empty()).unwrap();
        kill_process(chain[killed], Signal::KILL).unwrap();
        assert!(ends(&pasta, 60), "{killed}");
        drop(session);
    }
}

/// A program in the place of pasta, which all may run.
fn fake(script: &str) -> (TempDir, Forwarding) {
    let directory = TempDir::with_prefix("sandbox-test-").unwrap();
    let program = directory.path().join("pasta");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    for path in [directory.path(), &program] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let forwarding = Forwarding {
        program,
        ports: Vec::new(),
        resolver: false,
        patience: Duration::from_millis(500),
    };
    (directory, forwarding)
}

fn refused(forwarding: &Forwarding) -> String {
    let root = Root::new();
    let begun = root.launcher.begin_forwarded(&root.spec(), forwarding);
    match begun.unwrap_err() {
        Error::Refused {
            attempt: Attempt::ConnectNetwork,
            source,
        } => source.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pasta_that_fails_is_quoted() {
    let (_directory, forwarding) =
        fake("echo 'Failed to send 1 bytes to syslog'; echo 'No luck' >&2; exit 3");
    let text = refused(&forwarding);
    assert!(
        text.ends_with("pasta ended with exit status: 3: No luck"),
        "{text}"
    );
    let missing = Forwarding {
        program: "/nonexistent/pasta".into(),
        ..forwarding
    };
    let text = refused(&missing);
    assert!(
        text.starts_with("can't start /nonexistent/pasta: No such file"),
        "{text}"
    );
}

#[test]
fn pasta_that_hangs_is_given_up_and_leaves_nothing() {
    let (directory, forwarding) = fake("echo waiting >&2; sleep 1000 & echo $$ >&2; wait");
    let begin = Instant::now();
    let text = refused(&forwarding);
    assert!(
        text.contains("did not start within 0.5 s: waiting"),
        "{text}"
    );
    assert!(begin.elapsed() < Duration::from_secs(30));
    let path = directory.path().to_str().unwrap();
    let left: Vec<String> = processes().into_values().map(|(_, line)| line).collect();
    assert!(!left.iter().any(|line| line.contains(path)), "{left:?}");
}
